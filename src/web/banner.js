// The banner with scripts, and what the site's own scripts may ask. Without it everything still works.
// FACTS: o own path, c choices (null: undecided).
(function (F) {
var w = window, d = document;
function go(url) { location.assign(url); }

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
