// The banner on pages that make it hard for it, with the keyboard alone, in every scheme, and as fast as the page.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openInternet } from './support/internet.js';
import { startSite } from './support/proxied.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const TEXT = '<h1>Rubrik</h1><p>Text.</p>';
const LONG = Array.from({ length: 40 }, (_, index) => `<p><a href="#${index}">Länk ${index}</a></p>`).join('\n');
const page = (lang, body, head = '') => `<!doctype html><html lang="${lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sida</title>${head}</head><body>${body}</body></html>`;

/** Pages whose authors never thought of a banner, or wished to be rid of all of them. */
const HOSTILE = {
  'unsets everything': page('sv', TEXT, '<style>* { all: unset !important }</style>'),
  'hides the banner by name': page('sv', TEXT, '<style>consentry-banner, consentry-banner * { display: none !important; visibility: hidden !important; opacity: 0 !important; transform: scale(0) !important }</style>'),
  'lies over everything': page('sv', `${TEXT}<div style="position:fixed;inset:0;z-index:2147483647;background:#fffc"></div>`),
  'hides its body until a script runs': page('sv', `${TEXT}`, '<style>body { display: none }</style>'),
  'makes itself invisible against flicker': page('sv', TEXT, '<style>html.async-hide { opacity: 0 !important }</style><script>document.documentElement.className = "async-hide"</script>'),
  'transforms its body': page('sv', `<div style="height:3000px">${TEXT}</div>`, '<style>body { transform: translateZ(0); overflow: hidden }</style>'),
  'has a strict policy': { html: page('sv', TEXT), headers: { 'content-security-policy': "default-src 'none'; form-action 'none'; require-trusted-types-for 'script'" } },
  'has no body': `<!doctype html><title>Sida</title>${TEXT}`,
  'is in quirks mode': `<html lang=sv><title>Sida</title><table width=100%><tr><td>${TEXT}</table>`,
  'opens a modal dialog': page('sv', `${TEXT}<dialog id="d"><p>Nyhetsbrev?</p><button onclick="this.closest('dialog').close()">Nej</button></dialog><script>addEventListener('load', () => document.getElementById('d').showModal())</script>`),
  'leads its links elsewhere': page('sv', TEXT, '<base href="https://elsewhere.example/" target="_blank">'),
  'builds its body anew': page('sv', `${TEXT}<script>addEventListener('load', () => { document.body.innerHTML = '<h1>App</h1>' })</script>`),
};

const PAGES = {
  '/sv': page('sv', `${TEXT}${LONG}`),
  '/en': page('en', `${TEXT}${LONG}`),
  '/ar': page('ar', `<h1>عنوان</h1><p>نص.</p>`),
  '/de': page('de', `<h1>Überschrift</h1><p>Text.</p>`),
  '/pl': page('pl', TEXT),
  '/gated': page('sv', TEXT),
  '/plain': `<!doctype html><title>x</title>${TEXT}`,
  '/english/part': page('sv', TEXT),
  '/speed': page('sv', `<h1 style="font-size:3rem">En rubrik som är sidans största</h1><p style="font-size:1.25rem">${'Sidans egen text, i ett stycke. '.repeat(12)}</p>`),
  '/error': { status: 500, html: page('sv', '<h1>Fel</h1>') },
  '/login': page('sv', '<h1>Logga in</h1><form method="post"><input name="user"><input type="password" name="password"></form>'),
  '/opener': page('sv', `${TEXT}<input id="field"><button id="opener" onclick="consentry.open()">Kakor</button>`),
  '/xml': {
    headers: { 'content-type': 'application/xhtml+xml; charset=utf-8' },
    html: `<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" lang="sv" xml:lang="sv"><head><title>Sida</title><script src="https://www.google-analytics.com/ga.js"></script></head>
<body class="x"><h1>Rubrik</h1><iframe src="https://www.youtube.com/embed/one" title="Film"></iframe><p>Text<br /></p></body></html>`,
  },
  '/frames': '<!doctype html><html lang="sv"><head><title>Ramar</title></head><frameset cols="50%,50%"><frame src="/sv"><frame src="/en"></frameset></html>',
  ...Object.fromEntries(Object.values(HOSTILE).map((html, index) => [`/hostile/${index}`, html])),
};

