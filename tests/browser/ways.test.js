// The ways by which a script makes a browser load something that no policy stops under `block-active`: pictures, films,
// fonts and styles. Each is tried for somebody who is held and for somebody whom nobody knows, before the browser has
// the list of all services and after: the one is never called, the other always is, so that a way that does not work
// in this browser fails its test, too.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openBehind } from './support/behind.js';

// What each way does with `url`. `box` is an element on the page, `make` makes one of that name, `svg` one of SVG.
const PICTURES = {
  'a picture': 'new Image().src = url',
  'a set of pictures': "new Image().srcset = url + ' 1x, /none.gif 2x'",
  'an attribute': "make('img').setAttribute('SRC', url)",
  'an attribute with a namespace': "make('img').setAttributeNS(null, 'src', url)",
  'a node of an attribute': "var a = document.createAttribute('src'); a.value = url; make('img').setAttributeNode(a)",
  'a node of an attribute by its name': "var a = document.createAttribute('src'); a.value = url; make('img').attributes.setNamedItem(a)",
  "the value of an attribute's node": "var i = make('img'); i.setAttribute('src', '/none.gif'); i.attributes.src.value = url",
  'a button': "var i = make('input'); i.type = 'image'; i.src = url; box.append(i)",
  'a source': "var p = make('picture'), s = make('source'); s.srcset = url; p.append(s, make('img')); box.append(p)",
  'a poster': "var v = make('video'); v.poster = url; box.append(v)",
  'a film': "make('video').src = url",
  'a source of a film': "var v = make('video'), s = make('source'); s.src = url; v.append(s); box.append(v)",
  'a sound': 'new Audio(url)',
  'a style sheet': "var l = make('link'); l.rel = 'stylesheet'; l.href = url; document.head.append(l)",
  'a style sheet whose relation comes last': "var l = make('link'); l.href = url; document.head.append(l); l.rel = 'stylesheet'",
  'an icon': "var l = make('link'); l.rel = 'preload'; l.as = 'image'; l.href = url; document.head.append(l)",
  'a set of pictures to preload': "var l = make('link'); l.rel = 'preload'; l.as = 'image'; l.imageSrcset = url + ' 1x'; document.head.append(l)",
  'a picture out of a document that is fetched': "var x = new XMLHttpRequest(); x.open('GET', URL.createObjectURL(new Blob(['<x><i xmlns=\"http://www.w3.org/1999/xhtml\"><img src=\"' + url + '\"/></i></x>'], { type: 'text/xml' })), false); x.send(); box.append(document.importNode(x.responseXML.documentElement.firstChild, true))",
  'a picture that is taken out of a document that is fetched': "var x = new XMLHttpRequest(); x.open('GET', URL.createObjectURL(new Blob(['<x><s xmlns=\"http://www.w3.org/2000/svg\"><svg><image width=\"9\" height=\"9\" href=\"' + url + '\"/></svg></s></x>'], { type: 'text/xml' })), false); x.send(); box.append(document.adoptNode(x.responseXML.querySelector('svg')))",
  'an element whose name has a prefix': "document.createElementNS('http://www.w3.org/1999/xhtml', 'h:img').src = url",
  'a picture of SVG whose names have prefixes': "var s = svg('svg'), i = document.createElementNS('http://www.w3.org/2000/svg', 's:image'); i.setAttribute('width', 9); i.setAttribute('height', 9); i.setAttributeNS('http://www.w3.org/1999/xlink', 'l:href', url); s.append(i); box.append(s)",
  'a reference that a text declares': "var o = new DOMParser().parseFromString('<!DOCTYPE x [<!ENTITY u \"' + url + '\">]><x xmlns=\"http://www.w3.org/1999/xhtml\"><img src=\"&u;\"/></x>', 'application/xhtml+xml'); box.append(document.importNode(o.documentElement, true))",
  'a template of a document that is parsed': "var o = new DOMParser().parseFromString('<template><img src=\"' + url + '\"></template>', 'text/html'); box.append(document.importNode(o.querySelector('template').content, true))",
  'what a transformation makes': "var t = new XSLTProcessor(); t.importStylesheet(new DOMParser().parseFromString('<x:stylesheet version=\"1.0\" xmlns:x=\"http://www.w3.org/1999/XSL/Transform\"><x:template match=\"/\"><x:element name=\"img\"><x:attribute name=\"src\">' + url + '</x:attribute></x:element></x:template></x:stylesheet>', 'text/xml')); box.append(t.transformToFragment(new DOMParser().parseFromString('<a/>', 'text/xml'), document))",
  'an instruction': "document.insertBefore(document.createProcessingInstruction('xml-stylesheet', 'type=\"text/css\" href=\"' + url + '\"'), document.documentElement)",
  'a background of the body': "var b = make('body'); b.background = url; document.documentElement.append(b)",
  'a background of a table': "var t = make('table'); t.setAttribute('background', url); t.insertRow().insertCell(); box.append(t)",
  'a picture of SVG': "var s = svg('svg'), i = svg('image'); i.setAttribute('href', url); s.append(i); box.append(s)",
  'a picture of SVG by xlink': "var s = svg('svg'), i = svg('image'); i.setAttributeNS('http://www.w3.org/1999/xlink', 'xlink:href', url); s.append(i); box.append(s)",
  'a picture of SVG by its property': "var s = svg('svg'), i = svg('image'); s.append(i); box.append(s); i.href.baseVal = url",
  'a picture within a filter': "var s = svg('svg'), f = svg('filter'), i = svg('feImage'), r = svg('rect'); f.id = 'f'; i.setAttribute('href', url); f.append(i); s.append(f, r); r.setAttribute('filter', 'url(#f)'); r.setAttribute('width', 9); r.setAttribute('height', 9); box.append(s)",
  'a picture that SVG changes': "var s = svg('svg'), i = svg('image'), e = svg('set'); e.setAttribute('attributeName', 'href'); e.setAttribute('to', url); i.append(e); s.append(i); box.append(s)",
  markup: 'box.innerHTML = "<p><img src=\'" + url + "\'></p>"',
  'markup with a bracket in an attribute': 'box.innerHTML = "<img alt=\'a > b\' src=\'" + url + "\'>"',
  'markup behind an apostrophe': 'box.innerHTML = "<p title=it\'s>x</p><img src=\'" + url + "\'><p title=\'x\'>y</p>"',
  'markup with references': 'box.innerHTML = "<img src=\'" + url.replace(/\\//g, "&#47;").replace(":", "&colon;") + "\'>"',
  'markup with a slash': 'box.innerHTML = "<img/src=" + url + ">"',
  'markup of a video': 'box.innerHTML = "<video poster=\'" + url + "\'></video>"',
  'markup of a button': 'box.innerHTML = "<input type=image src=\'" + url + "\'>"',
  'markup of SVG by xlink': 'box.innerHTML = "<svg><image xlink:href=\'" + url + "\'/></svg>"',
  "a value of an attribute's node by another name": "var i = make('img'); i.setAttribute('src', '/none.gif'); i.getAttributeNode('src').textContent = url",
  'a page in a frame': 'var f = make("iframe"); f.srcdoc = "<img src=\'" + url + "\'>"; box.append(f)',
  'a page in a frame by its attribute': 'var f = make("iframe"); f.setAttribute("srcdoc", "<img src=\'" + url + "\'>"); box.append(f)',
  'a page in a frame in markup': 'box.innerHTML = "<iframe srcdoc=\'<img src=&quot;" + url + "&quot;>\'></iframe>"',
  'a page in a frame with a style': 'var f = make("iframe"); f.srcdoc = "<style>@import \'" + url + "\'</style>"; box.append(f)',
  'a page in a frame by a node of its attribute': "var f = make('iframe'), a = document.createAttribute('srcdoc'); a.value = '<img src=' + url + '>'; f.setAttributeNode(a); box.append(f)",
  'a page in a frame by an attribute with a namespace': "var f = make('iframe'); f.setAttributeNS(null, 'srcdoc', '<img src=' + url + '>'); box.append(f)",
  'a frame of a blob': "var f = make('iframe'); f.src = URL.createObjectURL(new Blob(['<img src=' + url + '>'], { type: 'text/html' })); box.append(f)",
  'a frame of a script': 'var f = make("iframe"); f.src = "javascript:\'<img src=" + url + ">\'"; box.append(f)',
  'a window within an object': "var f = make('object'); f.data = 'about:blank'; box.append(f); f.contentDocument.body.innerHTML = '<img src=' + url + '>'",
  'a frame of a frameset': "var s = make('frameset'), f = make('frame'); s.append(f); document.documentElement.append(s); f.contentDocument.body.innerHTML = '<img src=' + url + '>'",
  'markup with the attributes of a library': 'box.innerHTML = "<img @load=\\"x=\'\\" src=" + url + " alt=\'a\'>"',
  'markup of a namespace': "box.append(document.importNode(new DOMParser().parseFromString('<s:svg xmlns:s=\"http://www.w3.org/2000/svg\"><s:image href=\"' + url + '\"/></s:svg>', 'image/svg+xml').documentElement, true))",
  'a frame of data': 'var f = make("iframe"); f.src = "data:text/html,<img src=\'" + url + "\'>"; box.append(f)',
  'a picture from a frame': 'var f = make("iframe"); box.append(f); var i = f.contentDocument.createElement("img"); i.src = url; box.append(i)',
  'a picture of a frame by number': 'var f = make("iframe"); box.append(f); new window[window.length - 1].Image().src = url',
  'markup of SVG': 'box.innerHTML = "<svg><image href=\'" + url + "\'/></svg>"',
  'markup of a table': 'box.innerHTML = "<table background=" + url + "><tr><td>x</table>"',
  'markup in place of an element': 'box.append(make("p")); box.lastChild.outerHTML = "<img src=\'" + url + "\'>"',
  'markup beside an element': 'box.insertAdjacentHTML("beforeend", "<img srcset=\'" + url + " 1x\'>")',
  'markup that is set unsafely': 'box.setHTMLUnsafe("<img src=\'" + url + "\'>")',
  'markup of a template': 'var t = make("template"); t.innerHTML = "<img src=\'" + url + "\'>"; box.append(t.content.cloneNode(true))',
  'markup of a range': 'var r = document.createRange(); r.selectNode(box); box.append(r.createContextualFragment("<img src=\'" + url + "\'>"))',
  'markup of a parser': 'box.append(new DOMParser().parseFromString("<img src=\'" + url + "\'>", "text/html").body.firstChild)',
  'markup of a document': 'box.append(Document.parseHTMLUnsafe("<img src=\'" + url + "\'>").body.firstChild)',
  'markup of another document': 'var o = document.implementation.createHTMLDocument(); o.body.innerHTML = "<img src=\'" + url + "\'>"; box.append(o.body.firstChild)',
  'markup that an editor inserts': 'var e = make("div"); e.contentEditable = true; box.append(e); e.focus(); document.execCommand("insertHTML", false, "<img src=\'" + url + "\'>")',
  'a picture that an editor inserts': 'var e = make("div"); e.contentEditable = true; box.append(e); e.focus(); document.execCommand("insertImage", false, url)',
  'markup within a shadow': 'var s = make("div"); box.append(s); s.attachShadow({ mode: "open" }).innerHTML = "<img src=\'" + url + "\'>"',
  'markup within a shadow that is set unsafely': 'var s = make("div"); box.append(s); s.attachShadow({ mode: "closed" }).setHTMLUnsafe("<img src=\'" + url + "\'>")',
  'markup with a shadow': 'box.setHTMLUnsafe("<div><template shadowrootmode=open><img src=\'" + url + "\'></template></div>")',
  'a frame that a script fills': 'var f = make("iframe"); box.append(f); f.contentDocument.body.innerHTML = "<img src=\'" + url + "\'>"',
  'a frame that a script writes': 'var f = make("iframe"); box.append(f); f.contentDocument.write("<img src=\'" + url + "\'>"); f.contentDocument.close()',
};

