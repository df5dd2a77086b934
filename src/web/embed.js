// Placeholders with scripts: loads an embed in its place, and sizes its placeholder by the page's rules for frames.
// Without it the forms work by themselves.
(function () {
var d = document, w = window;
var SIZES = 'position top right bottom left cssFloat margin width height minWidth minHeight maxWidth maxHeight aspectRatio'.split(' ');

function all() {
  return [].slice.call(d.getElementsByTagName('consentry-embed'));
}
// The frame that a placeholder stands for.
function frameOf(host) {
  var kept = host.querySelector('template[data-consentry]'), frame = kept && kept.content.firstElementChild;
  if (!frame) return null;
  return frame.nodeName == 'IFRAME' ? frame.cloneNode() : d.createElement('iframe');
}
// Browsers that do not know shadow roots in markup.
function open(host) {
  var template = host.querySelector('template[shadowrootmode]');
  if (!template || host.shadowRoot || !host.attachShadow) return;
  host.attachShadow({ mode: 'open' }).appendChild(template.content.cloneNode(true));
  host.removeChild(template);
}
// Rules of the page such as `.film iframe` do not reach the placeholder. What they say of a frame that is not shown is
// what they say, not what came of it: percentages stay percentages.
function fit(host) {
  var frame = frameOf(host), rules, isPlain;
  if (!frame || !frame.hasAttribute('data-consentry-service')) return;
  frame.style.setProperty('display', 'none', 'important');
  host.parentNode.insertBefore(frame, host);
  rules = w.getComputedStyle(frame);
  isPlain = rules.width == frame.width + 'px' && rules.height == frame.height + 'px';
  SIZES.forEach(function (name) {
    var value = rules[name];
    if (value && !/^(auto|none|static|0px)$/.test(value) && !(isPlain && /^(width|height)$/.test(name))) host.style[name] = value;
  });
  host.parentNode.removeChild(frame);
}
// The provider's page comes in a page of this site's: this page's own policy does not let it in before the next visit.
function load(host, form) {
  var frame = frameOf(host), own = form.action.replace(/choices$/, 'embed');
  frame.id = host.id;
  frame.allow = 'accelerometer; autoplay; clipboard-write; encrypted-media; fullscreen; gyroscope; picture-in-picture; web-share';
  frame.allowFullscreen = true;
  if (!frame.className) frame.className = host.className;
  if (!frame.style.cssText) frame.style.cssText = host.style.cssText;
  frame.src = own + '?service=' + encodeURIComponent(host.getAttribute('data-consentry-service')) +
    '&address=' + encodeURIComponent(host.getAttribute('data-consentry-src')) + '&title=' + encodeURIComponent(frame.title);
  host.parentNode.replaceChild(frame, host);
  return frame;
}
function post(form, choice) {
  var field = d.createElement('input');
  field.type = 'hidden';
  field.name = 'choice';
  field.value = choice;
  form.appendChild(field);
  form.submit();
}
// A form that was posted is not posted again.
function again() {
  if (d.querySelector('script[data-posted]')) w.location.replace(w.location.href);
  else w.location.reload();
}
function decide(host, form, choice) {
  var service = host.getAttribute('data-consentry-service'), fields = new URLSearchParams(new FormData(form));
  fields.set('choice', choice);
  w.fetch(form.action, { method: 'POST', body: fields, credentials: 'same-origin', headers: { Accept: 'application/json' } }).then(function (answer) {
    if (!answer.ok) throw answer;
    return answer.json();
  }).then(function (told) {
    var hosts = choice == 'once' ? [host] : all().filter(function (other) { return other.getAttribute('data-consentry-service') == service; }), frame;
    if (choice != 'once' && w.consentry) {
      w.consentry.choices = told;
      d.dispatchEvent(new CustomEvent('consentry:change', { detail: told }));
    }
    // What a script of the service draws comes with the page.
    if (!hosts.every(frameOf)) return again();
    hosts.forEach(function (other) {
      var loaded = load(other, form);
      if (other == host) frame = loaded;
    });
    frame.focus();
  })['catch'](function () {
    // The page that answers a form says what went wrong.
    post(form, choice);
  });
}
d.addEventListener('click', function (e) {
  var button = e.composedPath && e.composedPath()[0], host = e.target;
  if (!button || button.name != 'choice' || host.nodeName != 'CONSENTRY-EMBED' || !w.fetch || !w.URLSearchParams) return;
  e.preventDefault();
  if (host.consentryPressed) return;
  host.consentryPressed = true;
  decide(host, button.form, button.value);
});
// A page whose own policy lets in the provider alone shows it with its next visit.
d.addEventListener('securitypolicyviolation', function (e) {
  if (/\/embed\?service=/.test(e.blockedURI) && e.disposition == 'enforce') again();
});
all().forEach(function (host) { open(host); fit(host); });
})();
