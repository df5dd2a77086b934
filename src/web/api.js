// For the site's own scripts, on every page: window.consentry. Without it everything still works.
// FACTS: o own path, c choices (null: undecided), g whether the site listens for Global Privacy Control and has not
// heard it.
(function (F) {
var w = window, d = document, listeners = [];
// Extensions may set Global Privacy Control as a property alone. A cookie takes it to the server; where that changes
// what this page may do or says, the page is asked for anew before anything of it runs.
var says = navigator.globalPrivacyControl === true, told = /(^|; )consentry_gpc=1/;
function note(rest) { d.cookie = 'consentry_gpc=' + rest + '; path=/; SameSite=Lax' + (/^https/.test(location.protocol) ? '; Secure' : ''); }
try {
  if (!says && told.test(d.cookie)) note('; max-age=0');
  if (says && F.g && !told.test(d.cookie)) {
    note(1);
    // A form that was posted is not posted again; a frame is not its own page.
    if (told.test(d.cookie) && w.top == w && !d.currentScript.hasAttribute('data-posted') && (!F.c || F.c.categories.marketing || F.c.services.length)) {
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
d.addEventListener('consentry:change', function (e) {
  var choices = e.detail, may = choices.categories;
  w.consentry.choices = choices;
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