// What each way does with an address in rules of style. `p` is an element on the page of the class NAME.
const STYLES = {
  'an attribute of style': "p.setAttribute('style', 'background: url(' + url + ')')",
  "the value of a style's node": "p.setAttribute('style', ''); p.attributes.style.value = 'background: url(' + url + ')'",
  'a property of style': "p.style.backgroundImage = 'url(' + url + ')'",
  'a property of style, with its quotes': "p.style.listStyleImage = 'url( \"' + url + '\" )'; p.style.display = 'list-item'",
  'a whole style': "p.style.cssText = 'background: url(' + url + ')'",
  'a style that is assigned': "p.style = 'background: url(' + url + ')'",
  'a variable of style': "p.style.setProperty('--x', 'url(' + url + ')'); p.style.background = 'var(--x)'",
  'a typed property of style': "p.attributeStyleMap.set('background-image', 'url(' + url + ')')",
  'a property that is measured at once': "p.style.backgroundImage = 'url(' + url + ')'; p.offsetWidth",
  'a property that is measured by its box': "p.style.backgroundImage = 'url(' + url + ')'; p.getBoundingClientRect()",
  'a property that is asked for at once': "p.style.backgroundImage = 'url(' + url + ')'; getComputedStyle(p).backgroundImage",
  'an element of style': "var s = make('style'); s.textContent = '.NAME { background: url(' + url + ') }'; document.head.append(s)",
  'an element of style that is measured': "var s = make('style'); s.textContent = '.NAME { background: url(' + url + ') }'; document.head.appendChild(s); p.clientWidth",
  'a text in an element of style': "var s = make('style'); document.head.append(s); s.append('.NAME { background: url(' + url + ') }')",
  'a text node in an element of style': "var s = make('style'); document.head.append(s); s.appendChild(document.createTextNode('.NAME { background: url(' + url + ') }'))",
  'a text node that is changed': "var s = make('style'); s.append('.x {}'); document.head.append(s); s.firstChild.data = '.NAME { background: url(' + url + ') }'",
  'an element of style that is written anew': "var s = make('style'); document.head.append(s); s.innerHTML = '.NAME { background: url(' + url + ') }'",
  'a rule of a sheet': "sheet().insertRule('.NAME { background: url(' + url + ') }')",
  'a rule of a sheet, as it was once written': "sheet().addRule('.NAME', 'background: url(' + url + ')')",
  'a rule within a rule': "var s = sheet(); s.insertRule('@media all {}'); s.cssRules[0].insertRule('.NAME { background: url(' + url + ') }')",
  'a rule nested in a rule': "var s = sheet(); s.insertRule('.NAME {}'); s.cssRules[0].insertRule('& { background: url(' + url + ') }')",
  'a property of a rule': "var s = sheet(); s.insertRule('.NAME {}'); s.cssRules[0].style.backgroundImage = 'url(' + url + ')'",
  'a property of a rule by its method': "var s = sheet(); s.insertRule('.NAME {}'); s.cssRules[0].style.setProperty('background', 'url(' + url + ')', 'important')",
  'the whole style of a rule': "var s = sheet(); s.insertRule('.NAME {}'); s.cssRules[0].style = 'background: url(' + url + ')'",
  'a typed property of a rule': "var s = sheet(); s.insertRule('.NAME {}'); s.cssRules[0].styleMap.set('background-image', 'url(' + url + ')')",
  'a step of an animation': "var s = sheet(); s.insertRule('@keyframes NAME {}'); s.cssRules[0].appendRule('from { background: url(' + url + ') }'); p.style.animation = 'NAME 9s'",
  'an animation': "p.animate([{ backgroundImage: 'url(' + url + ')' }, {}], 9000)",
  'an animation by properties': "p.animate({ backgroundImage: ['url(' + url + ')', 'none'] }, 9000)",
  'an effect': "new Animation(new KeyframeEffect(p, [{ backgroundImage: 'url(' + url + ')' }, {}], 9000)).play()",
  'an effect that is changed': "var e = new KeyframeEffect(p, [], 9000); new Animation(e).play(); e.setKeyframes([{ backgroundImage: 'url(' + url + ')' }, {}])",
  'a sheet that is adopted': "var s = new CSSStyleSheet(); s.replaceSync('.NAME { background: url(' + url + ') }'); document.adoptedStyleSheets.push(s)",
  'a sheet that is replaced': "var s = new CSSStyleSheet(); document.adoptedStyleSheets.push(s); s.replace('.NAME { background: url(' + url + ') }')",
  'a set of pictures': "p.style.background = 'image-set(\"' + url + '\" 1x)'",
  'a picture behind a remark': "var s = make('style'); s.textContent = \"/* it's */ .NAME { background: url('\" + url + \"') }\"; document.head.append(s)",
  'an element of style whose name has a prefix': "var s = document.createElementNS('http://www.w3.org/1999/xhtml', 'h:style'); s.textContent = '.NAME { background: url(' + url + ') }'; document.head.append(s)",
  'an import': "var s = make('style'); s.textContent = '@import url(' + url + ');'; document.head.append(s)",
  'an import by a text': "var s = make('style'); document.head.append(s); s.textContent = '@import \"' + url + '\";'",
  'an import by a text node': "var s = make('style'); document.head.append(s); s.appendChild(document.createTextNode(\"@import '\" + url + \"';\"))",
  'an import by a rule': "sheet().insertRule('@import \"' + url + '\"')",
  'an import in a node that is put in deep down': "var b = make('div'), s = make('style'); s.append('@import \"' + url + '\"'); b.append(s); box.insertBefore(b, null)",
  'an import in markup': "box.insertAdjacentHTML('beforeend', '<style>@import \"' + url + '\"</style>')",
  'an import in markup of a shadow': "var b = make('div'); box.append(b); b.attachShadow({ mode: 'open' }).innerHTML = '<style>@import url(' + url + ')</style>'",
  'style within a shadow': "var b = make('div'), i = make('i'); box.append(b); i.textContent = 'x'; var r = b.attachShadow({ mode: 'open' }); r.append(i); i.style.background = 'url(' + url + ')'",
  'an element of style within a shadow': "var b = make('div'), s = make('style'); box.append(b); s.textContent = ':host { background: url(' + url + ') }'; b.attachShadow({ mode: 'closed' }).append(s)",
  'a style in markup': "box.insertAdjacentHTML('beforeend', '<p style=\"background: url(' + url + ')\">x</p>')",
  'a font': "new FontFace('NAME', 'url(' + url + ')').load().catch(function () {})",
  'a font of a rule': "sheet().insertRule('@font-face { font-family: NAME; src: url(' + url + ') }'); p.style.fontFamily = 'NAME'",
  'a property within a shadow that stands in markup': "box.setHTMLUnsafe('<div><template shadowrootmode=open><i>x</i></template></div>'); box.firstChild.shadowRoot.firstChild.style.background = 'url(' + url + ')'",
  'a property of SVG': "var s = svg('svg'), r = svg('rect'); box.append(s); s.append(r); s.style.background = 'url(' + url + ')'; s.getBBox()",
  'an attribute of SVG': "var s = svg('svg'), r = svg('rect'); r.setAttribute('width', 9); r.setAttribute('height', 9); r.setAttribute('mask', 'url(' + url + ')'); s.append(r); box.append(s)",
  'a style of a frame': "var f = make('iframe'); box.append(f); f.contentDocument.body.style.background = 'url(' + url + ')'; f.contentDocument.body.offsetWidth",
  'an element of style of a frame': "var f = make('iframe'); box.append(f); var s = f.contentDocument.createElement('style'); s.textContent = '@import url(' + url + ')'; f.contentDocument.head.append(s)",
  'a property of which a style that was computed before is asked': "var c = getComputedStyle(p); c.width; p.style.backgroundImage = 'url(' + url + ')'; c.width",
  'an address with an apostrophe': "p.style.backgroundImage = 'url(\"' + url + '?t=it\\'s\")'",
  'an address with an escape': "p.setAttribute('style', 'background: url(' + url.replace('tiktok', 't\\\\69ktok').replace('images', 'i\\\\6d ages') + ')')",
  'a node of another document': "var o = document.implementation.createHTMLDocument(), q = o.createElement('p'); q.textContent = 'x'; o.body.append(q); q.style.background = 'url(' + url + ')'; box.append(q)",
  'a part of a table': "var t = make('table'), h = make('thead'); h.innerHTML = '<tr><td>x'; h.style.background = 'url(' + url + ')'; box.append(t); t.tHead = h",
  'what a range is put into': "var r = document.createRange(), b = make('b'); b.style.background = 'url(' + url + ')'; r.selectNodeContents(p); r.surroundContents(b)",
  'a fragment in an element of style': "var s = make('style'), f = document.createDocumentFragment(); document.head.append(s); f.append('.NAME { background: url(' + url + ') }'); s.appendChild(f); p.offsetWidth",
  'a text beside others in an element of style': "var s = make('style'); document.head.append(s); s.insertAdjacentText('beforeend', '.NAME { background: url(' + url + ') }'); p.offsetWidth",
  'markup in an element of style': "var s = make('style'); document.head.append(s); s.insertAdjacentHTML('beforeend', '.NAME { background: url(' + url + ') }'); p.offsetWidth",
  'a range in an element of style': "var s = make('style'), r = document.createRange(); document.head.append(s); r.selectNodeContents(s); r.insertNode(document.createTextNode('.NAME { background: url(' + url + ') }')); p.offsetWidth",
  'a text in place of a child of an element of style': "var s = make('style'), b = make('b'); s.append(b); document.head.append(s); b.outerText = '.NAME { background: url(' + url + ') }'; p.offsetWidth",
  'a typed value': "var s = sheet(); s.insertRule('.NAME {}'); s.cssRules[0].styleMap.set('background-image', CSSStyleValue.parse('background-image', 'url(' + url + ')'))",
  'a registered property': "CSS.registerProperty({ name: '--NAME', syntax: '<image>', inherits: false, initialValue: 'url(' + url + ')' }); p.style.background = 'var(--NAME)'",
  'a property of which a dialog asks': "var d = make('dialog'); box.append(d); p.style.backgroundImage = 'url(' + url + ')'; d.showModal(); d.close()",
  'a property of which a selection asks': "p.style.backgroundImage = 'url(' + url + ')'; getSelection().selectAllChildren(p); getSelection().modify('move', 'forward', 'line')",
  'a pointer': "p.style.cursor = 'url(' + url + '), auto'",
};

