// Forms that wait for a document, in front of an application in PHP: nothing that was typed or attached is lost.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openInternet } from './support/internet.js';
import { startShop } from './support/php.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const ACCEPT = 'button[name=decision][value=accept]';
const DECLINE = 'button[name=decision][value=decline]';

let folder, internet, browser, shop;
before(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-held-'));
  internet = await openInternet();
  browser = await openBrowser(internet);
  shop = await startShop();
  await mkdir(OUT, { recursive: true });
}, { timeout: 120_000 });
after(async () => {
  await shop?.stop();
  await browser?.close();
  await internet?.close();
  rmSync(folder, { recursive: true, force: true });
}, { timeout: 60_000 });

async function asVisitor(options, story) {
  const visitor = await newVisitor(browser, shop.url, options);
  try {
    return await story(visitor, visitor.page);
  } finally {
    await visitor.leave();
  }
}

/** Fills the registration in, with a file, and sends it into the gate. */
async function register(visitor, bytes = randomBytes(300_000)) {
  const { page } = visitor;
  await visitor.visit('/register');
  await page.fill('input[name=name]', 'Åsa "Ö" Ärlig');
  // A file on disk, as people have them: Chromium reads it again when a page is reloaded.
  const picture = path.join(folder, 'min bild.png');
  writeFileSync(picture, bytes);
  await page.setInputFiles('input[name=picture]', picture);
  await visitor.follow(() => page.click('input[type=submit]'));
  return createHash('sha256').update(bytes).digest('hex');
}

function assertOneCustomer(sha256) {
  const customers = shop.customers();
  assert.equal(customers.length, 1, JSON.stringify(customers));
  const [{ name, ...rest }] = customers;
  assert.equal(Buffer.from(name, 'hex').toString('latin1'), 'Åsa "Ö" Ärlig');
  assert.deepEqual(rest, { plan: 'stor', file: 'min bild.png', error: 0, sha256, origin: shop.url, type: 'multipart/form-data' });
}

for (const scripts of [true, false]) {
  const how = scripts ? 'with scripts' : 'without scripts';

  test(`a form that is too large is told so, and going back brings everything that was typed, ${how}`, async () => {
    await asVisitor({ scripts }, async (visitor, page) => {
      await register(visitor, Buffer.alloc(6 << 20, 'x'));
      assert.match(await page.locator('h1').innerText(), /Inte skickat/);
      await page.goBack();
      assert.equal(await page.inputValue('input[name=name]'), 'Åsa "Ö" Ärlig');
      assert.deepEqual(shop.customers(), []);
      assert.deepEqual(internet.called(), []);
    });
  });

  test(`going back from the document brings the form as it was filled in, and it can be sent again, ${how}`, async () => {
    await asVisitor({ scripts }, async (visitor, page) => {
      const sha256 = await register(visitor);
      await page.goBack();
      assert.equal(await page.inputValue('input[name=name]'), 'Åsa "Ö" Ärlig');
      assert.deepEqual(shop.customers(), []);
      await page.setInputFiles('input[name=picture]', path.join(folder, 'min bild.png'));
      await visitor.follow(() => page.click('input[type=submit]'));
      await visitor.follow(() => page.click(ACCEPT));
      assert.equal(visitor.path, '/welcome');
      assertOneCustomer(sha256);
    });
  });

  test(`who declines and thinks better of it loses nothing, ${how}`, async () => {
    await asVisitor({ scripts }, async (visitor, page) => {
      const sha256 = await register(visitor);
      await visitor.follow(() => page.click(DECLINE));
      assert.equal(visitor.path, '/_consent/declined');
      // The browser asks whether to send the form once more, on a page of its own.
      await page.goBack().catch(() => page.waitForURL(/^chrome-error:/));
      if (await page.locator(ACCEPT).count() === 0) await visitor.follow(() => page.reload());
      await visitor.follow(() => page.click(ACCEPT));
      assert.equal(visitor.path, '/welcome');
      assertOneCustomer(sha256);
    });
  });

  test(`a form with a file is carried through in another language and after a reload, ${how}`, async () => {
    await asVisitor({ scripts }, async (visitor, page) => {
      const sha256 = await register(visitor);
      assert.equal(visitor.path, '/register');
      assert.deepEqual(shop.customers(), [], 'nobody is a customer before they have read');
      await visitor.follow(() => page.reload());
      await visitor.follow(() => page.click('button[name=lang][value=en]'));
      assert.match(await page.locator('article').innerText(), /What we collect/);
      await visitor.follow(() => page.reload());
      await visitor.follow(() => page.click(ACCEPT));
      assert.equal(visitor.path, '/welcome');
      assert.equal(await page.locator('#rubrik').textContent(), 'Välkommen');
      assertOneCustomer(sha256);
    });
  });
}

