// The banner with scripts, on pages of those who have not chosen. Without it everything still works.
(function () {
var w = window, d = document, root = d.documentElement;
var found = d.getElementsByTagName('consentry-banner'), moves = 9, banner, shadow, opener, pressed, isPosted = d.currentScript.hasAttribute('data-posted'), isSent, isClosed, isTyped, home;

// window.consentry.open leads to the settings page where there is no banner.
var elsewhere = w.consentry.open;
w.consentry.open = function () {
  if (!shadow || !root.contains(banner)) return elsewhere();
  opener = d.activeElement;
  shadow.querySelector('.layer').open = true;
  shadow.querySelector('summary').focus();
};

// The top layer: above every z-index, and fixed even where the body is transformed.
function show() {
  try {
    banner.popover = 'manual';
    if (!banner.matches(':popover-open')) banner.showPopover();
  } catch (e) {}
}
function move(to) {
  if (banner.parentNode == to) return;
  to.appendChild(banner);
  show();
}
function modal(dialog) {
  try { return dialog.matches(':modal'); } catch (e) {}
}
function isHidden(body) {
  return !body || getComputedStyle(body).display == 'none';
}
// Where it can be seen and used: in the body; in a dialog of the page, which makes all beside it inert; beside a body
// that is hidden until a script has run.
function place() {
  var dialogs = [].filter.call(d.querySelectorAll('dialog[open]'), modal), isThere = root.contains(banner);
  if (dialogs.length) return move(dialogs[dialogs.length - 1]);
  if (isThere && d.readyState == 'loading') return;
  // Scripts that build the whole body anew take the banner with them; one that keeps on is not fought.
  if (!isThere && moves-- < 1) return;
  if (!isThere || d.readyState != 'complete' || banner.closest('dialog')) move(isHidden(d.body) ? root : root.contains(home) ? home : d.body);
}

// What has the focus is not under the banner (WCAG 2.4.11).
function cover() {
  var box = banner.getBoundingClientRect(), height = w.innerHeight, style = root.style;
  var isLow = box.bottom > height - 40, isHigh = box.top < 40;
  style.scrollPaddingBottom = !isClosed && isLow && !isHigh ? height - box.top + 8 + 'px' : '';
  style.scrollPaddingTop = !isClosed && isHigh && !isLow ? box.bottom + 8 + 'px' : '';
}
function reveal(e) {
  var element = e.target, box, over;
  if (isClosed || !element.getBoundingClientRect || banner.contains(element)) return;
  box = element.getBoundingClientRect();
  over = banner.getBoundingClientRect();
  if (box.bottom <= over.top || box.top >= over.bottom || box.right <= over.left || box.left >= over.right) return;
  var up = box.bottom - over.top + 8, down = over.bottom - box.top + 8, y = w.scrollY;
  if (box.top - up >= 0) {
    // At the end of the page there is nothing left to scroll.
    if (root.scrollHeight - w.innerHeight - y < up) root.style.paddingBottom = over.height + 16 + 'px';
    w.scrollBy(0, up);
  } else w.scrollBy(0, -Math.min(down, y));
}

// With scripts on, the page keeps its place, and what is typed into it.
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
    var event = new CustomEvent('consentry:change', { detail: choices, cancelable: true });
    // A page that acts on the change itself says so, and is not loaded anew.
    if (d.dispatchEvent(event) && !isTyped && !isPosted) return location.reload();
    isClosed = true;
    cover();
    banner.remove();
    // The link to the settings waits for the banner to go.
    [].forEach.call(d.getElementsByTagName('consentry-settings'), function (link) { link.removeAttribute('data-waits'); });
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

// A category holds its services: ticked with it, and it is ticked no more once one of them is taken out.
function tick(e) {
  var box = e.target, group = box.closest('[role=group]');
  if (!group) return;
  var all = group.querySelector('[name=category]'), services = [].slice.call(group.querySelectorAll('[name=service]'));
  if (box == all) services.forEach(function (one) { one.checked = all.checked; });
  else if (!box.checked) all.checked = false;
}

function enhance() {
  var template = banner.querySelector('template');
  shadow = banner.shadowRoot;
  if (!shadow && template && banner.attachShadow) {
    shadow = banner.attachShadow({ mode: 'open' });
    shadow.appendChild(template.content.cloneNode(true));
  }
  if (!shadow) return;
  home = banner.parentNode;
  shadow.addEventListener('click', function (e) { pressed = e.target.closest('button'); });
  shadow.addEventListener('submit', decide);
  shadow.addEventListener('change', tick);
  d.addEventListener('focusin', reveal);
  if (w.ResizeObserver) new ResizeObserver(cover).observe(banner);
  w.addEventListener('resize', cover);
  show();
  cover();
}
function look() {
  if (isClosed) return;
  if (banner) return place();
  // Not before all of it has come.
  if (found[0] && (d.readyState != 'loading' || found[0].shadowRoot && found[0].shadowRoot.querySelector('.choose button+button'))) {
    banner = found[0];
    enhance();
  }
}
d.addEventListener('input', function (e) { if (e.target != banner) isTyped = true; }, true);
d.addEventListener('DOMContentLoaded', look);
if (w.MutationObserver) {
  var watch = new MutationObserver(look);
  watch.observe(d, { childList: true, subtree: true, attributes: true, attributeFilter: ['open'] });
  w.addEventListener('load', function () { if (!banner) watch.disconnect(); else look(); });
}
})();