const WAYS = { ...PICTURES, ...Object.fromEntries(Object.entries(STYLES).map(([name, code]) => [`${name} (style)`, code])) };
const HELD = 'https://analytics.tiktok.com';
const FREE = 'https://images.example';

/** A page whose script goes all of these ways to `host`, the n-th with `/way-n-`; what one throws is kept. */
function script(host) {
  const all = Object.values(WAYS).map((code, n) => `go(${n}, function (url, p) { ${code.replaceAll('NAME', `way${n}`)}; });`);
  return `var thrown = {};
function make(name) { return document.createElement(name); }
function svg(name) { return document.createElementNS('http://www.w3.org/2000/svg', name); }
function sheet() { var s = make('style'); document.head.append(s); return s.sheet; }
function go(n, act) {
  var box = window.box = make('div'), p = make('p');
  p.className = 'way' + n; p.textContent = 'x'; box.append(p); document.body.append(box);
  p.offsetWidth;
  try { act('${host}/way-' + n + '-', p); } catch (e) { thrown[n] = String(e); }
}
${all.join('\n')}`;
}

const page = (code) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title></head><body><script>${code.replaceAll('</', '<\\/')}</script></body></html>`;
const later = (code) => page(`window.run = function () { ${code}; window.thrown = thrown; };`);
const world = openBehind({
  '/held': page(script(HELD)),
  '/free': page(script(FREE)),
  '/held-later': later(script(HELD)),
  '/free-later': later(script(FREE)),
  '/end': page(''),
}, `own_services:
  - { name: map, title: Map, provider: Us, country: SE, category: necessary, purpose: { sv: Karta, en: Map }, urls: [map.own.example/] }`);

const STATIC = `<p id="own" style="background: url(https://images.example/static.gif)">x</p>`;
world.pages['/static'] = page(`document.addEventListener('DOMContentLoaded', function () {
  var own = document.getElementById('own');
  own.style.color = 'red'; own.offsetWidth; document.body.insertBefore(document.createElement('b'), own); document.body.append(own);
});`).replace('</body>', `${STATIC}</body>`);
world.pages['/twice'] = page(`var own = new Image(); own.src = '/own.gif'; own.src = '${FREE}/after.gif';
var last = new Image(); last.src = '${FREE}/before.gif'; last.src = '/own.gif';
document.addEventListener('DOMContentLoaded', function () { document.body.append(own, last); });`);
world.pages['/without'] = page(`document.addEventListener('DOMContentLoaded', function () {
  var p = document.createElement('p'); p.id = 'p'; p.textContent = 'x'; document.body.append(p);
  p.style.background = 'url(${HELD}/without.gif)';
});`);

/** The names of the ways by which `host` was called. */
function taken(host) {
  const names = Object.keys(WAYS);
  const calls = world.internet.called().map((call) => call.match(new RegExp(`^${host.replace('https://', '')}(?::\\d+)?/way-(\\d+)-`))?.[1]);
  return names.filter((_, n) => calls.includes(String(n)));
}

/** What ends a test for calls: pictures and styles are asked for within a frame or two, and then an allowed request. */
async function settle(visitor) {
  await visitor.page.evaluate(() => new Promise((done) => { setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300))), 0); }));
  await visitor.page.evaluate(() => fetch('/end').then((answer) => answer.text()));
}

/** Opens a page whose script runs before its browser has the list of all services; `release` lets it have it. */
async function beforeTheList(visitor, path, act) {
  let release;
  const released = new Promise((done) => { release = done; });
  await visitor.page.route('**/assets/known.*', async (route) => {
    if (route.request().resourceType() === 'script') await released;
    await route.continue();
  });
  const visit = visitor.visit(path);
  await visitor.page.waitForFunction(() => document.readyState !== 'loading');
  await act();
  release();
  await visit;
}

test('c1 no way leads to somebody who is held, before the browser has the list of all services', async () => {
  await world.asVisitor({}, async (visitor) => {
    await beforeTheList(visitor, '/held', () => settle(visitor));
    await settle(visitor);
    assert.deepEqual(taken(HELD), []);
    assert.deepEqual(world.internet.called(), []);
    assert.deepEqual(visitor.errors, []);
  });
});

test('c1 no way leads to somebody who is held, once the browser has the list', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/held-later');
    await visitor.page.evaluate(() => window.run());
    await settle(visitor);
    assert.deepEqual(taken(HELD), []);
    assert.deepEqual(world.internet.called(), []);
    assert.deepEqual(visitor.errors, []);
  });
});

/** Waits until each way has led to the one whom nobody knows, and says which have not. */
async function allLead(visitor, ways = Object.keys(WAYS)) {
  const isMissing = () => ways.filter((name) => !taken(FREE).includes(name));
  for (let turn = 0; turn < 40 && isMissing().length; turn++) await settle(visitor);
  assert.deepEqual(isMissing(), []);
}

test('every way leads to those whom nobody knows, before the browser has the list and after', async () => {
  await world.asVisitor({}, async (visitor) => {
    await beforeTheList(visitor, '/free', async () => {});
    await allLead(visitor);
  });
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/free-later');
    await visitor.page.evaluate(() => window.run());
    await allLead(visitor);
  });
});

const xhtml = (code) => ({
  type: 'application/xhtml+xml',
  body: `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>t</title></head><body><script><![CDATA[${code}]]></script></body></html>`,
});

test('c1 no way leads to somebody who is held from a page that is XML, and those that lead to others there still do', async () => {
  world.pages['/held-xml'] = xhtml(script(HELD));
  world.pages['/free-xml'] = xhtml(script(FREE));
  await world.asVisitor({}, async (visitor) => {
    await beforeTheList(visitor, '/held-xml', () => settle(visitor));
    await settle(visitor);
    assert.deepEqual(world.internet.called(), []);
    assert.deepEqual(visitor.errors, []);
  });
  // Some of them XML does not know, such as `document.write`.
  const alone = await world.asVisitor({ url: world.direct }, async (visitor) => {
    await visitor.visit('/free-xml');
    for (let turn = 0; turn < 4; turn += 1) await settle(visitor);
    return taken(FREE);
  });
  assert.ok(alone.length > 100, `${alone.length}`);
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/free-xml');
    await allLead(visitor, alone);
  });
});

const FRAMES = {
  'a frame': "var f = make('iframe'); f.src = url; box.append(f)",
  'a frame that is there already': "var f = make('iframe'); box.append(f); f.setAttribute('src', url)",
  'a frame in markup': 'box.innerHTML = "<iframe src=\'" + url + "\'></iframe>"',
  'a frame in a shadow': 'box.attachShadow({ mode: "open" }).innerHTML = "<iframe src=\'" + url + "\'></iframe>"',
};
const framed = (host) => `addEventListener('DOMContentLoaded', function () { ${Object.values(FRAMES).map((code, n) =>
  `(function (url) { function make(name) { return document.createElement(name); } var box = make('div'); document.body.append(box); ${code}; })('${host}/frame-${n}-');`).join('\n')} });`;

test('no frame of a host that nobody knows so much as connects, before the browser has the list and after', async () => {
  world.pages['/nobody'] = page(framed('https://nobody.example'));
  await world.asVisitor({}, async (visitor) => {
    await beforeTheList(visitor, '/nobody', () => settle(visitor));
    await settle(visitor);
    assert.deepEqual(world.internet.called(), []);
    assert.deepEqual(visitor.errors, []);
  });
  await world.asVisitor({ url: world.direct }, async (visitor) => {
    await visitor.visit('/nobody');
    for (const n of Object.keys(FRAMES).keys()) await world.internet.callTo(`nobody.example/frame-${n}-`);
  });
});

test('frames of hosts that a page needs, or that the site names, are there at once', async () => {
  for (const host of ['js.stripe.com', 'map.own.example']) {
    world.pages['/needed'] = page(framed(`https://${host}`));
    await world.asVisitor({}, async (visitor) => {
      await visitor.visit('/needed');
      for (const n of Object.keys(FRAMES).keys()) await world.internet.callTo(`${host}/frame-${n}-`);
    });
  }
});