/** What the form of the document's page holds. */
async function keptFields(page) {
  return page.evaluate(() => ({
    action: document.querySelector('#held').getAttribute('action'),
    fields: [...document.querySelectorAll('input[name]')].map(({ name, value }) => [name, value]),
  }));
}

/** Runs in a page: sends such a form, as its button does. */
function sendKept({ action, fields }) {
  const form = document.createElement('form');
  Object.assign(form, { method: 'post', enctype: 'multipart/form-data', action });
  for (const [name, value] of [...fields, ['decision', 'accept']]) {
    form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
  }
  document.body.append(form);
  form.submit();
}

test('pressing twice, sending it again and reloading make no second customer', async () => {
  await asVisitor({}, async (visitor, page) => {
    const sha256 = await register(visitor);
    const kept = await keptFields(page);
    await visitor.follow(() => page.dblclick(ACCEPT));
    await page.locator('#rubrik', { hasText: 'Välkommen' }).waitFor();
    // What the page of the document kept, from its history or from another tab.
    for (const _ of ['again', 'and again']) {
      await visitor.follow(() => page.evaluate(sendKept, kept));
      assert.match(await page.locator('h1').innerText(), /Formuläret är skickat/);
      await visitor.follow(() => page.reload());
      assert.match(await page.locator('h1').innerText(), /Formuläret är skickat/);
    }
    assertOneCustomer(sha256);
  });
});

test('the answer of the application stands under the address of its form', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/register');
    await visitor.follow(() => page.click('input[type=submit]'));
    await visitor.follow(() => page.click(ACCEPT));
    assert.equal(await page.locator('#rubrik').textContent(), 'Fyll i ditt namn');
    assert.equal(page.url(), `${shop.url}/register?plan=stor`);
    await page.fill('input[name=name]', 'Bo');
    await visitor.follow(() => page.click('input[type=submit]'));
    assert.equal(visitor.path, '/welcome');
    assert.equal(shop.customers().length, 1);
  });
});

test('who is logged in by the word of the application accepts the agreement, or leaves', async () => {
  await asVisitor({ scripts: false }, async (visitor, page) => {
    const logIn = async () => {
      await visitor.visit('/login');
      await page.fill('input[name=user]', 'admin');
      await visitor.follow(() => page.click('input[type=submit]'));
      assert.equal(visitor.path, '/cldoc/user-agreement.htm');
    };
    await logIn();
    await visitor.follow(() => page.click(DECLINE));
    assert.equal(visitor.path, '/_consent/declined');
    await visitor.follow(() => page.click('a[href="/logout"]'));
    assert.equal(await page.locator('#rubrik').textContent(), 'Utloggad');
    await logIn();
    await visitor.follow(() => page.click(ACCEPT));
    assert.equal(visitor.path, '/account');
    assert.match(await page.locator('body').innerText(), /Hemligheter/);
  });
});

test('every page on the way can be used by everybody, at each size and in each language', async () => {
  for (const language of ['sv-SE', 'en-GB']) {
    for (const width of [360, 1280]) {
      await asVisitor({ language, width }, async (visitor, page) => {
        const look = async (name) => {
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflow <= 0, `${name}: ${overflow} pixels beside the page`);
          await page.evaluate(axe.source);
          const { violations } = await page.evaluate(() => globalThis.axe.run());
          assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], name);
          await page.screenshot({ path: `${OUT}gate-${name}-${language.slice(0, 2)}-${width}.png`, fullPage: true });
        };
        await visitor.visit('/_consent/acceptances?return=/account');
        await look('no-cookies');
        await register(visitor);
        await look('held');
        const kept = await keptFields(page);
        await visitor.follow(() => page.click(DECLINE));
        await look('declined');
        await visitor.visit('/cldoc/user-agreement.htm?return=/account');
        await look('acknowledgement');
        await register(visitor, Buffer.alloc(3 << 20));
        await look('too-large');
        await register(visitor);
        await visitor.follow(() => page.click(ACCEPT));
        await visitor.visit('/cldoc/cookies-privacy-policies.htm');
        await look('acknowledged');
        await visitor.visit('/');
        for (const _ of ['sent', 'sent again']) await visitor.follow(() => page.evaluate(sendKept, kept));
        await look('sent-already');
        shop.customers();
      });
    }
  }
});