const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="32"><rect width="120" height="32" rx="6" fill="#7a1fa2"/></svg>';
let internet, browser, site, themed;
before(async () => {
  internet = await openInternet();
  site = await startSite(PAGES, { languages: '[sv, en, de, ar]', yaml: `
languages_by: [{ path: "/english/*", language: en }, { host: english.localhost, language: en }]
gates: [{ name: readers, document: privacy, paths: ["/gated"] }]
` });
  themed = await startSite(PAGES, {
    yaml: 'banner: { position: center, theme: { accent: "#7a1fa2", background: "#fffdf5", text: "#221a12", dark: { accent: "#e6b3ff", background: "#1c1420", text: "#f4ecf7" }, radius: 16px, font: "Georgia, serif", logo: logo.svg } }',
    files: { 'logo.svg': LOGO },
  });
  browser = await openBrowser(internet);
}, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  await site?.stop();
  await themed?.stop();
  await internet?.close();
}, { timeout: 60_000 });

async function asVisitor(options, story) {
  const visitor = await newVisitor(browser, (options.site ?? site).url, options);
  try {
    return await story(visitor, visitor.page);
  } finally {
    await visitor.leave();
  }
}

/** What lies topmost at the middle of a button: the banner, where all is well. */
const TOPMOST = (value) => {
  const banner = document.querySelector('consentry-banner');
  const box = banner.shadowRoot.querySelector(`[value=${value}]`).getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  return { isInView: x > 0 && y > 0 && box.right <= innerWidth && box.bottom <= innerHeight, top: document.elementFromPoint(x, y)?.localName };
};

for (const [index, what] of Object.keys(HOSTILE).entries()) {
  test(`the banner is seen and usable on a page that ${what}`, async () => {
    await asVisitor({}, async (visitor, page) => {
      await visitor.visit(`/hostile/${index}`);
      await page.waitForFunction(() => document.querySelector('consentry-banner')?.shadowRoot?.querySelector('button').getClientRects().length > 0);
      for (const value of ['accept-all', 'reject-all']) {
        assert.deepEqual(await page.evaluate(TOPMOST, value), { isInView: true, top: 'consentry-banner' }, value);
      }
      const stored = page.waitForResponse((response) => response.url() === `${site.url}/_consent/choices`);
      await visitor.button('reject-all', visitor.banner).click();
      // A page that may connect to nothing sends the form itself.
      assert.ok([200, 303].includes((await stored).status()));
      await visitor.banner.waitFor({ state: 'detached' });
      assert.ok((await visitor.cookieNames()).includes('consentry'));
      assert.equal(visitor.context.pages().length, 1, 'no other tab was opened');
    });
  });
}

test('a dialog of the page that closes gives the banner back to the page', async () => {
  await asVisitor({}, async (visitor, page) => {
    const index = Object.keys(HOSTILE).indexOf('opens a modal dialog');
    await visitor.visit(`/hostile/${index}`);
    await page.waitForFunction(() => document.querySelector('consentry-banner').parentNode.localName === 'dialog');
    await page.getByText('Nej').click();
    await page.waitForFunction(() => document.querySelector('consentry-banner').parentNode === document.body);
    assert.deepEqual(await page.evaluate(TOPMOST, 'accept-all'), { isInView: true, top: 'consentry-banner' });
  });
});

test('without scripts the banner is answered in place, whatever a base says', async () => {
  await asVisitor({ scripts: false }, async (visitor, page) => {
    await visitor.visit(`/hostile/${Object.keys(HOSTILE).indexOf('leads its links elsewhere')}`);
    await visitor.follow(() => visitor.button('reject-all', visitor.banner).click());
    assert.ok(page.url().startsWith(`${site.url}/hostile/`), page.url());
    assert.ok((await visitor.cookieNames()).includes('consentry'));
  });
});