test('a window that a script opens empty is guarded as well', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/end');
    const [seen] = await Promise.all([visitor.page.evaluate(async (url) => {
      const other = window.open('about:blank');
      other.document.cookie = '_ga=1; path=/';
      other.document.cookie = 'plain=1; path=/';
      other.localStorage.setItem('_hjid', '1');
      other.localStorage.setItem('plain', '1');
      new other.Image().src = `${url}/window.gif`;
      other.document.body.innerHTML = `<p style="background: url(${url}/style.gif)">x</p><img src="${url}/markup.gif">`;
      await new Promise((done) => { setTimeout(done, 300); });
      return [document.cookie, Object.keys(localStorage)];
    }, HELD), visitor.page.waitForEvent('popup')]);
    await settle(visitor);
    assert.match(seen[0], /plain=1/);
    assert.doesNotMatch(seen[0], /_ga=/);
    assert.deepEqual(seen[1], ['plain']);
    assert.deepEqual(world.internet.called(), []);
  });
});

test('what the server has judged is not asked about again when a script touches it', async () => {
  await world.asVisitor({}, async (visitor) => {
    const asked = [];
    visitor.page.on('request', (request) => { if (request.resourceType() === 'xhr') asked.push(request.url()); });
    await beforeTheList(visitor, '/static', () => settle(visitor));
    assert.deepEqual(asked, []);
    assert.deepEqual(world.internet.called().filter((call) => /\/static/.test(call)).length, 1);
  });
});

