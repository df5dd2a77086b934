// For the site's own scripts, on every page: window.consentry. Without it everything still works.
// FACTS: o own path, c choices (null: undecided), g whether the site listens for Global Privacy Control and has not
// heard it; d what workers know these choices by (empty: the page has some of its own).
(function (F) {
var w = window, d = document, me = d.currentScript, listeners = [];
// Extensions may set Global Privacy Control as a property alone. A cookie takes it to the server; where that changes
// what this page may do or says, the page is asked for anew before anything of it runs.
var says = navigator.globalPrivacyControl === true, told = /(^|; )consentry_gpc=1/;
function note(rest) { d.cookie = 'consentry_gpc=' + rest + '; path=/; SameSite=Lax' + (/^https/.test(location.protocol) ? '; Secure' : ''); }
try {
  if (!says && told.test(d.cookie)) note('; max-age=0');
  if (says && F.g && !told.test(d.cookie)) {
    note(1);
    // A form that was posted is not posted again; a frame is not its own page.
    if (told.test(d.cookie) && w.top == w && !me.hasAttribute('data-posted') && (!F.c || F.c.categories.marketing || F.c.services.length)) {
      w.stop();
      location.reload();
    }
  }
} catch (e) {}
function tell(listener, choices) {
  // One that fails must not stop the others.
  try { listener(choices); } catch (e) { setTimeout(function () { throw e; }); }
}
function layer(entry) {
  if (w.dataLayer && w.dataLayer.push) w.dataLayer.push(entry);
}
function state(may) { return may ? 'granted' : 'denied'; }
// Google's consent mode takes an arguments object and nothing else.
function consent() { layer(arguments); }
w.consentry = {
  choices: F.c,
  open: function () {
    location.assign(F.o + 'settings?return=' + encodeURIComponent(location.pathname + location.search));
  },
  onChange: function (listener) {
    listeners.push(listener);
    if (w.consentry.choices) tell(listener, w.consentry.choices);
  }
};

// What outlives a choice. Service workers learn for which choices this page was made, those of other folders, too, and
// those for others end; after a choice all look for the script that is made for it.
function renew(isChosen) {
  try {
    navigator.serviceWorker.getRegistrations().then(function (all) {
      all.forEach(function (v) {
        var channel = new MessageChannel(), port = channel.port1;
        function update() { return v.update()['catch'](no); }
        if (isChosen) return update();
        port.onmessage = function () { update().then(function () { port.postMessage(1); }); };
        if (v.active && F.d) v.active.postMessage({ consentry: F.d }, [channel.port2]);
      });
    }, no);
  } catch (e) {}
}
function no() {}
renew();
if (d.referrer.indexOf(location.origin + F.o) == 0) renew(1);
// The guard reaches a frame where somebody asks for its window; others know it by its name or number, or run in it.
function enter() { [].forEach.call(d.querySelectorAll('iframe,frame'), function (v) { return v.contentWindow; }); }
d.addEventListener('load', enter, true);
if (F.d != 'all' && w.MutationObserver) new MutationObserver(enter).observe(d, { childList: true, subtree: true });
// Pages in other tabs, and those behind the back button, end with what they were allowed: they are loaded anew, or, where
// something was typed that would be lost, load nothing of others any more.
var tabs, isTyped, isEnded;
function isLess(now) {
  var had = w.consentry.choices;
  return had && !isEnded && (Object.keys(had.categories).some(function (v) { return had.categories[v] && !now.categories[v]; }) ||
    F.d && had.services.some(function (v) { return now.services.indexOf(v) < 0; }));
}
// What another page says may be old: the server knows.
function check() {
  w.fetch(F.o + 'choices', { cache: 'no-store' }).then(function (answer) {
    return answer.json().then(function (now) {
      if (isLess(now)) end(now, answer.headers.get('Content-Security-Policy') || '');
    });
  })['catch'](no);
}
function end(now, policy) {
  isEnded = true;
  // A page that acts on the change itself says so.
  if (!d.dispatchEvent(new CustomEvent('consentry:change', { detail: now, cancelable: true }))) return;
  if (!isTyped && !me.hasAttribute('data-posted')) return location.reload();
  var meta = d.createElement('meta');
  meta.httpEquiv = 'Content-Security-Policy';
  meta.content = policy.split(';')[0];
  d.head.appendChild(meta);
}
function listen() {
  try {
    tabs = new BroadcastChannel('consentry');
    tabs.onmessage = function (e) { if (isLess(e.data)) check(); };
    tabs.postMessage(F.c || { categories: { necessary: true }, services: [] });
  } catch (e) {}
}
d.addEventListener('input', function (e) { if (e.target.nodeName != 'CONSENTRY-BANNER') isTyped = true; }, true);
w.addEventListener('pagehide', function () { if (tabs) tabs.close(); });
w.addEventListener('pageshow', function (e) {
  if (!e.persisted) return;
  listen();
  check();
});
listen();

d.addEventListener('consentry:change', function (e) {
  var choices = e.detail, may = choices.categories;
  w.consentry.choices = choices;
  renew(1);
  if (tabs) tabs.postMessage(choices);
  consent('consent', 'update', { ad_storage: state(may.marketing), ad_user_data: state(may.marketing), ad_personalization: state(may.marketing), analytics_storage: state(may.statistics), functionality_storage: state(may.preferences), personalization_storage: state(may.preferences), security_storage: 'granted' });
  layer({ event: 'consentry', consentry: choices });
  listeners.slice().forEach(function (listener) { tell(listener, choices); });
});
// A frameset has no body: what belongs there waits in the head, and lies over the frames.
d.addEventListener('DOMContentLoaded', function () {
  var kept = d.querySelector('head>template[data-consentry]');
  if (kept) d.documentElement.insertBefore(kept.content, d.body);
});
// Those who have chosen before: once the page's own layer is there.
if (F.c) d.addEventListener('DOMContentLoaded', function () { layer({ event: 'consentry', consentry: F.c }); });
})(FACTS);
