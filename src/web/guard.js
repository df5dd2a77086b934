// The guard: first in the head of every page, for what a header cannot say. Markup, rules of style and other
// ways of loading are in `ways.js`.
// FACTS: k refused cookies, s refused storage keys, u refused addresses (see `guard.rs`), h whether hints to unknown
// hosts are held, g globals to stub; of the services that the site is likely to have. The rest comes in a script that
// browsers keep (`known_script`), for which foreign images wait (w); what cannot wait fetches it. Of its services those
// are held whose category is not among a, or those that are, for x.
// Written so that old browsers parse it; what they lack is left out there. Without it everything still works.
// What short functions are given is called v everywhere: a script packs the better the more it repeats itself.
(function (F) {
var w = window, d = document, no = function () {}, seen = [], sweep = [], stores = [], waiting = F.w && [];
// Pages make their own of these names.
var Happening = w.Event, Fetching = w.XMLHttpRequest;
var jar = Object.getOwnPropertyDescriptor(Document.prototype, 'cookie');
function attempt(act, x) { try { return act(x); } catch (e) {} }
function later(v, x) {
  if (typeof v == 'function') setTimeout(function () { v(x); }, 0);
}
function covers(list) {
  return function (name) {
    name = String(name && name.name || name).split(/[;=]/)[0].trim();
    return list.some(function (v) { return v.slice(-1) == '*' ? !name.lastIndexOf(v.slice(0, -1), 0) : name == v; });
  };
}
var isCookie = covers(F.k), isKey = covers(F.s);
function isAllowed(v) { return !isCookie(v); }

// Addresses: the Content-Security-Policy stops the rest; images it may have to leave open, and hints it knows not.
var anchor = d.createElement('a'), LOADS = /^(img|(fe)?image|input|link|script|i?frame|source|video|audio|body|t\w+|set|animate)$/i;
function isKnown(v) {
  for (var hash = 5381, key = '', i = 0; i < v.length; i++) hash = (hash * 33 ^ v.charCodeAt(i)) >>> 0;
  for (i = 0; i < 24; i += 6) key += String.fromCharCode(63 + (hash >> i & 63));
  for (i = this.indexOf(key); i > 0 && i % 4;) i = this.indexOf(key, i + 1);
  return i >= 0;
}
function isRefused(v, among) {
  anchor.href = v;
  var host = anchor.hostname.replace(/\.$/, ''), path = anchor.pathname.split('/'), first = '/' + path[1], last = '/' + path.pop(), keys = [last, '/' + path.pop() + last, '=' + host, '=' + host + first];
  for (; host; host = host.replace(/^[^.]*\.?/, '')) keys.push(host, host + first);
  return anchor.host && keys.some(isKnown, among || F.u);
}
// Whether it is of another host while it is not known yet who is held there.
function isOpen(v) {
  anchor.href = v;
  return waiting && anchor.host && anchor.host != location.host;
}
// Fetches the rest at once, and says whether it is still missing.
function need() {
  attempt(function () {
    var v = new Fetching();
    v.open('GET', d.querySelector('[data-consentry=known]').src, false);
    v.send();
    learn(JSON.parse(/\[\[.*\]\]/.exec(v.responseText)));
  });
  return waiting;
}
// Whether an attribute would load what may not be loaded. Scripts are the policy's.
function stops(tag, name, value) {
  return LOADS.test(tag) && (
    /^((image)?src(set)?|(\w+:)?href|poster|background|to|from|values)$/i.test(name) ? (/set$|v/i.test(name) ? value.split(/[\s,;]+/) : [value]).some(function (v) {
      return !/script/i.test(tag) && isOpen(v) && need() || isRefused(v) || ways.f(v, tag);
    }) :
    F.h && /^(rel|type)$/i.test(name) && /precon|prer|dns|specul/i.test(value));
}
// What can wait until that is known: images, frames and style sheets.
function waits(tag, name, value) {
  return /^(img src(set)?|i?frame src|source srcset|link href)$/i.test(tag + ' ' + name) && isOpen(value);
}
// It is shown once that is known, which it may be by now.
function late(v) {
  if (waiting) waiting.push(v);
  else later(release, v);
  return 1;
}
function hold(element, name, value) {
  var tag = element.localName, isLate = waits(tag, name, value);
  if (!isLate && !stops(tag, name, String(value))) return;
  if (isLate) element.removeAttribute(name);
  element.setAttribute('data-consentry-' + name, value);
  if (isLate) return late(element);
  // Rules that are no rules must not run as a script.
  if (/^type$/i.test(name)) element.type = 'text/plain';
  // Pages wait for their pixels before they go on.
  later(function () { element.dispatchEvent(new Happening('error')); });
  return 1;
}
// Of another host's window nothing can be asked.
function frame(v) { attempt(function () { protect(v.defaultView || v); }); return v; }
// What `ways.js` takes, and what it adds: p protects a window, a learns who may act, f knows of frames of nobody.
var ways = w.consentry = { p: no, a: no, f: no, k: isCookie, u: isRefused, l: LOADS, s: stops, t: waits, o: hold, w: frame, q: late, j: stored, n: function () { return waiting; } };
// What stands behind a storage that pages see (0), or before one (1).
function stored(v, at) {
  stores.forEach(function (pair) { if (v === pair[at]) v = pair[1 - at]; });
  return v;
}
// One window; those of its frames have prototypes of their own, and what is loaded into a frame has new ones.
function protect(w) {
  if (~seen.indexOf(w.Object)) return;
  seen.push(w.Object);
  function change(kind, names, write, read) {
    names.split(' ').forEach(function (name) {
      attempt(function () {
        var object = w[kind] && w[kind].prototype, own = object && Object.getOwnPropertyDescriptor(object, name);
        if (own) own.value ? object[name] = function () { return write(arguments, own.value, this); } : Object.defineProperty(object, name, { configurable: true, enumerable: own.enumerable,
          get: function () { var v = own.get.call(this); return read ? read(v, this) : v; },
          set: own.set && function (v) { v = write(v, this, name); if (v !== no) own.set.call(this, v); }
        });
      });
    });
  }
  change('Document', 'cookie', function (v) { return isCookie(v) ? no : v; }, function (v) {
    return v.split('; ').filter(isAllowed).join('; ');
  });
  change('Storage', 'setItem getItem removeItem key clear', function (a, own, on) {
    if (a.length < 2 || !isKey(a[0])) return own.apply(stored(on, 0), a);
  });
  ['localStorage', 'sessionStorage'].forEach(function (name) {
    attempt(function () {
      var store = w[name], proxy = new Proxy(store, {
        get: function (t, k) { return t[k]; },
        set: function (t, k, v) { if (!isKey(k)) t[k] = v; return true; }
      });
      stores.push([proxy, store]);
      sweep.push(function () { Object.keys(store).forEach(function (v) { if (isKey(v)) store.removeItem(v); }); });
      Object.defineProperty(w, name, { configurable: true, get: function () { return proxy; } });
    });
  });
  'Image src srcset|Script src type|IFrame src|Link href rel'.split('|').forEach(function (v) {
    v = v.split(/ (.+)/);
    change('HTML' + v[0] + 'Element', v[1], function (v, on, name) { return hold(on, name, v) ? no : v; });
  });
  change('Element', 'setAttribute', function (a, own, on) { if (!hold(on, a[0], a[1])) own.apply(on, a); });
  change('HTMLIFrameElement', 'contentWindow contentDocument', no, frame);
  ways.p(w, change);
  return change;
}
ways.c = attempt(protect, w);
function clean() {
  sweep.forEach(attempt);
  jar.get.call(d).split('; ').forEach(function (v) {
    if (isCookie(v)) jar.set.call(d, v.split('=')[0] + '=; path=/; max-age=0');
  });
}
// A sandboxed frame has no cookies to ask for.
attempt(clean);

// Stubs: pages call the globals of held services from their links and forms, and wait for the callbacks.
var hook, root;
function go(v) { location.assign(v); }
function called(call) {
  var last = call[call.length - 1], end = last && (typeof last == 'function' ? last : last.hitCallback || last.eventCallback || last.event_callback);
  if (/(^|\.)_link$/.test(call[0])) go(call[1]);
  if (/(^|\.)_?set$/.test(call[0])) hook = end || hook;
  else {
    later(end, root);
    if (/send|track/i.test(call[0])) later(hook);
  }
}
// What is pushed is a call, or a function to be run.
function push() {
  [].forEach.call(arguments, function (v) {
    if (v && v[0] && v[0].call) v = v[0];
    attempt(function () {
      if (typeof v == 'function') v.call(root);
      else if (v && typeof v == 'object') called(v.length ? v : [v]);
    });
  });
  return 1;
}
function stub() { called(arguments); return root; }
stub.push = push;
stub._link = go;
stub._getLinkerUrl = function (v) { return v; };
stub.toString = stub.valueOf = function () { return ''; };
stub.then = function (v) { later(v); return root; };
// Whatever is asked of it is the same again; it is no text, and no yes.
root = w.Proxy ? new Proxy(stub, {
  get: function (t, k) {
    return k in t ? t[k] : typeof k != 'string' ? void 0 : /^(is|has)/.test(k) ? no : /^_?(set|send|track)/.test(k) ? function () {
      called([k].concat([].slice.call(arguments)));
      return root;
    } : root;
  },
  construct: function () { return root; }
}) : stub;
function layer(v) {
  var own = v.push;
  v.push = function () {
    push.apply(v, arguments);
    return own.apply(v, arguments);
  };
  return v;
}
function define(name) {
  var isLayer = name == 'dataLayer', value = isLayer ? layer([]) : root;
  if (w[name] === void 0) attempt(function () {
    Object.defineProperty(w, name, { configurable: true, get: function () { return value; }, set: function (v) {
      // Pages set queues anew with their first values; anything else of that name is their own.
      if (v === value) return;
      if (Array.isArray(v)) push.apply(v, v);
      if (isLayer || !Array.isArray(v)) value = isLayer && v ? layer(v) : v;
    } });
  });
}
F.g.forEach(define);
// The page itself names what nobody had seen on it before.
d.addEventListener('consentry:held', function (e) { e.detail.forEach(define); });

// What else there is to know.
function release(v) {
  var all = (waiting || []).concat(v || [], d);
  waiting = 0;
  all.forEach(function (v) {
    ['src', 'href', 'srcset'].forEach(function (name) {
      var key = 'data-consentry-' + name;
      function show(v) {
        var url = v.getAttribute && v.getAttribute(key);
        if (url == null || v[name] != '') return;
        v.removeAttribute(key);
        v[name] = url;
      }
      show(v);
      // What the server holds has a category.
      [].forEach.call(v.querySelectorAll('[' + key + ']:not([data-consentry-category])'), show);
    });
  });
}
function learn(all) {
  attempt(function () {
    all.forEach(function (v) {
      if ((F.a.indexOf(v[0]) < 0) != (F.x.indexOf(v[1]) < 0)) return ways.a(v[4]);
      [].push.apply(F.k, v[2]);
      [].push.apply(F.s, v[3]);
      F.u += v[4];
      v[5].forEach(define);
    });
    clean();
  });
  release();
}
d.addEventListener('consentry:known', function (e) { learn(e.detail); });

w.addEventListener('load', function () { release(); });
})(FACTS);