test('of two addresses that a script gives a picture the last one counts, though it was to wait', async () => {
  await world.asVisitor({}, async (visitor) => {
    await beforeTheList(visitor, '/twice', async () => {});
    await world.internet.callTo('images.example/after.gif');
    await settle(visitor);
    assert.deepEqual(await visitor.page.evaluate(() => [own.src, new URL(last.src).pathname]), [`${FREE}/after.gif`, '/own.gif']);
    assert.ok(!world.internet.called().some((call) => /before/.test(call)));
  });
});

test('markup of which one part waits and another cannot is shown whole', async () => {
  const markup = (host) => `<img src="${host}/mixed-1.gif"><p style="background: url(${host}/mixed-2.gif)">x</p><img src="${host}/mixed-3.gif"><svg><image href="${host}/mixed-4.gif"/></svg>`;
  world.pages['/mixed'] = page(`addEventListener('DOMContentLoaded', function () {
  var box = document.createElement('div'), shadow = document.createElement('div').attachShadow({ mode: 'open' });
  document.body.append(box, shadow.host);
  ${[FREE, HELD].map((host) => `box.insertAdjacentHTML('beforeend', '${markup(host)}'); shadow.innerHTML = '<img src="${host}/mixed-5.gif"><p style="background: url(${host}/mixed-6.gif)">x</p>';`).join('\n').replace('shadow.innerHTML', 'var other = document.createElement("div"); document.body.append(other); other.attachShadow({ mode: "open" }).innerHTML')}
});`);
  await world.asVisitor({}, async (visitor) => {
    await beforeTheList(visitor, '/mixed', () => settle(visitor));
    for (const n of [1, 2, 3, 4, 5, 6]) await world.internet.callTo(`images.example/mixed-${n}.gif`);
    await settle(visitor);
    assert.deepEqual(world.internet.called().filter((call) => !call.startsWith('images.example')), []);
    assert.deepEqual(visitor.errors, []);
  });
});

