// What the guard must know of every service there is (FACTS), and the end of what hides a page until one has come.
(function (all) {
var w = window, d = document;
try {
  d.dispatchEvent(new CustomEvent('consentry:known', { detail: all }));
} catch (e) {}
// Styles that hide the page until a held service has come.
var unhide = setInterval(function () {
  try {
    [].forEach.call(d.querySelectorAll('style[id]'), function (style) {
      if (/^_vis_opt_path|prehid|^at-body|mbox|kameleoon|abtasty|flicker/i.test(style.id)) style.textContent = '';
    });
    d.documentElement.classList.remove('async-hide');
    w.dataLayer.hide.end();
  } catch (e) {}
}, 50);
w.addEventListener('load', function () { setTimeout(clearInterval, 2e3, unhide); });
})(FACTS);