test('a page that is XML stays whole, asks those who have not chosen, and has the link for all others', async () => {
  for (const scripts of [true, false]) {
    await asVisitor({ scripts }, async (visitor, page) => {
      await visitor.visit('/xml');
      assert.equal(await page.locator('parsererror').count(), 0);
      assert.equal(await page.locator('h1').textContent(), 'Rubrik');
      await page.screenshot({ path: `${OUT}xml.png` });
      const [accept, reject] = await Promise.all(['accept-all', 'reject-all'].map((value) => visitor.button(value, visitor.banner).boundingBox()));
      assert.deepEqual([accept.y, accept.height, accept.width], [reject.y, reject.height, reject.width]);
      for (const box of [accept, reject]) assert.ok(box.y > 0 && box.y + box.height <= 800, JSON.stringify(box));
      assert.match(await visitor.banner.textContent(), /Exempelbyrån AB[^]*statistik[^]*ta tillbaka/);
      await visitor.follow(() => visitor.button('reject-all', visitor.banner).click());
      assert.equal(visitor.path, '/xml');
      assert.deepEqual([await visitor.banner.count(), await page.locator('parsererror').count()], [0, 0]);
      await visitor.follow(() => page.locator('consentry-settings a').click());
      assert.equal(visitor.path, '/_consent/settings');
    });
  }
});

test('a frameset keeps its frames, and the banner lies over them, first in order; the link comes when it goes', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/frames');
    assert.equal(page.frames().length, 3);
    assert.deepEqual(await page.evaluate(() => [document.body.localName, document.body.cols]), ['frameset', '50%,50%']);
    for (const value of ['accept-all', 'reject-all']) {
      assert.deepEqual(await page.evaluate(TOPMOST, value), { isInView: true, top: 'consentry-banner' }, value);
    }
    await page.keyboard.press('Tab');
    assert.deepEqual(await page.evaluate(FOCUS), { inBanner: true, name: 'Kakinställningar', shows: true });
    await page.screenshot({ path: `${OUT}frameset.png` });
    await visitor.answer('reject-all');
    await visitor.visit('/frames');
    assert.deepEqual([page.frames().length, await visitor.banner.count()], [3, 0]);
    const link = page.locator('consentry-settings a');
    assert.equal(await link.evaluate((at) => { const box = at.getBoundingClientRect(); return document.elementFromPoint(box.x + 5, box.y + 5) === at; }), true);
    await visitor.follow(() => link.click());
    assert.equal(page.url(), `${site.url}/_consent/settings?lang=sv`);
  });
});

test('without scripts a frameset shows its frames and holds its services, and the settings page asks', async () => {
  await asVisitor({ scripts: false }, async (visitor, page) => {
    await visitor.visit('/frames');
    assert.deepEqual([page.frames().length, await visitor.banner.count()], [3, 0]);
    await visitor.choose('reject-all');
    assert.ok((await visitor.cookieNames()).includes('consentry'));
  });
});

/** What needs scripts to be dodged: a page that covers itself, or is not there without any. */
const NEEDS_SCRIPTS = ['lies over everything', 'hides its body until a script runs', 'makes itself invisible against flicker', 'opens a modal dialog', 'builds its body anew'];
for (const [index, what] of Object.keys(HOSTILE).entries()) {
  if (NEEDS_SCRIPTS.includes(what)) continue;
  test(`without scripts, too, the banner is seen and usable on a page that ${what}`, async () => {
    await asVisitor({ scripts: false }, async (visitor, page) => {
      await visitor.visit(`/hostile/${index}`);
      for (const value of ['accept-all', 'reject-all']) {
        const box = await visitor.button(value, visitor.banner).boundingBox();
        assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= 1280 && box.y + box.height <= 800, `${value} ${JSON.stringify(box)}`);
      }
      await visitor.follow(() => visitor.button('reject-all', visitor.banner).click());
      assert.ok((await visitor.cookieNames()).includes('consentry'));
      assert.ok(page.url().startsWith(site.url), page.url());
    });
  });
}