test('where the list cannot be had, rules of style reach nobody before the page is there', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.page.route('**/assets/known.*', (route) => route.abort());
    await visitor.visit('/without');
    await settle(visitor);
    assert.deepEqual(world.internet.called(), []);
    assert.match(await visitor.page.evaluate(() => document.getElementById('p').getAttribute('style')), /none/);
  });
});

test('markup that a script writes in pieces is held whole, and written as it was meant', async () => {
  const pieces = (host) => page(`document.write('<b id=a>'); document.write('x</b><img alt="a <b" ', 'src="${host.slice(0, 12)}'); document.write('${host.slice(12)}/piece-1.gif"><i>a < b</i><img');
document.writeln(' src=${host}/piece-2.gif'); document.writeln('id=c'); document.write('><p id=d>x'); document.write(0, '', null, undefined); document.write();
document.writeln('<style>'); document.writeln('#d { background:'); document.writeln('url(${host}/piece-3.gif) }'); document.writeln('</style>');
document.write('<im'); document.write('g alt="a>b" src=${host}/piece-4.gif>'); document.write('<div style="'); document.write('background: url(${host}/piece-5.gif)">x</div>');`);
  world.pages['/held-pieces'] = pieces(HELD);
  world.pages['/free-pieces'] = pieces(FREE);
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/held-pieces');
    await settle(visitor);
    assert.deepEqual(world.internet.called(), []);
  });
  const written = (url) => world.asVisitor({ url }, async (visitor) => {
    await visitor.visit('/free-pieces');
    for (const n of [1, 2, 3, 4, 5]) await world.internet.callTo(`images.example/piece-${n}.gif`);
    return visitor.page.evaluate(() => {
      const parts = [...document.querySelectorAll('#a, img, i, p')];
      for (const one of parts.filter((part) => part.getAttribute('data-consentry-src') === part.src)) one.removeAttribute('data-consentry-src');
      return parts.map((one) => [one.localName, one.textContent, ...[...one.attributes].map(({ name, value }) => `${name}=${value}`).sort()]);
    });
  });
  assert.deepEqual(await written(world.url), await written(world.direct));
});

