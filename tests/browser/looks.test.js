// How it looks, beside pages as they are; pictures for a person are written to out/.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { PAGES, openWorld } from './support/world.js';

const axe = createRequire(import.meta.url)('axe-core');
const world = openWorld();
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const PRIVACY = '/cldoc/cookies-privacy-policies.htm';

test('the letters of every page show right beside the banner, whatever its character set', async () => {
  await world.asVisitor({}, async (visitor) => {
    for (const [path, headline] of Object.entries(PAGES)) {
      await visitor.visit(path);
      assert.equal(await visitor.page.locator('#rubrik').textContent(), headline, path);
      assert.equal(await visitor.banner.isVisible(), true, `${path}: banner`);
      assert.doesNotMatch(await visitor.banner.evaluate((banner) => banner.shadowRoot.textContent), /\uFFFD|Ã/, path);
    }
  });
});

test('the page is laid out as without the proxy: same mode, same character set, nothing moved', async () => {
  const measure = async (url, path) => world.asVisitor({ url }, async (visitor) => {
    await visitor.visit(path);
    return visitor.page.evaluate(() => {
      const { x, y, width, height } = document.querySelector('#rubrik').getBoundingClientRect();
      return { mode: document.compatMode, charset: document.characterSet, x, y, width, height };
    });
  });
  for (const path of Object.keys(PAGES)) {
    assert.deepEqual(await measure(world.demo.url, path), await measure(world.demo.untouched, path), path);
  }
});

test('the frames of a frameset are filled', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/ram.html');
    const picture = visitor.page.frame({ name: 'bild' });
    assert.equal(await picture.locator('#rubrik').textContent(), 'Höga Kusten i dimma');
    assert.equal(await picture.locator('consentry-banner').count(), 0, 'no banner in a frame');
  });
});

test('the link to the settings stands on every page, before and after choosing', async () => {
  await world.asVisitor({}, async (visitor) => {
    const assertLinked = async (when) => {
      for (const path of [...Object.keys(PAGES), PRIVACY]) {
        await visitor.visit(path);
        const link = visitor.page.locator('a[data-consentry="settings"], a[href^="/_consent/settings"]').first();
        assert.ok(await link.isVisible(), `${path} ${when}`);
        assert.match(await link.getAttribute('href'), /^\/_consent\/settings/, `${path} ${when}`);
      }
    };
    await assertLinked('before');
    await visitor.choose('accept-all');
    await assertLinked('after');
  });
});

test('c6 accept and reject have the same size, weight and contrast, and both are seen without scrolling', async () => {
  for (const [width, height] of [[320, 568], [360, 740], [1280, 800], [1920, 1080]]) {
    await world.asVisitor({ width, height }, async (visitor) => {
      await visitor.visit('/');
      const accept = await look(visitor, 'accept-all');
      const reject = await look(visitor, 'reject-all');
      assert.deepEqual(reject.style, accept.style, `${width}x${height}`);
      assert.ok(accept.contrast >= 4.5, `contrast ${accept.contrast}`);
      for (const { box } of [accept, reject]) {
        assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height, `${width}x${height} ${JSON.stringify(box)}`);
        assert.ok(box.height >= 24, 'large enough to hit');
      }
      const area = ({ box }) => Math.round(box.width * box.height);
      assert.equal(area(reject), area(accept), `${width}x${height}: area`);
    });
  }
});

for (const language of ['sv', 'en']) {
  for (const width of [360, 1280]) {
    test(`banner, settings and document have no flaw that axe knows, and their pictures are taken (${language}, ${width} px)`, async () => {
      await mkdir(OUT, { recursive: true });
      await world.asVisitor({ language: language === 'sv' ? 'sv-SE' : 'en-GB', width }, async (visitor) => {
        const { page } = visitor;
        const picture = (what, fullPage) => page.screenshot({ path: `${OUT}${what}-${language}-${width}.png`, fullPage });
        await visitor.visit(language === 'sv' ? '/' : '/english.html');
        assert.equal(await visitor.banner.getAttribute('lang'), language, 'the banner speaks the language of its page');
        await picture('banner', false);
        await assertAccessible(page, 'banner', { include: [['consentry-banner']] });
        await visitor.visit('/_consent/settings');
        await picture('settings', true);
        await assertAccessible(page, 'settings');
        await visitor.visit(`${PRIVACY}?return=/`);
        await picture('document', true);
        await assertAccessible(page, 'document');
        await visitor.visit('/register');
        await picture('gate', true);
        await assertAccessible(page, 'gate');
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `the document fits into ${width} px`);
      });
    });
  }
}

/** Size, style and contrast of a button of the banner. */
async function look(visitor, value) {
  const button = visitor.button(value, visitor.banner);
  const measured = await button.evaluate((element) => {
    const style = getComputedStyle(element);
    const names = ['fontSize', 'fontWeight', 'fontFamily', 'color', 'backgroundColor', 'borderTopWidth', 'borderTopStyle',
      'borderTopColor', 'borderTopLeftRadius', 'textDecorationLine', 'opacity', 'boxShadow', 'textTransform'];
    let ground = element;
    while (ground && /^(transparent|rgba\(.*, 0\))$/.test(getComputedStyle(ground).backgroundColor)) {
      ground = ground.parentElement ?? ground.getRootNode().host;
    }
    return {
      style: { element: element.localName, ...Object.fromEntries(names.map((name) => [name, style[name]])) },
      colours: [style.color, ground ? getComputedStyle(ground).backgroundColor : 'rgb(255, 255, 255)'],
    };
  });
  return { style: measured.style, contrast: contrast(...measured.colours), box: await button.boundingBox() };
}

/** The contrast ratio of WCAG 2.2. */
function contrast(one, other) {
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[\d.]+/g).slice(0, 3)
      .map((channel) => channel / 255)
      .map((channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

async function assertAccessible(page, what, context = undefined) {
  await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate((within) => window.axe.run(within ?? document), context);
  assert.ok(passes.length > 0, `${what}: axe saw something`);
  const flaws = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join('\n  ')}`);
  assert.deepEqual(flaws, [], what);
}