/** Where the focus is. */
const FOCUS = () => {
  let at = document.activeElement;
  const inBanner = at?.closest?.('consentry-banner') != null;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  return { inBanner, name: at.value || at.textContent.trim().slice(0, 24), shows: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
};

test('c39 c40 the keyboard reaches the banner first, in the order of its lines, and goes on into the page and back', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/sv');
    const stops = [];
    for (let count = 0; count < 7; count += 1) {
      await page.keyboard.press('Tab');
      stops.push(await page.evaluate(FOCUS));
    }
    const names = stops.map((stop) => stop?.name);
    assert.deepEqual(names.slice(0, 5), ['Kakinställningar', 'Läs mer om kakor och per', 'Välj själv', 'accept-all', 'reject-all'], JSON.stringify(stops));
    assert.ok(stops.slice(0, 5).every((stop) => stop.inBanner && stop.shows), JSON.stringify(stops));
    assert.equal(names[5], 'Länk 0', 'no trap');
    assert.equal(await page.evaluate(() => scrollY), 0, 'what stands in the banner moves nothing');
    for (let count = 0; count < 2; count += 1) await page.keyboard.press('Shift+Tab');
    assert.equal((await page.evaluate(FOCUS)).name, 'reject-all', 'and back');
  });
});

test('c9 c39 the keyboard alone opens the second layer, ticks one service and saves it; Enter in a box agrees to nothing more', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/sv');
    const press = async (name) => {
      for (let count = 0; count < 30; count += 1) {
        await page.keyboard.press('Tab');
        if ((await page.evaluate(FOCUS))?.name.startsWith(name)) return;
      }
      assert.fail(`Tab never reaches ${name}`);
    };
    await press('Välj själv');
    await page.keyboard.press('Enter');
    await press('Tjänster: Google Analyti');
    await page.keyboard.press('Enter');
    await press('matomo');
    await page.keyboard.press('Space');
    const stored = page.waitForResponse((response) => response.url().endsWith('/_consent/choices'));
    await page.keyboard.press('Enter');
    await stored;
    await visitor.banner.waitFor({ state: 'detached' });
    const choices = await (await visitor.context.request.get('/_consent/choices')).json();
    assert.deepEqual(choices.services, ['matomo']);
    assert.deepEqual(choices.categories, { necessary: true, preferences: false, statistics: false, marketing: false });
  });
});

test('c11 a category ticks its services, and taking one out leaves the others', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/sv');
    await page.evaluate(() => window.consentry.open());
    const box = (name, value) => visitor.banner.locator(`input[name=${name}][value=${value}]`);
    await box('category', 'statistics').check();
    await visitor.banner.getByText('Tjänster: Google Analytics').click();
    assert.equal(await box('service', 'matomo').isChecked(), true);
    await box('service', 'matomo').uncheck();
    assert.equal(await box('category', 'statistics').isChecked(), false);
    const stored = page.waitForResponse((response) => response.url().endsWith('/_consent/choices'));
    await visitor.button('save', visitor.banner).click();
    await stored;
    await visitor.banner.waitFor({ state: 'detached' });
    assert.deepEqual((await (await visitor.context.request.get('/_consent/choices')).json()).services, ['google-analytics']);
  });
});

test('c9 escape, scrolling and clicks beside the banner close nothing and choose nothing', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/sv');
    await page.keyboard.press('Escape');
    await page.mouse.wheel(0, 900);
    await page.mouse.click(5, 5);
    assert.equal(await visitor.banner.isVisible(), true);
    assert.deepEqual(await visitor.cookieNames(), []);
  });
});

test('c39 what has the focus is never hidden under the banner, to the end of the page', async () => {
  for (const options of [{}, { width: 360, height: 640 }]) {
    await asVisitor(options, async (visitor, page) => {
      await visitor.visit('/sv');
      for (let count = 0; count < 46; count += 1) {
        await page.keyboard.press('Tab');
        const covered = await page.evaluate(() => {
          const at = document.activeElement;
          if (!at || at === document.body || at.closest('consentry-banner')) return false;
          const box = at.getBoundingClientRect();
          return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) !== at ? `${at.textContent} ${JSON.stringify(box)}` : false;
        });
        assert.equal(covered, false, `stop ${count}`);
      }
    });
  }
});

test('c40 the focus returns to what opened the banner', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/opener');
    await page.fill('#field', 'typed');
    await page.focus('#opener');
    await page.keyboard.press('Enter');
    assert.equal((await page.evaluate(FOCUS)).name, 'Välj själv');
    await visitor.answer('reject-all');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'opener');
    assert.equal(await page.inputValue('#field'), 'typed');
    assert.equal(await page.locator('consentry-settings a').isVisible(), true, 'the link comes when the banner goes');
  });
});