test('a picture that waits is neither there nor broken, and comes wherever it was put', async () => {
  world.pages['/patient'] = page(`var seen = [], template = document.createElement('template'), kept = document.createElement('div'), one = new Image();
template.innerHTML = kept.innerHTML = '<img src="${FREE}/kept.gif">';
var part = document.createRange().createContextualFragment('<img src="${FREE}/part.gif">');
one.src = '${FREE}/one.gif'; seen.push(one.complete); one.decode().then(function () { seen.push('decoded'); }, function (e) { seen.push(String(e)); });
var gone = new Image(); gone.src = '${FREE}/gone.gif'; gone.removeAttribute('src');
var frame = document.createElement('iframe'); frame.onload = function () { seen.push('a frame'); }; frame.src = 'https://js.stripe.com/patient';
addEventListener('DOMContentLoaded', function () { document.body.append(frame); });
window.show = function () { var shadow = document.createElement('div'); document.body.append(shadow, template.content.cloneNode(true), kept.cloneNode(true), part); shadow.attachShadow({ mode: 'closed' }).append(document.importNode(template.content, true)); };`);
  await world.asVisitor({}, async (visitor) => {
    await beforeTheList(visitor, '/patient', async () => {
      await settle(visitor);
      assert.deepEqual(await visitor.page.evaluate(() => seen), [false]);
    });
    await world.internet.callTo('images.example/one.gif');
    await world.internet.callTo('js.stripe.com/patient');
    await visitor.page.waitForFunction(() => seen.length === 3);
    assert.deepEqual(await visitor.page.evaluate(() => seen.slice(1).sort()), ['a frame', 'decoded']);
    world.internet.forget();
    await visitor.page.evaluate(() => window.show());
    await world.internet.callTo('images.example/part.gif');
    await visitor.page.waitForFunction(() => [...document.images].every((image) => image.src && image.complete && !image.hasAttribute('data-consentry-src')));
    assert.equal(await visitor.page.evaluate(() => document.images.length), 3);
    assert.ok(!world.internet.called().some((call) => /gone/.test(call)));
    assert.deepEqual(visitor.errors, []);
  });
});

