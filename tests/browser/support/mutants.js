// One and the same call to a tracker, written in a few hundred ways: what markup and scripts have in common is what a
// browser makes of them, and nothing else. Every mutant has a host of its own, so that a call tells which one made it.

/** Hosts of held services, below each of which all others belong to it, too. */
const TRACKERS = ['google-analytics.com', 'doubleclick.net', 'hotjar.com', 'criteo.com', 'mouseflow.com', 'adroll.com'];

/** Random numbers from a seed (mulberry32): a failure comes again when it is asked to. */
export function randomness(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit) => Math.floor(next() * limit);
  const pick = (list) => list[below(list.length)];
  return { below, pick, often: (share) => next() < share };
}

/** Ways to write an address so that it stays what it is. */
const ADDRESSES = [
  (url) => url,
  (url, r) => url.replace(/^https/, r.pick(['HTTPS', 'hTTps', 'http'])),
  (url) => url.replace(/^https:/, ''),
  (url, r) => url.replace('//', r.pick(['\\\\', '/\\', '///', '\\/', '////'])),
  (url, r) => url.replace('//', r.pick(['//user@', '//user:password@', '//a%40b@', '//www.shop.localhost@'])),
  (url) => url.replace(/^(https:\/\/[^/]+)/, '$1:443'),
  (url) => url.replace(/^(https:\/\/[^/]+)/, '$1.'),
  (url) => url.replace(/^https:\/\/[^/]+/, (start) => start.toUpperCase()),
  (url, r) => url.replace(/\.(com|net)/, (all, end) => `.${percent(end, r)}`),
  (url, r) => url.replace(/\.(com|net)/, (all, end) => `${r.pick(['.', '\u3002', '\uff0e'])}${[...end].map((letter) => String.fromCodePoint(letter.charCodeAt(0) + 0xfee0)).join('')}`),
  (url, r) => splice(url, r.pick(['\t', '\n', '\r\n', '\r']), r),
  (url, r) => `${r.pick([' ', '\n ', '\t', '\f', '\u0001'])}${url}${r.pick(['', ' ', '\r\n'])}`,
  (url) => url.replace(/^https:\/\/([^/]+)\//, 'https://$1/a/../'),
  (url) => url.replace(/^https:\/\/([^/]+)\//, 'https://$1/%2e%2e/./'),
];

function percent(text, r) {
  return [...text].map((letter) => (r.often(0.5) ? `%${letter.charCodeAt(0).toString(16)}` : letter)).join('');
}

/** Something in between, behind the first letter and before the last. */
function splice(text, what, r) {
  const at = 1 + r.below(text.length - 2);
  return text.slice(0, at) + what + text.slice(at);
}

const NAMED = { ':': '&colon;', '/': '&sol;', '.': '&period;', '\t': '&Tab;', '\n': '&NewLine;', '?': '&quest;', '=': '&equals;', '@': '&commat;', '\\': '&bsol;', '%': '&percnt;' };

/** Ways to write the letters of an attribute. */
const LETTERS = [
  (text) => text,
  (text, r) => each(text, r, (letter) => NAMED[letter] ?? letter),
  (text, r) => each(text, r, (letter) => `&#${letter.codePointAt(0)};`),
  (text, r) => each(text, r, (letter) => `&#x${letter.codePointAt(0).toString(16)};`),
  (text, r) => each(text, r, (letter) => `&#X000${letter.codePointAt(0).toString(16).toUpperCase()};`),
  // Without a semicolon a reference ends where no digit stands.
  (text) => [...text].map((letter, at) => (/[0-9a-f;]/i.test(text[at + 1] ?? '') ? letter : `&#${letter.codePointAt(0)}`)).join(''),
  (text) => [...text].map((letter, at) => (/[0-9a-f;]/i.test(text[at + 1] ?? '') ? letter : `&#x${letter.codePointAt(0).toString(16)}`)).join(''),
];

function each(text, r, write) {
  return [...text].map((letter) => (r.often(0.4) ? write(letter) : letter)).join('');
}

/** Ways to write an attribute; `text` holds no quote. */
const ATTRIBUTES = [
  (name, text) => ` ${name}="${text}"`,
  (name, text) => ` ${name}='${text}'`,
  (name, text) => (/[\s"'=<>`]/.test(text) ? ` ${name}="${text}"` : ` ${name}=${text} `),
  (name, text) => `\n\t${name}\n=\r\n"${text}"`,
  (name, text) => `/${name}="${text}"`,
  (name, text) => ` ${name.toUpperCase()}="${text}"`,
  (name, text) => ` ${name}="${text}" ${name}="/mine.gif"`,
  (name, text) => ` title="a > b" ${name}="${text}"`,
  (name, text) => ` title='"' data-x=">"\f${name} = '${text}'`,
  (name, text) => `\t\0 ${name}="${text}"`,
  (name, text) => ` x="1"y='2'${name}="${text}"`,
];

/** Where an address stands in markup. `active` is what a policy stops that leaves pictures and styles open. */
const PLACES = [
  ['active', ({ tag, attribute, address }) => `<${tag('script')}${attribute('src', address)}></script>`],
  ['active', ({ tag, attribute, address }) => `<${tag('script')} async${attribute('src', address)}></script>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('img')}${attribute('src', address)}>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('img')}${attribute('srcset', bare(address) && `${address} 2x, ${address} 1x`)}>`],
  ['passive', ({ tag, attribute, address }) => `<picture><${tag('source')}${attribute('srcset', bare(address))}><img alt></picture>`],
  ['active', ({ tag, attribute, address }) => `<${tag('iframe')}${attribute('src', address)}></iframe>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('link')} rel="stylesheet"${attribute('href', address)}>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('link')}${attribute('href', address)} as=image rel="a PreLoad">`],
  ['active', ({ tag, attribute, address }) => `<${tag('object')}${attribute('data', address)}></object>`],
  ['active', ({ tag, attribute, address }) => `<${tag('embed')}${attribute('src', address)}>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('input')} type="iMaGe"${attribute('src', address)}>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('video')}${attribute('poster', address)}></video>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('audio')} preload=auto${attribute('src', address)}></audio>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('table')}${attribute('background', address)}><tr><td>x</td></tr></table>`],
  ['passive', ({ tag, attribute, address }) => `<svg><${tag('image')}${attribute('href', address)} /></svg>`],
  ['active', ({ tag, attribute, address }) => `<svg><${tag('script')}${attribute('xlink:href', address)}></script></svg>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('p')}${attribute('style', `background:url(${inCss(address)})`)}>x</p>`],
  ['passive', ({ address, r }) => `<style>.m { color: red } @import ${r.pick([`url(${inCss(address)})`, `'${inCss(address)}'`])};</style><style>@import '${inCss(address)}';</style>`],
  ['passive', ({ tag, attribute, address }) => `<iframe srcdoc='${escaped(`<${tag('img')}${attribute('src', address)}>`)}'></iframe>`],
  ['passive', ({ tag, attribute, address }) => `<${tag('p')}>x<!-- > --><!----><b><${tag('img')}${attribute('src', address)}></${tag('p')}>`],
];

const bare = (address) => address.trim().replace(/[\s\u0001]/g, '');
const escaped = (markup) => markup.replaceAll('&', '&amp;').replaceAll("'", '&#39;');
const inCss = (address) => bare(address).replace(/[\\()'"]/g, (sign) => `\\${sign}`).replace('.', '\\2e ');

/** Ways in which a script writes a text. */
const TEXTS = [
  (text) => JSON.stringify(text),
  (text, r) => chunks(text, r).map((part) => JSON.stringify(part)).join(r.pick(['+', ' + ', '\n+ /* " */ '])),
  (text, r) => `[${chunks(text, r).map((part) => JSON.stringify(part)).join(',')}].join("")`,
  (text) => `'${[...text].map((letter) => `\\x${letter.codePointAt(0).toString(16).padStart(2, '0')}`).join('')}'`,
  (text, r) => `"${each(text, r, (letter) => `\\u${letter.codePointAt(0).toString(16).padStart(4, '0')}`)}"`,
  (text) => `atob(${JSON.stringify(Buffer.from(text).toString('base64'))})`,
  (text) => `unescape("${[...text].map((letter) => `%${letter.codePointAt(0).toString(16)}`).join('')}")`,
  (text) => `String.fromCharCode(${[...text].map((letter) => letter.codePointAt(0)).join(',')})`,
  (text, r) => `\`${chunks(text, r).map((part) => `\${${JSON.stringify(part)}}`).join('')}\``,
  (text) => `${JSON.stringify([...text].reverse().join(''))}.split("").reverse().join("")`,
  (text, r) => { const at = 1 + r.below(text.length - 1); return `"${text.slice(0, at)}\\\n${text.slice(at)}"`; },
];

function chunks(text, r) {
  const at = 1 + r.below(text.length - 2);
  return [text.slice(0, at), text.slice(at)];
}

/** What a script does with an address; before the list of all services is there, a rule of style is reached by `block` alone. */
const ACTS = [
  ['passive', (text) => `new Image().src = ${text};`],
  ['passive', (text) => `new window["Im" + "age"]()["s" + "rc"] = ${text};`],
  ['active', (text) => `var s = document.createElement("scr" + "ipt"); s.src = ${text}; document.body.appendChild(s);`],
  ['active', (text) => `var s = document.createElementNS("http://www.w3.org/1999/xhtml", "script"); s.setAttributeNS(null, "src", ${text}); document.body.append(s);`],
  ['active', (text) => `fetch(${text}, { mode: "no-cors" }).catch(function () {});`],
  ['active', (text) => `navigator.sendBeacon(${text});`],
  ['active', (text) => `var x = new XMLHttpRequest(); x.open("GET", ${text}); x.send();`],
  ['active', (text) => `var f = document.createElement("iframe"); f.src = ${text}; document.body.appendChild(f);`],
  ['passive', (text) => `var l = document.createElement("link"); l.rel = "stylesheet"; l.href = ${text}; document.body.appendChild(l);`],
  ['passive', (text) => `document.body.insertAdjacentHTML("beforeend", "<img src='" + ${text} + "'>");`],
  ['passive', (text) => `var t = document.createElement("template"); t.innerHTML = "<img src='" + ${text} + "'>"; document.body.appendChild(t.content.cloneNode(true));`],
  ['style', (text) => `var d = document.createElement("div"); d.setAttribute("style", "background: url(" + ${text} + ")"); d.textContent = "x"; document.body.appendChild(d);`],
  ['passive', (text) => `var i = document.createElement("img"); i.setAttributeNS(null, "src", ${text});`],
  ['passive', (text) => `var i = document.createElement("img"), a = document.createAttribute("src"); a.value = ${text}; i.setAttributeNode(a);`],
  ['passive', (text) => `var f = document.createElement("iframe"); f.srcdoc = "<img src='" + ${text} + "'>"; document.body.appendChild(f);`],
  ['passive', (text) => `setTimeout("new Image().src = " + JSON.stringify(${text}), 0);`],
];

/** As many mutants as asked for: `{ id, of, force, text }`, `of` markup or a script, in `force` active or passive. */
export function mutants(count, r) {
  return Array.from({ length: count }, (_, id) => {
    const host = `m${id}.${r.pick(TRACKERS)}`;
    return id % 3 === 2 ? { id, of: 'script', ...script(host, r) } : { id, of: 'markup', ...markup(host, r) };
  });
}

function markup(host, r) {
  const address = r.pick(ADDRESSES)(`https://${host}/a.gif`, r);
  const letters = r.pick(LETTERS);
  const write = r.pick(ATTRIBUTES);
  const tag = (name) => [...name].map((letter) => (r.often(0.3) ? letter.toUpperCase() : letter)).join('');
  const attribute = (name, text) => write(name, letters(text, r).replaceAll('"', '&quot;').replaceAll("'", '&#39;'));
  const [force, place] = r.pick(PLACES);
  return { force, text: place({ tag, attribute, address, r }) };
}

function script(host, r) {
  // Quotes and line ends of an address would be those of the script.
  const address = r.pick(ADDRESSES.slice(0, 8))(`https://${host}/a.gif`, r).replaceAll('\\', '/');
  const [force, act] = r.pick(ACTS);
  return { force, text: `<script>(function () { ${act(r.pick(TEXTS)(address, r))} })();</script>` };
}

/** Pages of so many mutants each, in a shape that the gallery shows. */
export function pagesOf(all, size) {
  const pages = [];
  for (let from = 0; from < all.length; from += size) {
    const body = all.slice(from, from + size).map(({ text }) => text).join('\n<!-- -->\n');
    pages.push({ name: `mutants-${pages.length}`, path: `/mutants-${pages.length}.html`, type: 'text/html; charset=utf-8', headers: [], works: null, body: Buffer.from(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mutants</title></head><body><p>Mutants</p>\n${body}\n</body></html>`) });
  }
  return pages;
}
