// The pages of `pages/`: files as their authors would have written them. The comment that each begins with says what it
// is, what must happen, and its facts:
//
//   statistics: | marketing: | preferences: | dead: | unknown: | neutral:     whom it calls for which purpose
//       host/path      a call whose address begins so           /path      a call to the site itself
//       name=          a cookie of the site                     name@      a key of local or session storage
//   without scripts:   which of these calls need no script        noscript:   which are made without scripts alone
//   works:             what is true in the page, once its own code has run, whoever may act (JavaScript)
//   header:            a header of the answer                   type:      its media type, with the charset
//   dom: own           whoever agreed sees what scripts made, in an order that differs from visit to visit

import { readFileSync, readdirSync } from 'node:fs';

const FOLDER = new URL('../pages/', import.meta.url);

/** Purposes that ask for agreement; `dead` services load for nobody, `unknown` ones for who agreed to all. */
export const HELD = ['statistics', 'marketing', 'preferences', 'dead', 'unknown'];
const PURPOSES = [...HELD, 'neutral'];
const ENCODINGS = { 'utf-16': 'utf-16le' };

/** Every page, by name; `only` (a pattern in PAGES) chooses some. */
export function readPages(only = process.env.PAGES) {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.html')).map((name) => name.replace(/\.html$/, '')).sort();
  return names.filter((name) => !only || new RegExp(only).test(name)).map(readPage);
}

function readPage(name) {
  const body = readFileSync(new URL(`${name}.html`, FOLDER));
  const type = /type:\s*(.+)/.exec(body.toString('latin1').replaceAll('\0', ''))?.[1].trim() ?? 'text/html; charset=utf-8';
  const charset = /charset=([\w-]+)/.exec(type)?.[1] ?? 'latin1';
  const text = new TextDecoder(ENCODINGS[charset] ?? charset).decode(body);
  const comment = /<!--([\s\S]*?)-->/.exec(text)?.[1];
  if (!comment) throw new Error(`${name}.html: a page begins with a comment that says what it is`);
  const page = { name, path: `/${name}.html`, body, type, what: '', headers: [], works: null, withoutScripts: [], noscript: [], isOwnDom: false };
  for (const purpose of PURPOSES) page[purpose] = facts([]);
  let field = 'what';
  for (const line of comment.split('\n').map((line) => line.trim()).filter(Boolean)) {
    const [, key, rest] = /^(statistics|marketing|preferences|dead|unknown|neutral|without scripts|noscript|works|header|type|dom): *(.*)$/.exec(line) ?? [];
    field = key ?? field;
    take(page, field, rest ?? line);
  }
  return page;
}

function take(page, field, text) {
  if (field === 'what') page.what += `${page.what && ' '}${text}`;
  else if (field === 'header') page.headers.push(/^([\w-]+): *(.*)$/.exec(text).slice(1));
  else if (field === 'works') page.works = `${page.works ?? ''}${text}`;
  else if (field === 'dom') page.isOwnDom = true;
  else if (field === 'without scripts') page.withoutScripts.push(...text.split(/\s+/));
  else if (field === 'noscript') page.noscript.push(...text.split(/\s+/));
  else if (field !== 'type') {
    const { calls, cookies, storage } = facts(text.split(/\s+/).filter(Boolean));
    page[field].calls.push(...calls);
    page[field].cookies.push(...cookies);
    page[field].storage.push(...storage);
  }
}

function facts(words) {
  const isCall = (word) => /^([\w-]+\.)+[\w-]+\/|^\//.test(word);
  const ending = (end) => words.filter((word) => word.endsWith(end) && !isCall(word)).map((word) => word.slice(0, -1));
  return { calls: words.filter(isCall), cookies: ending('='), storage: ending('@') };
}

/** What a page may do for visitors who agreed to these purposes. */
export function allowed(page, purposes) {
  const of = (kind) => ['neutral', ...purposes].flatMap((purpose) => page[purpose][kind]);
  return { calls: of('calls'), cookies: of('cookies'), storage: of('storage') };
}