test('what pages expect of storage, styles and frames they get', async () => {
  world.pages['/idioms'] = page(`addEventListener('DOMContentLoaded', function () {
  window.Event = function (e) { this.type = e.type; };
  var style = document.createElement('style'), frame = document.createElement('iframe'), said = window.said = {};
  document.head.append(style); style.sheet.insertRule('p {}'); document.body.append(frame);
  var rule = style.sheet.cssRules[0];
  said.event = new StorageEvent('storage', { key: 'a', storageArea: localStorage }).storageArea === localStorage;
  Storage.prototype.setItem.call(localStorage, 'plain', '1');
  said.storage = [Storage.prototype.getItem.call(localStorage, 'plain'), localStorage.constructor === Storage, localStorage.getItem === localStorage.getItem, localStorage.length];
  CSSStyleDeclaration.prototype.setProperty.call(rule.style, 'color', 'red');
  said.style = [rule.style.color, rule.style.constructor === CSSStyleDeclaration, rule.style.setProperty === rule.style.setProperty, rule.style === rule.style];
  frame.srcdoc = ''; said.none = frame.srcdoc; frame.srcdoc = '<!doctype html><p>x</p>'; said.srcdoc = [frame.srcdoc, frame.getAttribute('title')];
  frame.onload = function () { said.mode = frame.contentDocument.compatMode; };
  var link = document.createElementNS('http://www.w3.org/2000/svg', 'a'), computed = getComputedStyle(frame);
  link.href.baseVal = '${HELD}/there'; link.className.baseVal = 'c'; said.link = [link.getAttribute('href'), link.getAttribute('class')];
  said.passed = [CSSStyleDeclaration.prototype.getPropertyValue.call(frame.contentWindow.getComputedStyle(frame.contentDocument.body), 'display'), frame.contentWindow.CSSStyleDeclaration.prototype.item.call(computed, 0) === computed[0],
    Object.getOwnPropertyDescriptor(CSSStyleDeclaration.prototype, 'length').get.call(computed) === computed.length, Object.getOwnPropertyDescriptor(CSSStyleDeclaration.prototype, 'cssText').get.call(rule.style)];
  said.artwork = [new MediaMetadata({ artwork: new Set([{ src: '/a.png' }]) }).artwork.length, [() => new MediaMetadata(5), () => new MediaMetadata({ artwork: [{}] }), () => Notification('x')].map((act) => { try { act(); } catch (e) { return e.name; } })];
  said.computed = [computed instanceof CSSStyleDeclaration, String(computed), computed.length === [...computed].length, computed.item(0) === computed[0], computed.getPropertyValue('display'), computed.display, 'color' in computed, Object.keys(computed).length === Object.keys(getComputedStyle(frame)).length];
  var text = document.createElement('style'); text.textContent = null; said.text = text.textContent;
  try { document.body.insertAdjacentHTML('beforeend'); } catch (e) { said.missing = e.name; }
  var image = new Image(); image.onerror = function () { said.failed = true; }; image.src = '${HELD}/idiom.gif';
});`);
  const said = (url) => world.asVisitor({ url }, async (visitor) => {
    await visitor.visit('/idioms');
    await visitor.page.waitForFunction(() => window.said.mode);
    if (url === world.url) await visitor.page.waitForFunction(() => window.said.failed);
    assert.deepEqual(visitor.errors, []);
    return visitor.page.evaluate(() => { delete window.said.failed; return window.said; });
  });
  assert.deepEqual(await said(world.url), await said(world.direct));
});

test('what a page has the browser show beside it comes from nobody who is held', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/end');
    const shown = await visitor.page.evaluate(([held, free]) => {
      const media = (host) => new MediaMetadata({ title: 't', artwork: [{ src: `${host}/a.png`, sizes: '9x9' }] });
      const note = (host) => new Notification('t', { body: 'b', icon: `${host}/a.png` });
      return [...[held, free].map((host) => media(host).artwork.map(({ src }) => src)), ...[held, free].map((host) => note(host).icon),
        note(held).body, media(held).title, typeof Notification.permission, media(held) instanceof MediaMetadata];
    }, [HELD, FREE]);
    assert.deepEqual(shown, [[], [`${FREE}/a.png`], '', `${FREE}/a.png`, 'b', 't', 'string', true]);
  });
});

test('data that a page fetches stays as it is, though it has names of HTML', async () => {
  const data = `<feed xmlns="http://www.w3.org/2005/Atom"><link href="${HELD}/a"/><image src="${HELD}/b"/></feed>`;
  world.pages['/data'] = { type: 'application/atom+xml', body: data };
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/end');
    const seen = await visitor.page.evaluate(() => new Promise((done) => {
      const request = new XMLHttpRequest();
      request.open('GET', '/data');
      request.onload = () => done([request.responseXML, new DOMParser().parseFromString(request.responseText, 'text/xml')].map((one) => new XMLSerializer().serializeToString(one)));
      request.send();
    }));
    assert.deepEqual(seen, [data, data]);
  });
});

test('of what scripts make for a frame pages alone are read', async () => {
  world.pages['/made'] = page(`var asked = [], own = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url) { asked.push(url); return own.apply(this, arguments); };
addEventListener('DOMContentLoaded', function () {
  ['image/png', 'application/pdf', 'text/plain', 'text/html'].forEach(function (type) {
    var frame = document.createElement('iframe');
    frame.src = URL.createObjectURL(new Blob(['<p>x</p>'], { type: type }));
    document.body.append(frame);
  });
  window.made = [].map.call(document.querySelectorAll('iframe'), function (frame) { return frame.src; });
});`);
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/made');
    const { asked, made } = await visitor.page.evaluate(() => ({ asked, made }));
    assert.equal(made.filter((url) => url.startsWith('blob:')).length, 4);
    assert.deepEqual(asked.filter((url) => url.startsWith('blob:')), [made[3]]);
  });
});

test('a page that forbids styles within it reaches nobody by their properties', async () => {
  const act = `addEventListener('DOMContentLoaded', function () { var p = document.createElement('p'); p.textContent = 'x'; document.body.append(p); p.style.background = 'red url(${HELD}/strict.gif)'; p.offsetWidth; });`;
  world.pages['/strict'] = { body: page(act).replace('<script>', '<script nonce="a">'), headers: { 'Content-Security-Policy': "style-src 'none'; script-src 'nonce-a'; img-src *; connect-src 'self'" } };
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/strict');
    await settle(visitor);
    assert.deepEqual(world.internet.called(), []);
    assert.match(await visitor.page.evaluate(() => document.querySelector('body > p').style.background), /red/);
  });
  await world.asVisitor({ url: world.direct }, async (visitor) => {
    await visitor.visit('/strict');
    await world.internet.callTo('analytics.tiktok.com/strict.gif');
  });
});

test('what a script does by these ways throws nothing that it does not throw alone', async () => {
  const thrown = async (url) => world.asVisitor({ url }, async (visitor) => {
    await visitor.visit('/free-later');
    return visitor.page.evaluate(() => { window.run(); return window.thrown; });
  });
  assert.deepEqual(await thrown(world.url), await thrown(world.direct));
});
