// Documents as a controller begins them and readers meet them: from `consentry init` to the page, in the proxy's own
// layout and inside a page of the site; pictures for a person are written to out/.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { BINARY } from './support/demo.js';
import { freePort, listens, startProgram } from './support/program.js';
import { openWorld } from './support/world.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const PRIVACY = '/cldoc/cookies-privacy-policies.htm';
const world = openWorld();
const sites = {};

/** A site begun with `consentry init`, with every place filled in, an earlier version, and `more` in its YAML. */
async function begin(more) {
  await mkdir(OUT, { recursive: true });
  const folder = await mkdtemp(path.join(tmpdir(), 'consentry-documents-'));
  const config = path.join(folder, 'consentry.yaml');
  await promisify(execFile)(BINARY, ['init', 'shop', '--host', '*', '--upstream', world.demo.untouched, '--directory', folder,
    '--controller', 'Björklunds Bildbyrå AB', '--organisation-number', '556000-0000', '--address', 'Kajen 1, Härnösand',
    '--email', 'dataskydd@example.se', '--processor', 'Värden AB']);
  const documents = path.join(folder, 'documents', 'shop');
  for (const name of await readdir(documents)) {
    const text = await readFile(path.join(documents, name), 'utf8');
    await writeFile(path.join(documents, name), text.replace(/\[FILL IN: ([^\]]*)\]/g, '$1'));
  }
  await writeFile(path.join(documents, 'privacy.sv.2018-05-25.md'),
    '---\ntitle: Om kakor\nversion: 2018-05-25\neffective: 2018-05-25\n---\nVi använder kakor.\n');
  const yaml = path.join(folder, 'sites', 'shop.yaml');
  await writeFile(yaml, `${await readFile(yaml, 'utf8')}\n${more}`);
  const port = await freePort();
  const main = await readFile(config, 'utf8');
  const secrets = path.join(folder, 'data');
  await mkdir(secrets);
  await writeFile(config, main.replace('127.0.0.1:8080', `127.0.0.1:${port}`).replace(/^admin.*\n/m, '')
    .replaceAll('../data', secrets));
  const program = await startProgram(BINARY, ['run', '--config', config], () => listens(port));
  return { url: `http://127.0.0.1:${port}`, stop: async () => { await program.stop(); await rm(folder, { recursive: true }); } };
}

/** The site of this name, begun when a test first asks for it. */
function site(name) {
  sites[name] ??= begin(name === 'framed' ? 'layout: { page: /om.html, selector: "body > p" }\n' : '');
  return sites[name];
}

after(async () => {
  for (const begun of Object.values(sites)) await (await begun).stop();
}, { timeout: 60_000 });

for (const language of ['sv', 'en']) {
  for (const width of [320, 360, 1280]) {
    test(`a document that was begun with init reads well (${language}, ${width} px)`, async () => {
      await world.asVisitor({ url: (await site('own')).url, language: language === 'sv' ? 'sv-SE' : 'en-GB', width }, async (visitor) => {
        const { page } = visitor;
        await visitor.visit('/');
        world.internet.forget();
        await visitor.visit(PRIVACY);
        assert.equal(await page.locator('article').getAttribute('lang'), language);
        assert.doesNotMatch(await page.locator('body').innerText(), /FILL IN|@controller|\{\{/);
        await page.screenshot({ path: `${OUT}init-document-${language}-${width}.png`, fullPage: true });
        await assertReadable(page, width);
        const rows = await page.locator('table').last().locator('tbody tr').count();
        assert.ok(rows > 5, 'cookies of the services that the shop was seen to use are listed');
        assert.match(await page.locator('table').nth(1).innerText(), /Google Analytics/);
        if (width < 640) {
          const label = await page.locator('td[data-label]').first().evaluate((cell) => getComputedStyle(cell, '::before').content);
          assert.match(label, /: /, 'each cell says what it is');
        }
      });
    });
  }
}

test('an earlier version is found from the present one, says that it is, and leads back', async () => {
  await world.asVisitor({ url: (await site('own')).url, width: 360 }, async (visitor) => {
    const { page } = visitor;
    await visitor.visit(PRIVACY);
    await visitor.follow(() => page.locator('section.earlier a').click());
    assert.match(page.url(), /version=2018-05-25/);
    assert.match(await page.locator('article').innerText(), /inte längre gäller[^]*Vi använder kakor\./);
    await page.screenshot({ path: `${OUT}earlier-version-sv-360.png`, fullPage: true });
    await assertReadable(page, 360);
    await visitor.follow(() => page.locator('article .panel a').click());
    assert.equal(await page.locator('section.earlier').count(), 1);
  });
});

test('what a printer gets has the text and the tables, and no forms', async () => {
  await world.asVisitor({ url: (await site('own')).url }, async (visitor) => {
    await visitor.visit(PRIVACY);
    await visitor.page.emulateMedia({ media: 'print' });
    assert.ok(await visitor.page.locator('table').last().isVisible());
    assert.equal(await visitor.page.locator('nav.languages').isVisible(), false);
    await visitor.page.screenshot({ path: `${OUT}document-print.png`, fullPage: true });
  });
});

test('inside a page of the site a document has its looks, and calls nobody', async () => {
  for (const width of [360, 1280]) {
    await world.asVisitor({ url: (await site('framed')).url, width }, async (visitor) => {
      const { page } = visitor;
      await visitor.visit(PRIVACY);
      assert.ok(await page.locator('.consentry-document table').count() >= 2);
      assert.equal(await page.locator('script, iframe, consentry-banner').count(), 0);
      await page.screenshot({ path: `${OUT}framed-document-${width}.png`, fullPage: true });
      const headline = page.locator('#rubrik');
      assert.equal(await headline.textContent(), 'Om Björklunds Bildbyrå', 'in its own character set');
      assert.deepEqual(visitor.errors, []);
      await visitor.follow(() => page.locator('.consentry-document nav a').first().click());
      assert.match(page.url(), /cookies-privacy-policies\.htm\?lang=en/);
      assert.deepEqual(world.internet.called(), []);
    });
  }
});

async function assertReadable(page, width) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `it fits into ${width} px`);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join('\n')}`), []);
}