test('c5 c37 c39 accept and reject are in view down to 320 by 256 pixels, which is 400 % zoom, and nothing scrolls sideways', async () => {
  for (const [width, height] of [[320, 256], [320, 568], [360, 740], [768, 1024], [1280, 800], [1920, 1080]]) {
    for (const path of ['/sv', '/en', '/ar']) {
      for (const shop of [site, themed]) {
        await asVisitor({ width, height, site: shop }, async (visitor, page) => {
          await visitor.visit(path);
          for (const value of ['accept-all', 'reject-all']) {
            assert.equal((await page.evaluate(TOPMOST, value)).isInView, true, `${path} ${width}x${height} ${value}`);
          }
          const wide = await page.evaluate(() => {
            const parts = [...document.querySelector('consentry-banner').shadowRoot.querySelectorAll('form, .info, .layer, button')];
            return parts.filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => `${part.className || part.value} ${part.scrollWidth} ${part.clientWidth}`);
          });
          assert.deepEqual(wide, [], `${path} ${width}x${height}`);
          const small = await page.evaluate(() => [...document.querySelector('consentry-banner').shadowRoot.querySelectorAll('button, summary, a')]
            .map((part) => part.getBoundingClientRect()).filter((box) => box.height > 0 && (box.height < 24 || box.width < 24)).length);
          assert.equal(small, 0, 'targets of 24 pixels at least');
        });
      }
    }
  }
});

test('c43 the banner shifts nothing, is not the largest paint, and is there in the first frame, over a slow line', async () => {
  await asVisitor({}, async (visitor, page) => {
    const session = await visitor.context.newCDPSession(page);
    await session.send('Network.enable');
    await session.send('Network.emulateNetworkConditions', { offline: false, latency: 150, downloadThroughput: 200_000, uploadThroughput: 90_000 });
    await page.addInitScript(() => {
      window.seen = { shift: 0, largest: null, first: null };
      new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.seen.shift += entry.value; })).observe({ type: 'layout-shift', buffered: true });
      new PerformanceObserver((list) => { const { size, element, url } = list.getEntries().at(-1); window.seen.largest = { size, name: element?.localName ?? null, url }; }).observe({ type: 'largest-contentful-paint', buffered: true });
      new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
        if (entry.name !== 'first-contentful-paint') return;
        const banner = document.querySelector('consentry-banner');
        window.seen.first = banner?.shadowRoot?.querySelector('button')?.getClientRects().length ?? 0;
      })).observe({ type: 'paint', buffered: true });
    });
    await visitor.visit('/speed');
    await page.waitForFunction(() => window.seen.largest && window.seen.first !== null);
    const seen = await page.evaluate(() => window.seen);
    assert.equal(seen.shift, 0);
    assert.ok(['h1', 'p'].includes(seen.largest.name), JSON.stringify(seen.largest));
    assert.equal(seen.first, 1, 'visible in the first frame with contents');
  });
});

test('c43 nothing is asked of another host, nothing that the page waits for, and once: the banner has all it needs in the page', async () => {
  await asVisitor({}, async (visitor, page) => {
    const [asked, sent] = [[], []];
    const list = (url) => /\/_consent\/assets\/known\.[0-9a-f]+\.js$/.test(url);
    page.on('request', (request) => asked.push(request.url()));
    page.on('response', async (response) => { if (list(response.url())) sent.push(response); });
    await visitor.visit('/sv');
    const others = asked.filter((url) => url !== `${site.url}/sv` && !url.endsWith('/favicon.ico'));
    // What the guard learns of services that few sites have; it comes when it comes.
    assert.ok(others.length === 1 && others[0].startsWith(`${site.url}/`) && list(others[0]), JSON.stringify(others));
    const blocking = await page.evaluate(() => performance.getEntriesByType('resource').filter((entry) => entry.renderBlockingStatus !== 'non-blocking').map((entry) => entry.name));
    assert.deepEqual(blocking, []);
    assert.match(sent[0].headers()['cache-control'], /max-age=31536000, immutable/);
    await visitor.visit('/en');
    const weights = await page.evaluate(() => performance.getEntriesByType('resource').map((entry) => entry.transferSize));
    assert.deepEqual(weights, [0], 'kept by the browser');
  });
});

