// What is left running when an agreement ends: service workers, pages that they keep, other tabs, pages behind the back
// button.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openBehind } from './support/behind.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const page = (body, head = '') => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title>${head}</head><body>${body}</body></html>`;
const script = (body) => ({ type: 'text/javascript', body });
const REGISTER = '<script>window.ready = navigator.serviceWorker.register("/worker.js").then(() => navigator.serviceWorker.ready);</script>';
/** Of a worker that calls a tracker when it is told to, and says what came of it. */
const TELLS = `
addEventListener('message', (e) => {
  fetch('https://tags.unknown.example/told', { mode: 'no-cors' }).then(() => e.ports[0].postMessage('called'), () => e.ports[0].postMessage('stopped'));
});
`;
const CLAIMS = `
addEventListener('install', () => skipWaiting());
addEventListener('activate', (e) => e.waitUntil(clients.claim()));
`;
const PASSES = "addEventListener('fetch', (e) => e.respondWith(fetch(e.request)));";

const world = openBehind({
  '/': page(`<h1>Start</h1><input id="name"><img src="https://images.example/a.gif">${REGISTER}`),
  '/there': page('<h1>There</h1>'),
  '/tracked': page('<h1>Tracked</h1><input id="name"><script>window.track = () => fetch("https://tags.unknown.example/track", { mode: "no-cors" }).then(() => "called", () => "stopped");</script>'),
});

/** A visitor with a worker of the site's, controlled by it. */
function withWorker(code, story, begin = async () => {}) {
  world.pages['/worker.js'] = script(code);
  return world.asVisitor({}, async (visitor) => {
    await begin(visitor);
    await visitor.visit('/');
    await visitor.page.evaluate(() => window.ready);
    await visitor.visit('/');
    world.internet.forget();
    return story(visitor, visitor.page);
  });
}

/** What the active worker does when it is told to call. */
function tell({ page: at }) {
  return at.evaluate(async () => {
    const { active } = await navigator.serviceWorker.ready;
    const channel = new MessageChannel();
    active.postMessage('call', [channel.port2]);
    return new Promise((done) => { channel.port1.onmessage = (e) => done(e.data); setTimeout(done, 1_000, 'silent'); });
  });
}

/** Tells the worker until it does as expected; what it did before. */
async function until(visitor, expected) {
  const before = [];
  for (let round = 0; round < 40; round += 1) {
    const found = await tell(visitor);
    if (found === expected) return before;
    before.push(found);
    await visitor.page.waitForTimeout(100);
  }
  throw new Error(`never ${expected}: ${before}`);
}

/** Asks the page until the answer is yes. */
async function comes(at, question) {
  for (let round = 0; round < 80; round += 1) {
    if (await at.evaluate(question)) return;
    await at.waitForTimeout(100);
  }
  throw new Error(`never: ${question}`);
}

const calls = () => world.internet.called().filter((call) => call.startsWith('tags.unknown.example'));

test('c4 a service worker that calls others stops with the agreement, from the withdrawal on', () => withWorker(`${CLAIMS}${PASSES}${TELLS}`, async (visitor) => {
  assert.equal(await tell(visitor), 'called');
  await visitor.choose('reject-all');
  world.internet.forget();
  await until(visitor, 'stopped');
  assert.deepEqual(calls(), []);
}, (visitor) => visitor.choose('accept-all')));

test('a service worker that is installed for somebody who has agreed to nothing acts once they have agreed', () => withWorker(`${CLAIMS}${PASSES}${TELLS}`, async (visitor) => {
  assert.equal(await tell(visitor), 'stopped');
  await visitor.choose('accept-all');
  await until(visitor, 'called');
}));

test('a worker that passes everything on stops no picture that the page may load, and the page has its banner', () => withWorker(`${CLAIMS}${PASSES}`, async (visitor, at) => {
  await visitor.visit('/');
  assert.equal(await at.evaluate(() => Boolean(navigator.serviceWorker.controller)), true);
  await world.internet.callTo('images.example/a.gif');
  await visitor.banner.waitFor();
}));

