// For the site's own scripts, on every page: window.consentry. Without it everything still works.
// FACTS: o own path, c choices (null: undecided).
(function (F) {
var w = window, d = document, listeners = [];
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
// Those who have chosen before: once the page's own layer is there.
if (F.c) d.addEventListener('DOMContentLoaded', function () { layer({ event: 'consentry', consentry: F.c }); });
})(FACTS);
