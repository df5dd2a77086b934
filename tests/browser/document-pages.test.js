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
import { startSite } from './support/proxied.js';
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

test('inside a page full of third parties a document calls none of them', async () => {
  const there = '//tracker.example';
  const html = `<!doctype html><html manifest="${there}/m"><head><title>Butiken</title><base href="/shop/">
<meta http-equiv="refresh" content="1;url=${there}/refresh"><meta http-equiv="x-dns-prefetch-control" content="on">
<link rel="stylesheet" href="${there}/a.css"><link rel="icon" href="${there}/icon.png"><link rel="preconnect" href="${there}">
<link rel="dns-prefetch" href="${there}"><link rel="preload" as="image" href="${there}/p.png"><link rel="prefetch" href="${there}/f">
<link rel="modulepreload" href="${there}/m.js"><link rel="manifest" href="${there}/w.json"><link rel="prerender" href="${there}/r">
<style>@import url(${there}/b.css); @font-face { font-family: x; src: url(${there}/x.woff2) } body { font-family: x; background: url(${there}/bg.png) }</style>
<script src="${there}/t.js"></script><script>new Image().src = '${there}/inline.gif'; fetch('${there}/f')</script>
<script type="speculationrules">{"prefetch":[{"urls":["https:${there}/s"],"eagerness":"immediate"}]}</script></head>
<body background="${there}/body.gif" onload="new Image().src='${there}/load.gif'"><h1 id="rubrik">Butiken</h1>
<img src="${there}/i.gif"><img srcset="${there}/s.gif 1x"><picture><source srcset="${there}/p.webp"><img src="/own.gif"></picture>
<input type="image" src="${there}/in.gif"><table background="${there}/t.gif"><tr><td background="${there}/td.gif">a</td></tr></table>
<p style="background:url(${there}/st.gif)">b</p><iframe src="${there}/f.html"></iframe><frame src="${there}/g.html">
<object data="${there}/o.swf"><embed src="${there}/e.swf"></object><video src="${there}/v.mp4" poster="${there}/v.png" autoplay></video>
<audio src="${there}/a.mp3" autoplay></audio><svg><image href="${there}/svg.png"/><use href="${there}/u.svg#a"/><script href="${there}/svg.js"></script></svg>
<noscript><img src="${there}/noscript.gif"></noscript><template shadowrootmode="open"><img src="${there}/shadow.gif"></template>
<a href="https:${there}/ad" ping="${there}/ping">annons</a><main id="content"><img src="${there}/inside.gif"></main></body></html>`;
  const shop = await startSite({ '/': html }, { yaml: 'layout: { page: /, selector: "#content" }' });
  try {
    for (const scripts of [true, false]) {
      await world.asVisitor({ url: shop.url, scripts }, async (visitor) => {
        const { page } = visitor;
        await visitor.visit('/privacy');
        assert.equal(await page.locator('#rubrik').textContent(), 'Butiken');
        assert.match(await page.locator('#content').innerText(), /Personuppgiftsansvarig är Exempelbyrån AB/);
        await page.waitForLoadState('networkidle');
        assert.deepEqual(world.internet.called(), []);
        assert.deepEqual(await visitor.foreignCookies(), []);
        assert.equal(page.url(), `${shop.url}/privacy`, 'and it leads nowhere by itself');
      });
    }
  } finally {
    await shop.stop();
  }
});

test('no text of a document runs anything in the browser, even without a policy', async () => {
  const corpus = (await readFile(fileURLToPath(new URL('../fixtures/documents/scripting.jsonl', import.meta.url)), 'utf8'))
    .trim().split('\n').map((line) => JSON.parse(line));
  // The settings of the site have their own names for what these texts take from them.
  const names = corpus.map((_, index) => `text-${index}`);
  const yaml = names.map((name) => `  ${name}:\n    kind: notice\n    path: /texts/${name}\n    files: { sv: ../documents/${name}.md }`).join('\n');
  const files = Object.fromEntries(corpus.map((text, index) => [`../documents/${names[index]}.md`, `---\ntitle: T\nversion: 1\n---\n${text}\n`]));
  const shop = await startSite({ '/': '<!doctype html><p>x' }, { documents: yaml, files, languages: '[sv]' });
  try {
    await world.asVisitor({ url: shop.url, bypassCSP: true }, async (visitor) => {
      const { page } = visitor;
      const ran = [];
      page.on('dialog', (dialog) => { ran.push(page.url()); dialog.dismiss(); });
      for (const [index, name] of names.entries()) {
        await visitor.visit(`/texts/${name}`);
        assert.equal(await page.locator('article h1').first().textContent(), 'T', corpus[index]);
        // Whatever can be pressed, focused or opened.
        await page.evaluate(() => {
          for (const element of document.querySelectorAll('article *')) {
            for (const kind of ['click', 'mouseover', 'pointerenter', 'focus', 'toggle', 'animationstart']) {
              const event = new Event(kind, { bubbles: true, cancelable: true });
              event.preventDefault();
              element.dispatchEvent(event);
            }
          }
          for (const link of document.querySelectorAll('article a[href]')) {
            if (!/^(https?|mailto|ftp|tel):$/.test(link.protocol)) throw new Error(link.href);
          }
        });
      }
      assert.deepEqual(ran, []);
      assert.deepEqual(visitor.errors, []);
      assert.deepEqual(world.internet.called(), []);
    });
  } finally {
    await shop.stop();
  }
});

async function assertReadable(page, width) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `it fits into ${width} px`);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join('\n')}`), []);
}