test('c43 with the line cut for all but the page itself, the banner is there and is answered', async () => {
  await asVisitor({}, async (visitor, page) => {
    await page.route('**/*', (route) => (/\/sv$|\/choices$/.test(route.request().url()) ? route.continue() : route.abort()));
    await visitor.visit('/sv');
    await visitor.answer('reject-all');
    assert.ok((await visitor.cookieNames()).includes('consentry'));
  });
});

test('who agreed to all asks for nothing of ours: the page holds the link and what scripts may ask, and no banner', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/sv');
    await visitor.answer('accept-all');
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    const html = await (await visitor.visit('/sv')).text();
    assert.deepEqual(asked.filter((url) => !url.endsWith('/favicon.ico')), [`${site.url}/sv`]);
    assert.ok(!html.includes('<consentry-banner') && html.includes('<consentry-settings') && html.includes('data-consentry="guard"'));
  });
});

test('c52 refusing takes as long as agreeing', async () => {
  const times = { 'accept-all': [], 'reject-all': [] };
  for (let round = 0; round < 5; round += 1) {
    for (const value of Object.keys(times)) {
      await asVisitor({}, async (visitor, page) => {
        await visitor.visit('/sv');
        const stored = page.waitForResponse((response) => response.url().endsWith('/_consent/choices'));
        await visitor.button(value, visitor.banner).click();
        const { requestStart, responseEnd } = (await stored).request().timing();
        await (await stored).finished();
        times[value].push((await stored).request().timing().responseEnd - requestStart || responseEnd);
        await visitor.banner.waitFor({ state: 'detached' });
        await visitor.visit('/en');
        assert.equal(await visitor.banner.count(), 0, 'asked once');
      });
    }
  }
  const fastest = (list) => Math.min(...list);
  assert.ok(Math.abs(fastest(times['accept-all']) - fastest(times['reject-all'])) < 50, JSON.stringify(times));
});

test('c16 every page has the link, errors and logins too, and two clicks withdraw', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/sv');
    await visitor.answer('accept-all');
    for (const path of ['/sv', '/error', '/login', '/not-there', '/_consent/not-there', '/privacy']) {
      await visitor.visit(path);
      const link = page.locator('a[data-consentry=settings]').first();
      assert.equal(await link.isVisible(), true, path);
      await visitor.follow(() => link.click());
      assert.equal(visitor.path, '/_consent/settings', path);
    }
    await visitor.press('reject-all');
    const choices = await (await visitor.context.request.get('/_consent/choices')).json();
    assert.equal(choices.decided, true);
    assert.ok(!Object.entries(choices.categories).some(([name, may]) => may && name !== 'necessary'));
  });
});

test('c22 a refusal is remembered as long as an agreement, half a year at least', async () => {
  const lives = [];
  for (const value of ['accept-all', 'reject-all']) {
    await asVisitor({}, async (visitor) => {
      await visitor.visit('/sv');
      await visitor.answer(value);
      const cookie = (await visitor.context.cookies()).find(({ name }) => name === 'consentry');
      lives.push(Math.round((cookie.expires - Date.now() / 1000) / 86_400));
    });
  }
  assert.equal(lives[0], lives[1]);
  assert.ok(lives[0] >= 180, `${lives}`);
});

test('c25 a browser that sends Global Privacy Control is heard, and the banner and the settings say so', async () => {
  await asVisitor({ extraHTTPHeaders: { 'Sec-GPC': '1' } }, async (visitor, page) => {
    await visitor.visit('/en');
    assert.match(await visitor.banner.evaluate((banner) => banner.shadowRoot.textContent), /Global Privacy Control/);
    assert.equal((await (await visitor.context.request.get('/_consent/choices')).json()).gpc, true);
    await visitor.visit('/_consent/settings?lang=en');
    assert.match(await page.locator('main').textContent(), /Global Privacy Control/);
    assert.deepEqual(await (await visitor.context.request.get('/.well-known/gpc.json')).json().then(({ gpc }) => gpc), true);
  });
  await asVisitor({}, async (visitor) => {
    await visitor.visit('/en');
    assert.doesNotMatch(await visitor.banner.evaluate((banner) => banner.shadowRoot.textContent), /Global Privacy Control/);
  });
});