test('a service worker of another folder, which sees no page, learns of a withdrawal as well', () => world.asVisitor({}, async (visitor) => {
  const { page: at } = visitor;
  world.pages['/push/worker.js'] = script(`${TELLS.replace("'message', (e) => {", "'message', (e) => { if (e.data !== 'call') return;")}`);
  await visitor.choose('accept-all');
  await visitor.visit('/there');
  const told = () => at.evaluate(async () => {
    const registration = await navigator.serviceWorker.register('/push/worker.js', { scope: '/push/' });
    const worker = registration.active ?? registration.installing;
    if (worker.state !== 'activated') await new Promise((done) => { worker.onstatechange = () => worker.state === 'activated' && done(); });
    const channel = new MessageChannel();
    worker.postMessage('call', [channel.port2]);
    return new Promise((done) => { channel.port1.onmessage = (e) => done(e.data); setTimeout(done, 1_000, 'silent'); });
  });
  assert.equal(await told(), 'called');
  await at.goto('/_consent/settings?return=/there');
  await visitor.press('reject-all');
  world.internet.forget();
  for (let round = 0; round < 80 && await told() !== 'stopped'; round += 1) await at.waitForTimeout(100);
  world.internet.forget();
  assert.equal(await told(), 'stopped');
  assert.deepEqual(calls(), []);
}));

test('a worker whose own scripts come from somebody who is held ends', async () => {
  // What it calls for is there under the agreement alone.
  const code = `${CLAIMS}importScripts('https://sdk.unknown.example/push.js'); if (!self.canPush) throw new Error('no push'); ${TELLS}`;
  await withWorker(code, async (visitor, at) => {
    await visitor.choose('reject-all');
    await comes(at, async () => !(await navigator.serviceWorker.getRegistration()));
    world.internet.forget();
    await visitor.visit('/there');
    assert.equal(await at.evaluate(() => navigator.serviceWorker.controller), null);
    assert.deepEqual(calls(), []);
  }, (visitor) => visitor.choose('accept-all'));
});

test('a worker does without a script that is held, where it can', () => withWorker(`${CLAIMS}importScripts('/own.js', 'https://sdk.unknown.example/push.js'); ${TELLS}
addEventListener('message', (e) => { if (e.data === 'own') e.ports[0].postMessage(self.own); });`, async (visitor, at) => {
  const own = await at.evaluate(async () => {
    const { active } = await navigator.serviceWorker.ready;
    const channel = new MessageChannel();
    active.postMessage('own', [channel.port2]);
    return new Promise((done) => { channel.port1.onmessage = (e) => done(e.data); });
  });
  assert.equal(own, 'own', 'its own script ran');
  assert.deepEqual(world.internet.called().filter((call) => /unknown/.test(call)), []);
}, async () => { world.pages['/own.js'] = script('self.own = "own"; addEventListener("message", (e) => { if (e.data === "own") e.stopImmediatePropagation(), e.ports[0].postMessage("own"); });'); }));

test('a worker that serves pages from what it keeps shows none from before a choice', () => withWorker(`${CLAIMS}
addEventListener('fetch', (e) => {
  if (e.request.mode === 'navigate') e.respondWith(caches.open('pages').then(async (cache) => {
    const kept = await cache.match(e.request);
    if (kept) return kept;
    const answer = await fetch(e.request);
    if (answer.ok) cache.put(e.request, answer.clone());
    return answer;
  }));
});`, async (visitor, at) => {
  await visitor.visit('/tracked');
  await visitor.visit('/tracked');
  assert.equal(await at.evaluate(() => track()), 'called');
  await visitor.choose('reject-all');
  world.internet.forget();
  await visitor.visit('/tracked');
  assert.equal(await at.evaluate(() => track()), 'stopped');
  await at.waitForTimeout(3_500);
  await visitor.visit('/tracked');
  await visitor.visit('/tracked');
  assert.equal(await at.evaluate(() => track()), 'stopped');
  assert.deepEqual(calls(), []);
}, (visitor) => visitor.choose('accept-all')));

test('a new version of the site\'s own worker waits as it always did, and learns of nothing else', () => {
  const version = (name) => `addEventListener('activate', (e) => e.waitUntil(clients.claim()));
addEventListener('message', (e) => e.ports[0].postMessage('${name} ' + JSON.stringify(e.data)));`;
  return withWorker(version('first'), async (visitor, at) => {
    world.pages['/worker.js'] = script(version('second'));
    await at.evaluate(async () => { await (await navigator.serviceWorker.ready).update(); });
    await comes(at, async () => Boolean((await navigator.serviceWorker.getRegistration()).waiting));
    await at.waitForTimeout(300);
    assert.equal(await tell(visitor), 'first "call"');
  });
});

