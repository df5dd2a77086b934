// What the real scripts observably do: which globals they make, which cookies they set, whom they call.

import { trackerAt } from './trackers.js';

const IMAGE = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64');

const GA_CLASSIC = `(function () {
  function hit(page) {
    document.cookie = '__utma=1.1.1.1.1.1; path=/; max-age=63072000';
    document.cookie = '__utmb=1; path=/; max-age=1800';
    document.cookie = '__utmz=1; path=/; max-age=15768000';
    new Image().src = location.protocol + '//www.google-analytics.com/__utm.gif?utmp=' + encodeURIComponent(page);
  }
  var tracker = {
    _setAccount: function () {}, _anonymizeIp: function () {},
    _trackPageview: function (page) { hit(page || location.pathname); },
    _trackEvent: function () { hit('event'); }
  };
  window._gat = { _getTracker: function () { return tracker; }, _anonymizeIp: function () {} };
  function run(command) { tracker[command[0]] && tracker[command[0]].apply(tracker, command.slice(1)); }
  (window._gaq || []).forEach(run);
  window._gaq = { push: run };
})();`;

const GA_UNIVERSAL = `(function () {
  var name = window.GoogleAnalyticsObject || 'ga', waiting = (window[name] || {}).q || [];
  window[name] = function (command) {
    if (command === 'create') {
      document.cookie = '_ga=GA1.1.1.1; path=/; max-age=63072000';
      document.cookie = '_gid=GA1.1.2.2; path=/; max-age=86400';
    }
    if (command === 'send') {
      var last = arguments[arguments.length - 1];
      new Image().src = 'https://www.google-analytics.com/collect?v=1&t=' + arguments[1];
      if (last && last.hitCallback) setTimeout(last.hitCallback, 0);
    }
  };
  waiting.forEach(function (call) { window[name].apply(null, call); });
})();`;

const GTM = `['https://www.googletagmanager.com/gtag/js?id=G-XXXXXXX', 'https://tags.unknown.example/tag.js']
  .forEach(function (address) {
    var script = document.createElement('script');
    script.async = true; script.src = address;
    document.head.appendChild(script);
  });`;

const GTAG = `document.cookie = '_ga=GA1.1.1.1; path=/; max-age=63072000';
document.cookie = '_ga_XXXXXXX=GS1.1.1; path=/; max-age=63072000';
navigator.sendBeacon('https://region1.google-analytics.com/g/collect?v=2&tid=G-XXXXXXX');`;

const META_PIXEL = `(function () {
  document.cookie = '_fbp=fb.1.1.1; path=/; max-age=7776000';
  var waiting = window.fbq.queue || [];
  window.fbq.callMethod = function (command, event) {
    if (command === 'track') new Image().src = 'https://www.facebook.com/tr/?id=000000000000000&ev=' + event;
  };
  waiting.forEach(function (call) { window.fbq.callMethod.apply(null, call); });
})();`;

const UNKNOWN = `document.cookie = 'unknown_visitor=1; path=/';
new Image().src = 'https://tags.unknown.example/seen.gif';`;

const SCRIPTS = [
  [/google-analytics\.com\/ga\.js/, GA_CLASSIC],
  [/google-analytics\.com\/analytics\.js/, GA_UNIVERSAL],
  [/googletagmanager\.com\/gtm\.js/, GTM],
  [/googletagmanager\.com\/gtag\/js/, GTAG],
  [/connect\.facebook\.net\/.*fbevents\.js/, META_PIXEL],
  [/tags\.unknown\.example\/tag\.js/, UNKNOWN],
];

/** Hosts that keep nothing in browsers. */
const WITHOUT_COOKIES = /^(canary|images|cdn)\.|jsdelivr|fonts\.|ajax\.googleapis/;

/** The answer to a request for `address` at `host`; every tracker's comes with a cookie of its own. */
export function answerFor(host, address) {
  const answer = bodyFor(host, address);
  return WITHOUT_COOKIES.test(host) ? answer : { ...answer, cookie: 'uid=1.2.3; Path=/; Max-Age=63072000; SameSite=None; Secure' };
}

function bodyFor(host, address) {
  const url = host + address;
  const script = SCRIPTS.find(([pattern]) => pattern.test(url));
  if (script) return { type: 'text/javascript; charset=utf-8', body: script[1] };
  const tracker = trackerAt(url);
  if (tracker) return { type: 'text/javascript; charset=utf-8', body: tracker };
  if (/\.css|\/css/.test(url)) return { type: 'text/css', body: '.of-elsewhere { color: teal }' };
  if (/\.js(\?|$)/.test(url)) return { type: 'text/javascript; charset=utf-8', body: '/* nothing */' };
  if (/\/(embed|player|video|maps|plugins|frame|activityi)/.test(url)) return { type: 'text/html', body: '<!doctype html><title>Embedded</title>' };
  if (/\/ns\.html/.test(url)) return { type: 'text/html', body: '<!doctype html><title>GTM</title>' };
  if (/^www\.example\.com/.test(url)) return { type: 'text/html', body: '<!doctype html><title>Friends</title>' };
  return { type: 'image/gif', body: IMAGE };
}
