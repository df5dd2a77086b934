// Every page of `pages/`, for visitors in every state: before agreement it calls nobody and keeps nothing, whoever it
// was made to call; after it, it is the page as its author wrote it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { KNOWN } from './known.js';
import { openGallery, trespasses, unique } from './support/gallery.js';
import { HELD, readPages } from './support/pages.js';

const pages = readPages();
const EVERYTHING = HELD.filter((purpose) => purpose !== 'dead');
/** What each page does without the proxy. */
const alone = new Map();
let gallery;

before(async () => { gallery = await openGallery(pages); }, { timeout: 120_000 });
after(() => gallery?.close(), { timeout: 60_000 });

/** Which calls of a page must be made for a visitor who agreed to these purposes. */
function due(page, purposes) {
  return ['neutral', ...purposes].flatMap((purpose) => page[purpose].calls).filter((call) => !page.noscript.includes(call));
}

/** Looks at every page in one state, and complains of all at once. */
async function inState(state, options, begin, look) {
  const complaints = [];
  await gallery.asVisitor(options, async (viewer) => {
    await begin(viewer);
    for (const page of pages) {
      let found;
      try {
        found = await look(viewer, page);
      } catch (error) {
        found = [`could not be looked at: ${error.message}`];
        await viewer.page.close().catch(() => {});
        await viewer.open();
      }
      complaints.push(...judged(page, state, found));
      await viewer.tidy();
    }
  });
  assert.deepEqual(complaints, [], state);
}

/** What is known and has its reason is no complaint; what is known and is mended is one. */
function judged(page, state, found) {
  const known = KNOWN.filter((entry) => entry.page === page.name && (!entry.states || entry.states.includes(state)));
  const isKnown = (text) => known.some((entry) => text.includes(entry.complaint));
  const mended = known.filter((entry) => !found.some((text) => text.includes(entry.complaint)));
  return [
    ...found.filter((text) => !isKnown(text)).map((text) => `${page.name}, ${state}: ${text}`),
    ...mended.map((entry) => `${page.name}, ${state}: known, and does not happen: ${entry.complaint}`),
  ];
}

function faults(page, seen, purposes) {
  const errors = seen.errors.filter((error) => !alone.get(page.name)?.errors.includes(error));
  return [
    ...trespasses(page, seen, purposes),
    ...seen.missing.map((call) => `was not called: ${call}`),
    ...(seen.works ? [] : [`does not work: ${page.works}`]),
    ...unique(errors).map((error) => `an error: ${error}`),
  ];
}

/** The page's own words stay, whoever is held. */
function sameWords(page, seen) {
  const { text } = alone.get(page.name)?.dom ?? {};
  return text === undefined || page.isOwnDom || seen.dom.text === text ? [] : [`reads differently: ${difference(text, seen.dom.text)}`];
}

function difference(expected, found) {
  let at = 0;
  while (at < expected.length && expected[at] === found[at]) at += 1;
  const around = (text) => JSON.stringify(text.slice(Math.max(0, at - 60), at + 120));
  return `${around(found)} instead of ${around(expected)}`;
}

test('without the proxy every page tracks: the other tests would see it', async () => {
  await inState('alone', { from: gallery.direct }, async () => {}, async (viewer, page) => {
    const seen = await viewer.see(page, due(page, HELD));
    alone.set(page.name, seen);
    return faults(page, seen, HELD);
  });
});

test('without the proxy pages that need no scripts for it track without them', async () => {
  await inState('alone, scripts off', { from: gallery.direct, scripts: false }, async () => {}, async (viewer, page) => {
    return page.withoutScripts.length + page.noscript.length ? faults(page, await viewer.see(page, [...page.withoutScripts, ...page.noscript]), HELD) : [];
  });
});

for (const [state, options, begin] of [
  ['undecided', {}, async () => {}],
  ['refused', {}, (viewer) => viewer.choose('reject-all')],
  ['GPC', { gpc: true }, async () => {}],
]) {
  test(`${state}: nobody is called, nothing is kept, and everything works`, async () => {
    await inState(state, options, begin, async (viewer, page) => {
      const seen = await viewer.see(page, due(page, []));
      return [...faults(page, seen, []), ...sameWords(page, seen)];
    });
  });
}

