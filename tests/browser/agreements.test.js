// A new user agreement, from the day on which it is written to the acceptance of each administrator, in front of an
// application in PHP that says who is logged in.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openInternet } from './support/internet.js';
import { startShop } from './support/php.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const AGREEMENT = '/cldoc/user-agreement.htm';
const ACCEPT = 'button[name=decision][value=accept]';
const DECLINE = 'button[name=decision][value=decline]';

let internet, browser, shop, version = 0;
before(async () => {
  internet = await openInternet();
  browser = await openBrowser(internet);
  shop = await startShop();
  await mkdir(OUT, { recursive: true });
}, { timeout: 120_000 });
after(async () => {
  await shop?.stop();
  await browser?.close();
  await internet?.close();
}, { timeout: 60_000 });

/** Another version, with this in its front matter. */
async function publish(more = '') {
  version += 1;
  const words = { sv: `Version ${version}: var snäll.`, en: `Version ${version}: be kind.` };
  await shop.publishAgreement(version, more, words);
  return words;
}
beforeEach(() => publish());

async function asAdministrator(options, story) {
  const visitor = await newVisitor(browser, shop.url, options);
  const { page } = visitor;
  try {
    await visitor.visit('/login');
    await page.fill('input[name=user]', 'admin');
    await visitor.follow(() => page.click('input[type=submit]'));
    assert.equal(visitor.path, AGREEMENT, 'who has accepted nothing is asked at once');
    await visitor.follow(() => page.click(ACCEPT));
    assert.equal(visitor.path, '/account');
    return await story(visitor, page);
  } finally {
    await visitor.leave();
  }
}

for (const scripts of [true, false]) {
  const how = scripts ? 'with scripts' : 'without scripts';

  test(`c51 an administrator must accept a new user agreement to go on, ${how}`, async () => {
    await asAdministrator({ scripts }, async (visitor, page) => {
      await visitor.visit('/account');
      assert.equal(visitor.path, '/account', 'once is enough');
      const before = shop.ledger().length;
      const words = await publish('changes: Du ska vara snällare.\n');
      await visitor.visit('/account?tab=2');
      assert.equal(visitor.path, AGREEMENT);
      const text = await page.locator('article').innerText();
      assert.ok(text.includes(words.sv) && text.includes('Du ska vara snällare.'), text);
      await visitor.follow(() => page.click(DECLINE));
      await visitor.visit('/account?tab=2');
      assert.equal(visitor.path, AGREEMENT, 'a no opens nothing');
      await visitor.follow(() => page.click(ACCEPT));
      assert.equal(page.url(), `${shop.url}/account?tab=2`);
      assert.match(await page.locator('body').innerText(), /Hemligheter/);
      const entries = shop.ledger().slice(before);
      assert.deepEqual(entries.map(({ event_state: state, version: of }) => [state, of]), [['declined', `${version}`], ['accepted', `${version}`]]);
    });
  });

  test(`a note tells of a new agreement before it is asked for, and it can be accepted from there, ${how}`, async () => {
    await asAdministrator({ scripts }, async (visitor, page) => {
      assert.equal(await page.locator('consentry-note').count(), 0);
      const words = await publish('effective: 2999-01-01\ngrace: 14d\n');
      await visitor.visit('/account');
      assert.equal(visitor.path, '/account', 'it is not asked for yet');
      const note = page.locator('consentry-note');
      assert.match(await note.innerText(), /Användarvillkor[^]*15 januari 2999/);
      assert.ok(await note.isVisible());
      const [box, headline] = [await note.boundingBox(), await page.locator('#rubrik').boundingBox()];
      assert.ok(box.y <= 8 && box.y + box.height <= headline.y, 'at the top, and over nothing');
      await visitor.follow(() => note.locator('a').click());
      assert.equal(visitor.path, AGREEMENT);
      assert.ok((await page.locator('article').innerText()).includes(words.sv));
      await visitor.follow(() => page.click(ACCEPT));
      assert.equal(visitor.path, '/account');
      assert.equal(await page.locator('consentry-note').count(), 0, 'it is done');
    });
  });

  test(`when the time of grace is over the agreement is asked for, ${how}`, async () => {
    await asAdministrator({ scripts }, async (visitor, page) => {
      await publish('effective: 2020-01-01\ngrace: 99999d\n');
      await visitor.visit('/account');
      assert.equal(await page.locator('consentry-note').count(), 1);
      await publish('effective: 2020-01-01\ngrace: 14d\n');
      await visitor.visit('/account');
      assert.equal(visitor.path, AGREEMENT);
    });
  });
}

test('a small correction asks nobody', async () => {
  await asAdministrator({}, async (visitor, page) => {
    await publish('reacceptance: false\n');
    await visitor.visit('/account');
    assert.equal(visitor.path, '/account');
    assert.equal(await page.locator('consentry-note').count(), 0);
  });
});

test('the note can be used by everybody, at each size and in each language', async () => {
  for (const language of ['sv-SE', 'en-GB']) {
    for (const width of [360, 1280]) {
      await publish();
      await asAdministrator({ language, width }, async (visitor, page) => {
        await publish('effective: 2999-01-01\ngrace: 14d\n');
        await visitor.visit('/account');
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${overflow} pixels beside the page`);
        await page.screenshot({ path: `${OUT}gate-note-${language.slice(0, 2)}-${width}.png` });
        await page.evaluate(axe.source);
        const { violations } = await page.evaluate(() => globalThis.axe.run('consentry-note'));
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), []);
        const link = await page.locator('consentry-note a').boundingBox();
        assert.ok(link.height >= 24, 'it can be hit by a finger');
      });
    }
  }
});
