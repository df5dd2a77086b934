// What the guard must know of every service there is (FACTS), and the end of what hides a page until one has come that
// is held.
(function (all) {
var w = window, d = document;
try {
  d.dispatchEvent(new CustomEvent('consentry:known', { detail: all }));
} catch (e) {}
// Styles that hide the page until a service has come, by what their ids look like; those of services that may act
// (data-acting) they end themselves.
var HIDES = { vwo: /^_vis_opt_path/, 'adobe-target': /prehid|^at-body|mbox/i, kameleoon: /kameleoon/i, 'ab-tasty': /abtasty/i };
var acting = (d.currentScript.getAttribute('data-acting') || '').split(' ');
function acts(id) { return acting.indexOf(id) >= 0; }
var unhide = setInterval(function () {
  try {
    [].forEach.call(d.querySelectorAll('style[id]'), function (style) {
      if (/flicker/i.test(style.id) || Object.keys(HIDES).some(function (id) { return !acts(id) && HIDES[id].test(style.id); })) style.textContent = '';
    });
    if (acts('google-tag-manager')) return;
    d.documentElement.classList.remove('async-hide');
    w.dataLayer.hide.end();
  } catch (e) {}
}, 50);
w.addEventListener('load', function () { setTimeout(clearInterval, 2e3, unhide); });
})(FACTS);
