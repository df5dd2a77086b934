// The guard: first in the head of every page, for what a header cannot say.
// FACTS: o own path, c choices (null: undecided), k refused cookies, u refused addresses, g globals to stub.
// Written so that old browsers parse it; what they lack is left out there. Without it everything still works.
(function (F) {
var w = window, d = document, no = function () {};
function later(f, x) {
  if (typeof f == 'function') setTimeout(function () { f(x); }, 0);
}
function patch(object, name, change) {
  var own = object && Object.getOwnPropertyDescriptor(object, name);
  if (own && own.configurable && own.set) {
    Object.defineProperty(object, name, { configurable: true, enumerable: own.enumerable, get: change.get ? function () { return change.get(own.get.call(this)); } : own.get, set: function (v) { if (!change.stops(v, this)) own.set.call(this, v); } });
  }
}

// Cookies of services that may not act are neither written nor read.
function isRefusedCookie(pair) {
  var name = String(pair).split(';')[0].split('=')[0].trim();
  return F.k.some(function (k) {
    return k.slice(-1) == '*' ? name.lastIndexOf(k.slice(0, -1), 0) == 0 : name == k;
  });
}
if (F.k.length) {
  patch(w.Document && Document.prototype, 'cookie', {
    get: function (all) { return all.split('; ').filter(function (pair) { return !isRefusedCookie(pair); }).join('; '); },
    stops: isRefusedCookie
  });
  var store = w.CookieStore && CookieStore.prototype, set = store && store.set;
  if (set) store.set = function (name) {
    return isRefusedCookie(name && name.name || name) ? Promise.resolve() : set.apply(this, arguments);
  };
}

// Addresses: the Content-Security-Policy stops the rest; images it may have to leave open.
var anchor = d.createElement('a');
function isRefused(url) {
  anchor.href = url;
  var host = '.' + anchor.hostname, path = anchor.pathname + anchor.search;
  if (path.charAt(0) != '/') path = '/' + path;
  return /^http/.test(anchor.protocol) && F.u.some(function (u) {
    var slash = (u + '/').indexOf('/'), name = u.slice(0, slash);
    return (name == '*' || host == '.' + name || name.charAt(0) == '*' && host.slice(1 - name.length) == name.slice(1)) && path.lastIndexOf(u.slice(slash), 0) == 0;
  });
}
function hold(url, element) {
  if (!isRefused(String(url))) return false;
  element.setAttribute('data-consentry-src', url);
  // Pages wait for their pixels before they go on.
  later(function () { element.dispatchEvent(new Event('error')); });
  return true;
}
if (F.u.length) {
  ['Image', 'Script', 'IFrame'].forEach(function (kind) {
    kind = w['HTML' + kind + 'Element'];
    patch(kind && kind.prototype, 'src', { stops: hold });
  });
  var E = w.Element && Element.prototype, setAttribute = E && E.setAttribute;
  if (E) E.setAttribute = function (name, value) {
    if (!/^src$/i.test(name) || !/^(img|script|iframe)$/i.test(this.nodeName) || !hold(value, this)) setAttribute.apply(this, arguments);
  };
  var beacon = navigator.sendBeacon;
  if (beacon) navigator.sendBeacon = function (url) {
    return isRefused(url) || beacon.apply(navigator, arguments);
  };
}

// Stubs: pages call the globals of held services from their links and forms, and wait for the callbacks.
function callBack(call) {
  var last = call[call.length - 1];
  if (last) later(typeof last == 'function' ? last : last.hitCallback || last.eventCallback || last.event_callback, hits);
}
function go(url) { location.assign(url); }
function stub() {
  var f = function () { callBack(arguments); };
  f.push = f.set = f.send = f.track = f;
  f.get = f.remove = no;
  f.create = f.getByName = function () { return hits; };
  f.getAll = function () { return [hits]; };
  f.q = f.queue = [];
  f.loaded = true;
  f.version = '2.0';
  return f;
}
var hits = stub();
function tracker() {
  var t = { _link: go, _getLinkerUrl: function (url) { return url; } };
  '_linkByPost _trackPageview _trackEvent _trackSocial _trackTrans _addTrans _addItem _setAccount _setDomainName _setAllowLinker _setCustomVar _initData _anonymizeIp'.split(' ').forEach(function (name) { t[name] = no; });
  return w.Proxy ? new Proxy(t, { get: function (t, name) { return t[name] || (/^_/.test(String(name)) ? no : undefined); } }) : t;
}
function queue(run) {
  var list = [];
  list.push = function () {
    [].forEach.call(arguments, function (item) { try { run(item); } catch (e) {} });
    return list.length;
  };
  return list;
}
function layer(list) {
  var push = [].push;
  function end(hide) { if (hide) later(hide.end); }
  if (!Array.isArray(list)) return list;
  end(list.hide);
  Object.defineProperty(list, 'hide', { configurable: true, get: no, set: end });
  list.push = function () {
    [].forEach.call(arguments, function (item) {
      if (item && typeof item == 'object') callBack(item.length ? item : [item]);
    });
    return push.apply(list, arguments);
  };
  return list;
}
F.g.forEach(function (name) {
  if (w[name] !== undefined) return;
  if (name == 'dataLayer') {
    // Pages set it anew with their first values.
    var list = layer([]);
    Object.defineProperty(w, name, { configurable: true, enumerable: true, get: function () { return list; }, set: function (v) { list = layer(v); } });
  } else if (name == '_gaq') {
    w._gaq = queue(function (item) {
      if (typeof item == 'function') item();
      else if (/(^|\.)_link$/.test(item[0])) go(item[1]);
      else if (item[1] == 'hitCallback') later(item[2]);
    });
  } else if (name == '_gat') {
    w._gat = tracker();
    w._gat._getTracker = w._gat._getTrackerByName = w._gat._createTracker = tracker;
  } else if (name == 'pageTracker') w[name] = tracker();
  else if (/^_(?!_ga)/.test(name)) w[name] = queue(no);
  else w[name] = stub();
});

// For the site's own scripts.
var banner, opener, pressed, isSent, isClosed, isTyped;
w.consentry = { choices: F.c, open: open };
function open() {
  var root = banner && d.documentElement.contains(banner) && banner.shadowRoot;
  if (!root) return go(F.o + 'settings?return=' + encodeURIComponent(location.pathname + location.search));
  opener = d.activeElement;
  root.querySelector('details').open = true;
  root.querySelector('summary').focus();
}

// The banner works by itself; with scripts on, the page keeps its place, and what is typed into it.
function show() {
  // The top layer: above every z-index, and fixed even where the body is transformed.
  try { banner.popover = 'manual'; banner.showPopover(); } catch (e) {}
}
function decide(e) {
  var form = e.target, button = e.submitter || pressed, fields;
  if (!button || !w.fetch || !w.URLSearchParams) return;
  e.preventDefault();
  if (isSent) return;
  isSent = true;
  fields = new URLSearchParams(new FormData(form));
  fields.set('choice', button.value);
  fetch(form.action, { method: 'POST', body: fields, credentials: 'same-origin', headers: { Accept: 'application/json' } }).then(function (answer) {
    if (!answer.ok) throw answer;
    return answer.json();
  }).then(function (choices) {
    w.consentry.choices = choices;
    d.dispatchEvent(new CustomEvent('consentry:change', { detail: choices }));
    if (!isTyped && fields.get('return')) return location.reload();
    isClosed = true;
    banner.remove();
    if (opener && opener.focus) opener.focus();
  })['catch'](function () {
    // The page that answers a form says what went wrong.
    var choice = d.createElement('input');
    choice.type = 'hidden';
    choice.name = 'choice';
    choice.value = button.value;
    form.appendChild(choice);
    form.submit();
  });
}
function enhance() {
  var template = banner.querySelector('template'), root = banner.shadowRoot;
  if (!root && template && banner.attachShadow) {
    root = banner.attachShadow({ mode: 'open' });
    root.appendChild(template.content.cloneNode(true));
  }
  if (!root) return;
  root.addEventListener('click', function (e) { pressed = e.target.closest('button'); });
  root.addEventListener('submit', decide);
  show();
}
if (!F.c) {
  var found = d.getElementsByTagName('consentry-banner'), attempts = 9, watch;
  var look = function () {
    if (isClosed) return;
    if (!banner) {
      if (found[0] && (found[0].shadowRoot || d.readyState != 'loading')) {
        banner = found[0];
        enhance();
      }
    } else if (!d.documentElement.contains(banner) && d.body && attempts-- > 0) {
      // Scripts that build the whole body anew take the banner with them.
      d.body.appendChild(banner);
      show();
    }
  };
  d.addEventListener('input', function (e) { if (e.target != banner) isTyped = true; }, true);
  d.addEventListener('DOMContentLoaded', look);
  if (w.MutationObserver) {
    watch = new MutationObserver(look);
    watch.observe(d, { childList: true, subtree: true });
    w.addEventListener('load', function () { if (!banner) watch.disconnect(); });
  }
}
})(FACTS);
