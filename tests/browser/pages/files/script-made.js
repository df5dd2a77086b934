window.fbq = function () {}; fbq.queue = [];
var app = document.getElementById('app');
app.innerHTML = '<h1>Program</h1><img src="https://c.statcounter.com/1.gif" alt="">';
var s = document.createElement('script'); s.setAttribute('src', 'https://connect.facebook.net/en_US/fbevents.js'); document.body.append(s);
new Image().src = 'https://www.facebook.com/tr?id=1';
navigator.sendBeacon('https://region1.google-analytics.com/g/collect');
fetch('https://tags.unknown.example/e', { mode: 'no-cors', keepalive: true }).catch(function () {});
var x = new XMLHttpRequest(); x.open('GET', 'https://www.google-analytics.com/collect?xhr'); x.onerror = x.onload = function () { window.built = true; }; x.send();
var i = document.createElement('iframe'); i.srcdoc = '<img src="https://in.getclicky.com/frame.gif">'; app.appendChild(i);
