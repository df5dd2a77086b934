// A visitor's receipts: read as a page, and erased; with and without scripts. Pictures for a person are written to out/.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openWorld } from './support/world.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const world = openWorld();

before(() => mkdir(OUT, { recursive: true }));

for (const scheme of ['light', 'dark']) {
  for (const width of [320, 1280]) {
    test(`receipts are read and erased with nothing in the way (${scheme}, ${width} px)`, async () => {
      await world.asVisitor({ width, language: 'en-GB', colorScheme: scheme }, async (visitor) => {
        const { page } = visitor;
        const picture = (name) => page.screenshot({ path: `${OUT}receipts-${name}-${scheme}-${width}.png`, fullPage: true });
        await visitor.visit('/');
        await visitor.answer('accept-all');
        await visitor.visit('/_consent/settings');
        await page.locator('details summary').last().click();
        await picture('settings');
        await assertReadable(page, width);
        await visitor.follow(() => page.getByRole('link', { name: /^Read/ }).first().click());
        assert.match(await page.locator('main').innerText(), /Får vi använda kakor\?/);
        await picture('one');
        await assertReadable(page, width);
        await visitor.visit('/_consent/settings');
        await page.locator('details summary').last().click();
        await page.locator('input[name=erase]').check();
        await visitor.follow(() => page.getByRole('button', { name: 'Erase my receipts' }).click());
        assert.match(await page.locator('main').innerText(), /whose they are: 1\b/);
        await picture('erased');
        await assertReadable(page, width);
        await visitor.follow(() => page.locator('a[href="/_consent/settings?lang=en"]').click());
        assert.match(await page.locator('main').innerText(), /There are no receipts/);
      });
    });
  }
}

test('without scripts receipts are read and erased, and only after a word that it is meant', async () => {
  await world.asVisitor({ scripts: false, language: 'en-GB' }, async (visitor) => {
    const { page } = visitor;
    await visitor.visit('/');
    await visitor.button('accept-all', visitor.banner).click();
    await page.waitForLoadState('load');
    await visitor.visit('/_consent/settings');
    await visitor.follow(() => page.getByRole('link', { name: /^Read/ }).first().click());
    assert.match(await page.locator('main').innerText(), /Får vi använda kakor\?/);
    await visitor.visit('/_consent/settings');
    await page.locator('details summary').last().click();
    const button = page.getByRole('button', { name: 'Erase my receipts' });
    await button.click();
    assert.match(page.url(), /settings/, 'the browser asks for the tick first');
    await page.locator('input[name=erase]').check();
    await visitor.follow(() => button.click());
    assert.match(await page.locator('main').innerText(), /have been erased/);
  });
});

/** It fits, and axe finds nothing. */
async function assertReadable(page, width) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `it fits into ${width} px`);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join('\n')}`), []);
}