test('scripts off: nobody is called and nothing is kept', async () => {
  await inState('scripts off', { scripts: false }, async () => {}, async (viewer, page) => {
    return faults(page, await viewer.see(page), []);
  });
});

test('statistics alone: they run, and nothing else does', async () => {
  await inState('statistics', {}, (viewer) => viewer.choose('save', ['statistics']), async (viewer, page) => {
    const seen = await viewer.see(page, due(page, ['statistics']));
    const lost = page.statistics.cookies.filter((name) => !seen.cookies.includes(name)).map((name) => `has no cookie: ${name}`);
    return [...faults(page, seen, ['statistics']), ...lost];
  });
});

test('statistics alone, with GPC: they run, and nothing else does', async () => {
  await inState('statistics and GPC', { gpc: true }, (viewer) => viewer.choose('save', ['statistics']), async (viewer, page) => {
    return faults(page, await viewer.see(page, due(page, ['statistics'])), ['statistics']);
  });
});

test('agreed to all: the page as its author wrote it; withdrawn: nobody is called, and nothing is left', async () => {
  await inState('agreed, then withdrawn', {}, async () => {}, async (viewer, page) => {
    await viewer.choose('accept-all');
    const agreed = await viewer.see(page, due(page, EVERYTHING));
    const complaints = [...faults(page, agreed, EVERYTHING), ...asWritten(page, agreed)].map((text) => `agreed: ${text}`);
    await viewer.choose('reject-all');
    const withdrawn = await viewer.see(page, due(page, []));
    const kept = { ...withdrawn, cookies: withdrawn.cookies.filter((name) => !mayStay(page, name)), storage: withdrawn.storage.filter((name) => !page.unknown.storage.includes(name)) };
    complaints.push(...faults(page, kept, []).map((text) => `withdrawn: ${text}`));
    complaints.push(...sentOnward(page, withdrawn).map((text) => `withdrawn: ${text}`));
    return complaints;
  });
});

/** Whose cookie that is nobody knows, or it is another host's own. */
function mayStay(page, name) {
  return name.includes(':') || page.unknown.cookies.includes(name);
}

function sentOnward(page, seen) {
  const cookies = HELD.filter((purpose) => purpose !== 'unknown').flatMap((purpose) => page[purpose].cookies);
  return unique(seen.sent.filter((name) => cookies.includes(name))).map((name) => `the upstream received the cookie ${name}`);
}

/** Same DOM, same requests, same cookies as without the proxy. */
function asWritten(page, seen) {
  const before = alone.get(page.name);
  if (!before || page.dead.calls.length) return [];
  const names = (calls) => unique(calls.map((call) => call.split('?')[0]).filter((call) => call.includes('/') && !/^\/(_consent|favicon)/.test(call))).sort();
  const [expected, found] = [names(before.calls), names(seen.calls)];
  return [
    ...expected.filter((call) => !found.includes(call)).map((call) => `is not called any more: ${call}`),
    ...found.filter((call) => !expected.includes(call)).map((call) => `is called now: ${call}`),
    ...before.cookies.filter((name) => !seen.cookies.includes(name)).map((name) => `has no cookie: ${name}`),
    ...(page.isOwnDom ? [] : [
      ...missing(before.dom.elements, seen.dom.elements).map((tag) => `has no element: ${tag}`),
      ...missing(seen.dom.elements, before.dom.elements).map((tag) => `has a new element: ${tag}`),
      ...sameWords(page, seen),
    ]),
  ];
}

/** What of a list another one has not, as often. */
function missing(list, from) {
  const rest = [...from];
  return list.filter((item) => {
    const at = rest.indexOf(item);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

test('cookies of an earlier time do not reach the upstream', async () => {
  const planted = unique(pages.flatMap((page) => ['statistics', 'marketing', 'preferences', 'dead'].flatMap((purpose) => page[purpose].cookies)));
  await gallery.asVisitor({}, async (viewer) => {
    // As many as a request can carry at once.
    for (let from = 0; from < planted.length; from += 40) {
      await viewer.context.addCookies(planted.slice(from, from + 40).map((name) => ({ name, value: '1', url: gallery.url })));
      const seen = await viewer.see(pages[0]);
      assert.deepEqual(seen.sent.filter((name) => planted.includes(name)), []);
      await viewer.context.clearCookies();
    }
  });
});
