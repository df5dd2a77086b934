// First in every service worker of the site's own: it stays beyond the choices under which it was installed, and stands
// between pages and the network.
// FACTS: p the policy of this worker (empty: none), d what tells these facts from those for other choices, o own path.
(function (F) {
var w = self, own = w.addEventListener, load = w.importScripts, ask = w.fetch, isOver, isShort, stopped = {}, kept = [];
function no() {}
function listen(type, act) { own.call(w, type, act); }
// Whether this worker's policy stops what a page's own may let through.
function isHeld(v) {
  var url = new URL(v, location);
  return F.p && /^http/.test(url.protocol) && url.origin != location.origin && !F.p.split(';')[0].split(' ').some(function (v) {
    var part = /^(\*\.)?([^:'\/]+):\*(\/.*)?$/.exec(v);
    return part && (part[1] ? ('.' + url.hostname).slice(-part[2].length - 1) == '.' + part[2] : url.hostname == part[2]) && !url.pathname.indexOf(part[3] || '');
  });
}
// Pages that a worker keeps were made for the choices of their time. Which of them differ, their policy tells.
function forget(isOld) {
  return w.caches.keys().then(function (names) {
    return Promise.all(names.map(function (name) {
      return w.caches.open(name).then(function (cache) {
        return cache.keys().then(function (all) {
          return Promise.all(all.map(function (one) {
            return cache.match(one).then(function (v) {
              return v && /html/.test(v.headers.get('content-type')) && isOld(v.headers.get('content-security-policy') || '') && cache['delete'](one);
            });
          }));
        });
      });
    }));
  })['catch'](no);
}
function differs(v) { return F.p ? v.indexOf(F.p) < 0 : v.indexOf(F.o + 'reports') >= 0; }

// Other choices than this worker's are made, or were: from here on nothing of it acts, until one for them has come or it
// turns out that there is none. What pages tell it meanwhile is told to that one.
function settle(round) {
  var all = kept, next = w.registration.installing || w.registration.waiting;
  // A page may know of it first.
  if (!next && round < 20) return setTimeout(settle, 100, round + 1);
  kept = [];
  isOver = next;
  if (next) next.postMessage({ consentry: 'go' });
  next = next || w.registration.active;
  all.forEach(function (v) { next.postMessage(v.data, [].slice.call(v.ports)); });
}
// What pages ask of others is judged by their own policies, and what they ask of the proxy is none of the worker's business.
function stop(e) {
  var v = e.request, path = v && new URL(v.url).pathname, isOwn = v && !path.indexOf(F.o);
  if (isOwn && v.method == 'POST' && /(choices|receipts)$/.test(path)) {
    isOver = 1;
    e.waitUntil(forget(function () { return 1; }));
    e.waitUntil(new Promise(function (done) { setTimeout(done, 2e3); }).then(function () { return w.registration.update(); }).then(function () { settle(0); })['catch'](no));
  }
  if (isOver && e.type == 'message') {
    kept.push(e);
    if (isOver != 1) settle(0);
  }
  if (isOver || isOwn || v && isHeld(v.url)) e.stopImmediatePropagation();
}
// Before any listener of the worker's own, and only where it has one: others wake it for nothing.
function guard(type) {
  if (stopped[type] || /^(install|activate|error)$/.test(type)) return;
  stopped[type] = 1;
  listen(type, stop);
}
w.addEventListener = function (type) {
  guard(type);
  return own.apply(w, arguments);
};
'fetch push sync notificationclick'.split(' ').forEach(function (type) {
  var name = 'on' + type, at = w, of;
  while (at && !(of = Object.getOwnPropertyDescriptor(at, name))) at = Object.getPrototypeOf(at);
  if (of && of.set) Object.defineProperty(w, name, { configurable: true, get: of.get, set: function (v) {
    guard(type);
    of.set.call(w, v);
  } });
});
w.fetch = function () {
  var all = arguments;
  function go() { return isOver ? Promise.reject(new TypeError('ended')) : ask.apply(w, all); }
  return unsure && !isOver ? unsure.then(go) : go();
};
// Browsers end workers and start them again, whatever they had been told. One that finds another beside it asks for which
// choices that is; what it would ask of others waits for the answer.
var unsure, answered, beside = w.registration.waiting || w.registration.installing;
function isActive() { return !w.serviceWorker || w.serviceWorker.state == 'activated'; }
if (w.serviceWorker && isActive() && beside) {
  unsure = new Promise(function (done) { answered = done; setTimeout(done, 1e3); }).then(function () { unsure = 0; });
  beside.postMessage({ consentry: F.d });
}

// What is held is left out; a worker that cannot be without it is none any more.
w.importScripts = function () {
  [].forEach.call(arguments, function (v) { if (isHeld(v)) isShort = 1; else load.call(w, v); });
};
listen('error', function () { if (isShort && w.registration.active) w.registration.unregister(); });

// One for other choices takes over at once; a new one of the site's waits as it always did.
listen('install', function () {
  var active = w.registration.active;
  if (active) active.postMessage({ consentry: F.d });
});
listen('message', function (e) {
  var told = e.data && e.data.consentry, from = e.source, port = e.ports[0];
  if (!told) return;
  e.stopImmediatePropagation();
  if (told == 'go') w.skipWaiting();
  else if (!port && !isActive()) from.postMessage({ consentry: F.d });
  else {
    if (told != F.d) {
      isOver = 1;
      // A page looks for the new one: browsers let workers do so after half a minute.
      if (port) port.onmessage = function () { settle(0); };
      (port || from).postMessage(port ? 1 : { consentry: 'go' });
      if (!port) settle(0);
    }
    if (answered) answered();
  }
});
guard('message');
listen('activate', function (e) { e.waitUntil(forget(differs)); });
})(FACTS);