test('c32 c41 the banner speaks the language of its page, of its part of the site, then of its visitor', async () => {
  for (const [path, locale, language, direction] of [
    ['/sv', 'en-GB', 'sv', 'ltr'], ['/en', 'sv-SE', 'en', 'ltr'], ['/ar', 'sv-SE', 'ar', 'rtl'], ['/english/part', 'sv-SE', 'en', 'ltr'],
    ['/plain', 'en-GB', 'en', 'ltr'], ['/plain', 'ar-EG', 'ar', 'rtl'], ['/plain', 'fi-FI', 'sv', 'ltr'], ['/pl', 'en-GB', 'en', 'ltr'],
  ]) {
    await asVisitor({ language: locale }, async (visitor, page) => {
      await visitor.visit(path);
      const found = await visitor.banner.evaluate((banner) => [banner.lang, banner.dir, banner.shadowRoot.querySelector('section').lang]);
      assert.deepEqual(found, [language, direction, language], `${path} ${locale}`);
      await visitor.follow(() => page.locator('a[data-consentry=settings]').first().click());
      assert.equal(await page.evaluate(() => document.documentElement.lang), language, 'the settings go on in it');
    });
  }
  await asVisitor({}, async (visitor) => {
    await visitor.visit(`${site.url.replace('127.0.0.1', 'english.localhost')}/sv`);
    assert.equal(await visitor.banner.getAttribute('lang'), 'en', 'the language of its host');
  });
});

test('c44 a known crawler sees the same text, and neither banner nor gate', async () => {
  const text = async (options, path = '/sv') => asVisitor(options, async (visitor, page) => {
    await visitor.visit(path);
    return { banner: await visitor.banner.count(), words: await page.evaluate(() => [...document.querySelectorAll('h1, p')].map((part) => part.textContent)), path: visitor.path };
  });
  const bot = { userAgent: 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)' };
  const [person, crawler] = [await text({}), await text(bot)];
  assert.deepEqual([person.banner, crawler.banner], [1, 0]);
  assert.deepEqual(crawler.words, person.words);
  assert.deepEqual([(await text({}, '/gated')).path, (await text(bot, '/gated')).path], ['/privacy', '/gated']);
});

test('c38 there is one banner, and one link, however often scripts ask for it', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/opener');
    for (let count = 0; count < 3; count += 1) await page.click('#opener');
    assert.equal(await visitor.banner.count(), 1);
    assert.equal(await page.locator('consentry-settings').count(), 1);
  });
});

test('a theme is obeyed: place, colours by day and by night, corners, letters, and a logo from the site itself', async () => {
  for (const [colorScheme, accent] of [['light', 'rgb(122, 31, 162)'], ['dark', 'rgb(230, 179, 255)']]) {
    await asVisitor({ site: themed, colorScheme }, async (visitor, page) => {
      await visitor.visit('/sv');
      const found = await visitor.banner.evaluate((banner) => {
        const [button, picture] = [banner.shadowRoot.querySelector('[value=accept-all]'), banner.shadowRoot.querySelector('img')];
        const [box, style] = [banner.getBoundingClientRect(), getComputedStyle(button)];
        return { accent: style.backgroundColor, radius: getComputedStyle(banner.shadowRoot.querySelector('section')).borderTopLeftRadius, font: style.fontFamily, isCentred: Math.abs(box.top + box.height / 2 - innerHeight / 2) < 2, logo: picture.complete && picture.naturalWidth, alt: picture.alt, from: new URL(picture.src).host === location.host };
      });
      assert.deepEqual(found, { accent, radius: '16px', font: 'Georgia, serif', isCentred: true, logo: 120, alt: 'Exempelbyrån AB', from: true });
    });
  }
});

