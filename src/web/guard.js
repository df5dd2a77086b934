// The guard: first in the head of every page, for what a header cannot say.
// FACTS: k refused cookies, s refused storage keys, u refused addresses (see `guard.rs`), h whether hints to unknown
// hosts are held, g globals to stub; of the services that the site is likely to have. The rest comes in a script that
// browsers keep (`known_script`), for which foreign images wait (w): of its services those are held whose category is
// not among a, or those that are, for x.
// Written so that old browsers parse it; what they lack is left out there. Without it everything still works.
(function (F) {
var w = window, d = document, me = d.currentScript, no = function () {}, seen = [], sweep = [], waiting = F.w && [];
var jar = Object.getOwnPropertyDescriptor(Document.prototype, 'cookie');
function attempt(act, x) { try { return act(x); } catch (e) {} }
function later(f, x) {
  if (typeof f == 'function') setTimeout(function () { f(x); }, 0);
}
function covers(list) {
  return function (name) {
    name = String(name && name.name || name).split(/[;=]/)[0].trim();
    return list.some(function (k) { return k.slice(-1) == '*' ? !name.lastIndexOf(k.slice(0, -1), 0) : name == k; });
  };
}
var isCookie = covers(F.k), isKey = covers(F.s);
function isAllowed(cookie) { return !isCookie(cookie); }

// Addresses: the Content-Security-Policy stops the rest; images it may have to leave open, and hints it knows not.
var anchor = d.createElement('a'), LOADS = /^(img|image|input|link|script|iframe|source|video|audio)$/i;
function isKnown(text) {
  for (var hash = 5381, key = '', i = 0; i < text.length; i++) hash = (hash * 33 ^ text.charCodeAt(i)) >>> 0;
  for (i = 0; i < 24; i += 6) key += String.fromCharCode(63 + (hash >> i & 63));
  for (i = F.u.indexOf(key); i > 0 && i % 4;) i = F.u.indexOf(key, i + 1);
  return i >= 0;
}
function isRefused(url) {
  anchor.href = url;
  var host = anchor.hostname, path = anchor.pathname.split('/'), first = '/' + path[1], last = '/' + path.pop(), keys = [last, '/' + path.pop() + last, '=' + host, '=' + host + first];
  for (; host; host = host.replace(/^[^.]*\.?/, '')) keys.push(host, host + first);
  return anchor.host && keys.some(isKnown);
}
// Whether an attribute would load what may not be loaded.
function stops(tag, name, value) {
  return LOADS.test(tag) && (
    /^(src|href|poster)$/i.test(name) ? isRefused(value) :
    /^(image)?srcset$/i.test(name) ? value.split(/[\s,]+/).some(isRefused) :
    F.h && /^(rel|type)$/i.test(name) && /precon|prer|dns|specul/i.test(value));
}
// Whether it is an image of another host while it is not known yet who is held there.
function waits(tag, name, value) {
  anchor.href = value;
  return waiting && /^img src$/i.test(tag + ' ' + name) && anchor.host && anchor.host != location.host;
}
function hold(element, name, value) {
  var isLate = waits(element.nodeName, name, value);
  if (!isLate && !stops(element.nodeName, name, String(value))) return;
  element.setAttribute('data-consentry-' + name, value);
  if (isLate) return waiting.push(element);
  // Rules that are no rules must not run as a script.
  if (/^type$/i.test(name)) element.type = 'text/plain';
  // Pages wait for their pixels before they go on.
  later(function () { element.dispatchEvent(new Event('error')); });
  return 1;
}
function cleaned(html, on) {
  var wait, text = String(html), clean = text.replace(/<(\w+)\b[^>]+/g, function (all, tag) {
    return !LOADS.test(tag) ? all : all.replace(/([\s"'\/])(\w+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)/g, function (all, before, name, is, value) {
      var url = value.replace(/^["']|["']$/g, '').replace(/&amp;/g, '&');
      return stops(tag, name, url) || waits(tag, name, url) && (wait = 1) ? before + 'data-consentry-' + name + is + value : all;
    });
  });
  if (wait && on) waiting.push(on.getRootNode());
  return clean == text ? html : clean;
}

// One window; those of the frames that it makes have prototypes of their own.
function protect(w) {
  if (!w || ~seen.indexOf(w)) return;
  seen.push(w);
  function change(kind, name, write, read) {
    attempt(function (object) {
      var own = Object.getOwnPropertyDescriptor(object, name);
      if (own.value) object[name] = function () { return write(arguments, own.value, this); };
      else Object.defineProperty(object, name, { configurable: true, enumerable: own.enumerable,
        get: function () { var v = own.get.call(this); return read ? read(v) : v; },
        set: own.set && function (v) { v = write(v, this); if (v !== no) own.set.call(this, v); }
      });
    }, w[kind] && w[kind].prototype);
  }
  function without(kind, name, test, instead) {
    change(kind, name, function (a, own, on) { return test(a[0]) ? instead : own.apply(on, a); });
  }
  change('Document', 'cookie', function (v) { return isCookie(v) ? no : v; }, function (all) {
    return all.split('; ').filter(isAllowed).join('; ');
  });
  without('Storage', 'setItem', isKey);
  ['local', 'session'].forEach(function (name) {
    name += 'Storage';
    attempt(function () {
      var store = w[name], proxy = new Proxy(store, {
        get: function (t, k) { var v = t[k]; return typeof v == 'function' ? v.bind(t) : v; },
        set: function (t, k, v) { if (!isKey(k)) t[k] = v; return true; }
      });
      sweep.push(function () { Object.keys(store).forEach(function (k) { if (isKey(k)) store.removeItem(k); }); });
      Object.defineProperty(w, name, { configurable: true, get: function () { return proxy; } });
    });
  });
  'Image src srcset|Script src type|IFrame src|Link href rel imageSrcset|Source src srcset|Input src|Media src|Video poster'.split('|').forEach(function (row) {
    row.split(' ').forEach(function (name, i, names) {
      if (i) change('HTML' + names[0] + 'Element', name, function (v, element) { return hold(element, name, v) ? no : v; });
    });
  });
  change('Element', 'setAttribute', function (a, own, on) { if (!hold(on, a[0], a[1])) own.apply(on, a); });
  ['innerHTML', 'outerHTML'].forEach(function (name) { change('Element', name, cleaned); });
  change('Element', 'insertAdjacentHTML', function (a, own, on) { own.call(on, a[0], cleaned(a[1], on)); });
  ['write', 'writeln'].forEach(function (name) {
    change('Document', name, function (a, own, on) { own.call(on, cleaned(a[1] ? [].join.call(a, '') : a[0])); });
  });
  function frame(x) { attempt(protect, x && x.defaultView || x); return x; }
  change('HTMLIFrameElement', 'contentWindow', no, frame);
  change('HTMLIFrameElement', 'contentDocument', no, frame);
  change('HTMLIFrameElement', 'srcdoc', function (v) {
    var known = d.querySelector('[data-consentry=known]');
    // Who agreed to everything has none, and frames as they were written.
    return (known ? '<script nonce="' + me.nonce + '">' + me.text + '<\/script>' + known.outerHTML : '') + cleaned(v);
  });
  without('Navigator', 'sendBeacon', isRefused, true);
  var own = w.fetch;
  if (own) w.fetch = function (a) { return isRefused(a && a.url || a) ? Promise.resolve(new Response('')) : own.apply(this, arguments); };
  var nothing = Promise.resolve(null);
  without('CookieStore', 'set', isCookie, nothing);
  without('CookieStore', 'get', isCookie, nothing);
  change('CookieStore', 'getAll', function (a, own, on) {
    return own.apply(on, a).then(function (all) { return all.filter(isAllowed); });
  });
}
attempt(protect, w);
function clean() {
  sweep.forEach(attempt);
  jar.get.call(d).split('; ').forEach(function (pair) {
    if (isCookie(pair)) jar.set.call(d, pair.split('=')[0] + '=; path=/; max-age=0');
  });
}
// A sandboxed frame has no cookies to ask for.
attempt(clean);

// Stubs: pages call the globals of held services from their links and forms, and wait for the callbacks.
var hook, root;
function go(url) { location.assign(url); }
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
  [].forEach.call(arguments, function (item) {
    if (item && item[0] && item[0].call) item = item[0];
    attempt(function () {
      if (typeof item == 'function') item.call(root);
      else if (item && typeof item == 'object') called(item.length ? item : [item]);
    });
  });
  return 1;
}
function stub() { called(arguments); return root; }
stub.push = push;
stub._link = go;
stub._getLinkerUrl = function (url) { return url; };
stub.toString = stub.valueOf = function () { return ''; };
stub.then = function (f) { later(f); return root; };
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
function layer(list) {
  var own = list.push;
  list.push = function () {
    push.apply(list, arguments);
    return own.apply(list, arguments);
  };
  return list;
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
function release() {
  var all = waiting || [];
  waiting = 0;
  function show(element) {
    if (element.src == '') element.src = element.getAttribute('data-consentry-src');
  }
  all.concat(d).forEach(function (one) {
    show(one);
    // What the server holds has a category.
    [].forEach.call(one.querySelectorAll('[data-consentry-src]:not([data-consentry-category])'), show);
  });
}
d.addEventListener('consentry:known', function (e) {
  attempt(function () {
    e.detail.forEach(function (one) {
      if ((F.a.indexOf(one[0]) < 0) != (F.x.indexOf(one[1]) < 0)) return;
      [].push.apply(F.k, one[2]);
      [].push.apply(F.s, one[3]);
      F.u += one[4];
      one[5].forEach(define);
    });
    clean();
  });
  release();
});

w.addEventListener('load', release);
})(FACTS);
