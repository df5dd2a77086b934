// Every example of docs/for-site-authors.md is run as it stands there.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { openInternet } from './support/internet.js';
import { startSite } from './support/proxied.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const guide = readFileSync(new URL('../../docs/for-site-authors.md', import.meta.url), 'utf8');
const EXAMPLES = Object.fromEntries([...guide.matchAll(/```js\n\/\/ example: (\w+)\n([\s\S]*?)```/g)].map(([, name, code]) => [name, code]));
const PAGES = Object.fromEntries(Object.entries(EXAMPLES).map(([name, code]) => [`/${name}`,
  `<!doctype html><html lang="en"><title>x</title><body><button id="cookies">Cookies</button><script>${code}</script></body></html>`]));

let internet, browser, site;
before(async () => {
  internet = await openInternet();
  site = await startSite(PAGES);
  browser = await openBrowser(internet);
}, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  await site?.stop();
  await internet?.close();
}, { timeout: 60_000 });

/** Runs an example as a new visitor; an error of its script fails the test. */
function example(name, promise, story) {
  test(promise, async () => {
    const visitor = await newVisitor(browser, site.url);
    try {
      await visitor.visit(`/${name}`);
      await story(visitor, visitor.page, (key) => visitor.page.evaluate((name) => document.body.dataset[name], key));
      assert.deepEqual(visitor.errors, []);
    } finally {
      await visitor.leave();
    }
  });
}

test('the guide has an example of each', () => {
  assert.deepEqual(Object.keys(EXAMPLES).sort(), ['follow', 'layer', 'open', 'statistics', 'stay']);
});

example('statistics', 'choices are null until the visitor has chosen, then say what may act', async (visitor, page, data) => {
  assert.equal(await page.evaluate(() => window.consentry.choices), null);
  assert.equal(await data('counted'), undefined);
  await visitor.answer('accept-all');
  assert.equal(await data('counted'), 'yes');
  assert.deepEqual(await page.evaluate(() => window.consentry.choices), {
    decided: true, categories: { necessary: true, preferences: true, statistics: true, marketing: true }, services: [],
  });
});

example('follow', 'onChange calls back at once and at every change', async (visitor, page, data) => {
  assert.equal(await data('marketing'), undefined);
  await visitor.answer('reject-all');
  assert.equal(await data('marketing'), 'no', 'at once, on the page that was loaded anew');
});

example('stay', 'a page that acts on the change itself is not loaded anew', async (visitor, page, data) => {
  await page.evaluate(() => { window.isOld = true; });
  await visitor.answer('accept-all');
  assert.equal(await data('changed'), 'true');
  assert.equal(await page.evaluate(() => window.isOld && window.consentry.choices.categories.marketing), true);
});

example('open', 'open shows the second layer to the undecided, and leads the others to the settings and back', async (visitor, page) => {
  await page.click('#cookies');
  assert.equal(await visitor.banner.locator('.layer').evaluate((layer) => layer.open), true);
  await visitor.answer('reject-all');
  await page.click('#cookies');
  await page.waitForURL('**/_consent/settings?return=%2Fopen');
});

example('layer', 'a dataLayer gets the event and an update of the consent mode', async (visitor, page) => {
  const layer = () => page.evaluate(() => window.dataLayer.map((entry) => (entry.event ? [entry.event, entry.consentry.categories.marketing] : [...entry])));
  await page.evaluate(() => document.addEventListener('consentry:change', (event) => event.preventDefault()));
  await visitor.answer('accept-all');
  const entries = await layer();
  const update = entries.find(([word, kind]) => word === 'consent' && kind === 'update');
  assert.deepEqual([update[2].ad_storage, update[2].analytics_storage, update[2].security_storage], ['granted', 'granted', 'granted']);
  assert.ok(entries.some(([event, marketing]) => event === 'consentry' && marketing === true), JSON.stringify(entries));
  await visitor.visit('/layer');
  assert.deepEqual((await layer()).filter(([event]) => event === 'consentry'), [['consentry', true]], 'those who have chosen, on every page');
});