test('c39 nothing of ours moves, for those who want less of it and for all others', async () => {
  for (const reducedMotion of ['no-preference', 'reduce']) {
    await asVisitor({ reducedMotion }, async (visitor, page) => {
      for (const path of ['/sv', '/_consent/settings', '/privacy']) {
        await visitor.visit(path);
        const moving = await page.evaluate(() => {
          const roots = [document, ...[...document.querySelectorAll('consentry-banner, consentry-settings')].map((host) => host.shadowRoot)];
          const all = roots.flatMap((root) => [...root.querySelectorAll('*')]);
          const moves = ({ animationName, transitionDuration, scrollBehavior }) => animationName !== 'none' || transitionDuration !== '0s' || scrollBehavior !== 'auto';
          return [all.length, all.filter((one) => moves(getComputedStyle(one))).map((one) => one.localName), document.getAnimations().length];
        });
        assert.ok(moving[0] > 5);
        assert.deepEqual(moving.slice(1), [[], 0], `${path} ${reducedMotion}`);
      }
    });
  }
});

test('on paper there is no banner and no link to the settings, and a document is all there', async () => {
  await asVisitor({}, async (visitor, page) => {
    await visitor.visit('/sv');
    await page.emulateMedia({ media: 'print' });
    assert.equal(await visitor.banner.isVisible(), false);
    await page.emulateMedia({ media: 'screen' });
    await visitor.answer('reject-all');
    await visitor.visit('/sv');
    assert.equal(await page.locator('consentry-settings a').isVisible(), true);
    await page.emulateMedia({ media: 'print' });
    assert.equal(await page.locator('consentry-settings a').isVisible(), false);
    await visitor.visit('/privacy');
    for (const part of ['h1', 'article p', 'table', 'footer']) assert.equal(await page.locator(part).first().isVisible(), true, part);
    const broken = await page.locator('tbody th').evaluateAll((names) => names.filter((name) => {
      const text = document.createRange();
      text.selectNodeContents(name);
      return !name.textContent.includes(' ') && text.getClientRects().length > 1;
    }).map((name) => name.textContent));
    assert.deepEqual(broken, [], 'names stay whole on paper');
    await page.screenshot({ path: `${OUT}print-document.png`, fullPage: true });
  });
});

const STATES = {
  banner: async (visitor, path) => visitor.visit(path),
  layer: async (visitor, path) => {
    await visitor.visit(path);
    await visitor.page.evaluate(() => {
      window.consentry.open();
      document.querySelector('consentry-banner').shadowRoot.querySelectorAll('details').forEach((part) => { part.open = true; });
    });
  },
  settings: async (visitor, path) => visitor.visit(`/_consent/settings?lang=${path.slice(1)}&return=/`),
  decided: async (visitor, path) => {
    await visitor.visit(path);
    await visitor.answer('accept-all');
    await visitor.visit(`/_consent/settings?lang=${path.slice(1)}&return=/`);
  },
  document: async (visitor, path) => visitor.visit(`/privacy?lang=${path.slice(1)}`),
  missing: async (visitor, path) => visitor.visit(`/_consent/nothing?lang=${path.slice(1)}`),
};
for (const language of ['sv', 'en', 'de', 'ar']) {
  for (const [width, height] of [[360, 740], [768, 1024], [1280, 800]]) {
    test(`c39 c42 axe finds nothing in any state (${language}, ${width} px)`, async () => {
      await mkdir(OUT, { recursive: true });
      for (const [name, reach] of Object.entries(STATES)) {
        const schemes = [['light', {}], ['dark', { colorScheme: 'dark' }], ['forced', { forcedColors: 'active', reducedMotion: 'reduce' }]];
        // Colours are the same in every language; one of each direction has them all.
        const isFull = width !== 768 && ['sv', 'ar'].includes(language);
        await Promise.all(schemes.filter(([scheme]) => scheme === 'light' || isFull).map(async ([scheme, more]) => {
          await asVisitor({ width, height, language, ...more }, async (visitor, page) => {
            await reach(visitor, `/${language}`);
            await page.screenshot({ path: `${OUT}state-${name}-${language}-${width}-${scheme}.png`, fullPage: !['banner', 'layer'].includes(name) });
            await page.evaluate(axe.source);
            const context = ['banner', 'layer'].includes(name) ? { include: [['consentry-banner']] } : undefined;
            const { violations, passes } = await page.evaluate((within) => window.axe.run(within ?? document), context);
            assert.ok(passes.length > 0);
            assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`), [], `${name} ${scheme}`);
          });
        }));
      }
    });
  }
}