test('a worker that is strict stays so, and one that is a module works', async () => {
  for (const [code, options, expected] of [
    ["'use strict'; addEventListener('message', (e) => e.ports[0].postMessage((function () { return this; })() === undefined))", {}, true],
    ["addEventListener('message', (e) => e.ports[0].postMessage((function () { return this; })() === undefined))", {}, false],
    ["import { own } from '/module.js'; addEventListener('message', (e) => e.ports[0].postMessage(own))", { type: 'module' }, 'own'],
  ]) {
    world.pages['/some.js'] = script(code);
    world.pages['/module.js'] = script("export const own = 'own';");
    await world.asVisitor({}, async (visitor) => {
      await visitor.visit('/there');
      await visitor.page.evaluate((more) => navigator.serviceWorker.register('/some.js', more).then(() => navigator.serviceWorker.ready), options);
      assert.equal(await tell(visitor), expected, code);
    });
  }
});

/** Two tabs of one visitor, who has agreed to everything: the second stays open while the first withdraws. */
function withTwoTabs(story) {
  return world.asVisitor({}, async (visitor) => {
    await visitor.choose('accept-all');
    const other = await visitor.context.newPage();
    await other.goto('/tracked');
    assert.equal(await other.evaluate(() => track()), 'called');
    return story(visitor, other);
  });
}

test('c4 a page that is open in another tab is loaded anew when its agreement ends', () => withTwoTabs(async (visitor, other) => {
  const loaded = other.waitForEvent('load');
  await visitor.choose('reject-all');
  await loaded;
  world.internet.forget();
  assert.equal(await other.evaluate(() => track()), 'stopped');
  assert.deepEqual(calls(), []);
}));

test('c4 where something was typed in the other tab it stays, and nobody is called from there', () => withTwoTabs(async (visitor, other) => {
  await other.fill('#name', 'Ada');
  await visitor.choose('reject-all');
  await other.waitForFunction(() => document.querySelector('meta[http-equiv=Content-Security-Policy]'));
  world.internet.forget();
  assert.equal(await other.evaluate(() => track()), 'stopped');
  await other.evaluate(() => { new Image().src = 'https://tags.unknown.example/pixel.gif'; });
  await other.evaluate(() => fetch('/there').then((answer) => answer.text()));
  await other.waitForTimeout(300);
  assert.deepEqual(calls(), []);
  assert.equal(await other.inputValue('#name'), 'Ada');
}));

test('a page in another tab that acts on the change itself is told of it, and stays', () => withTwoTabs(async (visitor, other) => {
  await other.evaluate(() => document.addEventListener('consentry:change', (event) => { window.told = event.detail.categories; event.preventDefault(); }));
  await visitor.choose('reject-all');
  await other.waitForFunction(() => window.told);
  assert.equal(await other.evaluate(() => window.told.marketing), false);
}));

test('a page in another tab stays as it is while nothing is taken back', () => withTwoTabs(async (visitor, other) => {
  await other.evaluate(() => { window.isSame = true; });
  await visitor.choose('accept-all');
  await visitor.visit('/there');
  await other.waitForTimeout(300);
  assert.equal(await other.evaluate(() => window.isSame), true);
}));

test('c4 a page behind the back button does not go on as it was left', async () => {
  const browser = await openBrowser(world.internet, { keepsPages: true });
  for (const isToldToForget of [true, false]) {
    const visitor = await newVisitor(browser, world.url);
    const { page: at } = visitor;
    await visitor.choose('accept-all');
    await visitor.visit('/tracked');
    assert.equal(await at.evaluate(() => track()), 'called');
    await at.evaluate(() => { window.wasLeft = true; });
    if (isToldToForget) await visitor.choose('reject-all');
    else {
      await visitor.visit('/there');
      // Without the page that would tell the others, and without what makes the browser forget.
      await visitor.context.request.post('/_consent/choices', { form: { choice: 'reject-all' }, headers: { Accept: 'application/json' } });
    }
    world.internet.forget();
    await at.evaluate((steps) => history.go(steps), isToldToForget ? -2 : -1);
    await at.waitForFunction(() => document.querySelector('h1')?.textContent === 'Tracked' && document.readyState === 'complete' && !window.wasLeft);
    assert.equal(await at.evaluate(() => track()), 'stopped');
    assert.deepEqual(calls(), []);
    await visitor.leave();
  }
  await browser.close();
});

test('a page behind the back button that is allowed what it was is there at once', async () => {
  const browser = await openBrowser(world.internet, { keepsPages: true });
  const visitor = await newVisitor(browser, world.url);
  await visitor.choose('accept-all');
  await visitor.visit('/tracked');
  await visitor.page.evaluate(() => { window.wasLeft = true; });
  await visitor.visit('/there');
  await visitor.page.evaluate(() => history.back());
  await visitor.page.waitForFunction(() => document.querySelector('h1')?.textContent === 'Tracked');
  await visitor.page.waitForTimeout(300);
  assert.equal(await visitor.page.evaluate(() => window.wasLeft), true, 'the browser kept it');
  await browser.close();
});
