// Every language that Consentry speaks, in the narrowest window that pages must fit (WCAG 2.2, 1.4.10).

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openInternet } from './support/internet.js';
import { startSite } from './support/proxied.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const OUT = fileURLToPath(new URL('out/', import.meta.url));
const TAGS = readdirSync(new URL('../../src/web/texts/', import.meta.url)).map((name) => name.replace('.yaml', ''));
const page = (lang) => `<!doctype html><html lang="${lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Consentry</title></head><body><h1>${lang}</h1></body></html>`;
const PAGES = Object.fromEntries([...TAGS, 'no', 'pt-BR'].map((tag) => [`/${tag}`, page(tag)]));
const [WIDTH, HEIGHT] = [320, 568];

let internet, browser, site;
before(async () => {
  internet = await openInternet();
  const others = TAGS.filter((tag) => !['sv', 'en'].includes(tag));
  site = await startSite(PAGES, { languages: `[${['sv', 'en', ...others].join(', ')}]` });
  browser = await openBrowser(internet);
  await mkdir(OUT, { recursive: true });
}, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  await site?.stop();
  await internet?.close();
}, { timeout: 60_000 });

async function asVisitor(options, story) {
  const visitor = await newVisitor(browser, site.url, options);
  try {
    return await story(visitor, visitor.page);
  } finally {
    await visitor.leave();
  }
}

/** What is cut off, sticks out of the window or of its own box, below `root`. */
function misfits(root) {
  const found = [];
  for (const element of root.querySelectorAll('button, a, summary, label, h1, h2, h3, p, th, td, li, legend, b')) {
    const [box, style] = [element.getBoundingClientRect(), getComputedStyle(element)];
    if (!box.width || style.position === 'absolute') continue;
    const text = element.textContent.trim().slice(0, 60);
    // Tables scroll in a box of their own.
    const scrolls = element.closest('table') !== null;
    if (!scrolls && (box.left < -0.5 || box.right > innerWidth + 0.5)) found.push(`${element.localName} out of the window: ${text}`);
    if (style.display !== 'inline' && element.scrollWidth > element.clientWidth + 1) found.push(`${element.localName} too wide: ${text}`);
    if (element.localName === 'button' && element.scrollHeight > element.clientHeight + 1) found.push(`${element.localName} too high: ${text}`);
  }
  return found;
}

test(`the banner fits into ${WIDTH} px in all ${TAGS.length} languages, with accept and reject alike and in sight`, async () => {
  await asVisitor({ width: WIDTH, height: HEIGHT }, async (visitor, page) => {
    for (const tag of TAGS) {
      await visitor.visit(`/${tag}`);
      assert.equal(await visitor.banner.getAttribute('lang'), tag);
      assert.equal(await visitor.banner.getAttribute('dir'), tag === 'ar' ? 'rtl' : 'ltr', tag);
      await page.screenshot({ path: `${OUT}language-${tag}-${WIDTH}.png` });
      const [accept, reject] = await Promise.all(['accept-all', 'reject-all'].map((value) => visitor.button(value, visitor.banner).boundingBox()));
      for (const box of [accept, reject]) {
        assert.ok(box.x >= 0 && box.x + box.width <= WIDTH && box.y >= 0 && box.y + box.height <= HEIGHT, `${tag}: ${JSON.stringify(box)}`);
      }
      assert.ok(Math.abs(accept.width - reject.width) < 1 && Math.abs(accept.height - reject.height) < 1, `${tag}: ${JSON.stringify([accept, reject])}`);
      const layers = await visitor.banner.evaluate((banner, source) => {
        const find = new Function(`return (${source})`)();
        const first = find(banner.shadowRoot);
        banner.shadowRoot.querySelectorAll('details').forEach((part) => { part.open = true; });
        return [first, find(banner.shadowRoot)];
      }, misfits.toString());
      assert.deepEqual(layers, [[], []], tag);
    }
  });
});

test(`the settings and the plain pages fit into ${WIDTH} px in all ${TAGS.length} languages`, async () => {
  await asVisitor({ width: WIDTH, height: HEIGHT }, async (visitor, page) => {
    await visitor.visit('/en');
    await visitor.answer('accept-all');
    for (const tag of TAGS) {
      for (const path of [`/_consent/settings?lang=${tag}&return=/`, `/_consent/nothing?lang=${tag}`]) {
        await visitor.visit(path);
        assert.equal(await page.getAttribute('html', 'lang'), tag);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${path}: ${overflow} px too wide`);
        assert.deepEqual(await page.evaluate((source) => new Function(`return (${source})`)()(document), misfits.toString()), [], path);
      }
    }
  });
});

test('the tables of a document need no scrolling sideways in any language', async () => {
  for (const width of [WIDTH, 640, 768, 801, 1280]) {
    await asVisitor({ width }, async (visitor, page) => {
      for (const tag of TAGS) {
        await visitor.visit(`/privacy?lang=${tag}`);
        assert.equal(await page.locator('.scroll table').count(), 2);
        const found = await page.evaluate(() => [...document.querySelectorAll('.scroll')].map((part) => part.scrollWidth - part.clientWidth));
        assert.deepEqual(found, [0, 0], `${tag}, ${width} px`);
      }
    });
  }
});

test('who wishes for a form of a language gets the form that there is', async () => {
  for (const [path, lang, accept] of [['/no', 'nb', 'Godta alle'], ['/pt-BR', 'pt', 'Aceitar tudo']]) {
    await asVisitor({}, async (visitor) => {
      await visitor.visit(path);
      assert.equal(await visitor.banner.getAttribute('lang'), lang);
      assert.equal(await visitor.button('accept-all', visitor.banner).textContent(), accept);
    });
  }
});
