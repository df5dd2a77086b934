// `consentry preview`: every state that it shows, in languages of both directions, narrow and wide; pictures for a
// person are written to out/.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { BINARY } from './support/demo.js';
import { openInternet } from './support/internet.js';
import { freePort, listens, startProgram } from './support/program.js';
import { writeSettings } from './support/proxied.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const TERMS = '---\ntitle: Terms\nversion: 3\n---\nBe kind.\n';
const EARLIER = '---\ntitle: Om kakor\nversion: 2018-05-25\neffective: 2018-05-25\n---\nVi använder kakor.\n';
const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** Some of what must be there; every message has a state, too. */
const STATES = [
  'banner', 'banner-opened', 'banner-under-a-signal', 'link', 'placeholders', 'settings-undecided', 'settings-refused',
  'settings-agreed', 'settings-under-a-signal', 'receipt', 'receipts-erased', 'form-not-delivered', 'note-privacy',
  ...['', '-after-yes', '-after-no', '-with-a-form', '-earlier'].map((end) => `document-privacy${end}`),
  ...['', '-after-yes', '-after-no', '-with-a-form'].map((end) => `document-terms${end}`),
  'message-notfound', 'message-notrecorded', 'message-unreachable', 'message-formheld', 'message-nocookies',
];

let internet, browser, folder, preview, url, settings;
before(async () => {
  internet = await openInternet();
  folder = await mkdtemp(path.join(tmpdir(), 'consentry-preview-'));
  settings = writeSettings(folder, {
    languages: '[sv, en, de, ar]',
    documents: '  terms: { kind: agreement, path: /terms, files: { sv: ../documents/terms.md } }',
    yaml: 'gates: [{ name: customers, document: privacy, cookie: PHPSESSID }, { name: staff, document: terms, paths: ["/admin/*"], logout: /logout }]',
    files: { '../documents/terms.md': TERMS, '../documents/privacy.sv.2018-05-25.md': EARLIER },
  });
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  preview = await startProgram(BINARY, ['preview', '--config', settings, '--listen', `127.0.0.1:${port}`], () => listens(port));
  browser = await openBrowser(internet);
  await mkdir(OUT, { recursive: true });
}, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  await preview?.stop();
  await internet?.close();
  await rm(folder, { recursive: true, force: true });
}, { timeout: 60_000 });

async function asVisitor(options, story) {
  const visitor = await newVisitor(browser, url, options);
  try {
    return await story(visitor, visitor.page);
  } finally {
    await visitor.leave();
  }
}

for (const language of ['sv', 'en', 'de', 'ar']) {
  for (const width of [360, 1280]) {
    test(`the preview shows every state without a flaw, an error or a call to anybody (${language}, ${width} px)`, { timeout: 300_000 }, async () => {
      await asVisitor({ width, height: 740 }, async (visitor, page) => {
        const [problems, calls] = [[], []];
        page.on('console', (message) => {
          // Chromium asks for an icon by itself.
          const isOurs = ['error', 'warning'].includes(message.type()) && !message.location().url.endsWith('/favicon.ico');
          if (isOurs) problems.push(`${page.url()}: ${message.text()}`);
        });
        page.on('request', (request) => { if (!request.url().startsWith(`${url}/`)) calls.push(request.url()); });
        const index = await (await visitor.context.request.get(`/?lang=${language}`)).text();
        const addresses = [...index.matchAll(/href="(\/state\/[^"]+)"/g)].map(([, address]) => address);
        const names = addresses.map((address) => address.split(/[/?]/)[2]);
        assert.deepEqual(STATES.filter((name) => !names.includes(name)), []);
        for (const [number, address] of addresses.entries()) {
          const answer = await page.goto(address);
          assert.equal(answer.status(), 200, address);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflow <= 0, `${address}: ${overflow} px too wide`);
          await page.screenshot({ path: `${OUT}preview-${names[number]}-${language}-${width}.png`, fullPage: true });
          if (width > 360) continue;
          await page.evaluate(axe.source);
          const { violations } = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), WCAG);
          assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`), [], address);
        }
        assert.deepEqual(problems, []);
        assert.deepEqual([calls, internet.called()], [[], []]);
        assert.deepEqual(await visitor.cookieNames(), []);
      });
    });
  }
}

test('the index shows every state twice, and leads on to the other languages', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/?lang=en');
    assert.equal(await page.locator('iframe').count(), 2 * (await page.locator('h2').count()));
    await visitor.follow(() => page.getByRole('link', { name: 'ar', exact: true }).click());
    const shown = page.frameLocator('iframe').first().locator('consentry-banner');
    assert.equal(await shown.getAttribute('lang'), 'ar');
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags, iframes: false }), WCAG);
    assert.deepEqual(violations.map(({ id }) => id), []);
  });
});

test('what is saved is what the preview shows next, and a mistake is told in its place', async () => {
  await asVisitor({}, async (visitor, page) => {
    const file = path.join(folder, 'sites', 'site.yaml');
    const yaml = await readFile(file, 'utf8');
    try {
      await writeFile(file, `${yaml}\nbanner: { texts: { en: { title: A title of ours } } }\n`);
      await visitor.visit('/state/banner?lang=en');
      assert.match(await visitor.banner.evaluate((banner) => banner.shadowRoot.textContent), /A title of ours/);
      await writeFile(file, `${yaml}\nbaner: {}\n`);
      assert.equal((await visitor.visit('/state/banner?lang=en')).status(), 409);
      assert.match(await page.textContent('body'), /site\.yaml:\d+[^]*baner/);
    } finally {
      await writeFile(file, yaml);
    }
  });
});
