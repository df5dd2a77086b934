// Global Privacy Control, as a header, as a property alone, and as neither; Do Not Track; and pages that were posted.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openInternet } from './support/internet.js';
import { startSite } from './support/proxied.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const page = (body) => `<!doctype html><html lang="en"><head><title>Page</title></head><body>${body}</body></html>`;
const requests = [];
const noted = (path, body) => (request) => {
  requests.push({ path, method: request.method, cookie: request.headers.cookie ?? '', gpc: request.headers['sec-gpc'] });
  return page(body);
};
const PAGES = {
  '/': noted('/', '<h1>Home</h1><script>window.ran = true</script><form method="post" action="/order"><button id="order">Order</button></form>'),
  '/order': noted('/order', '<h1>Thank you</h1>'),
  '/framed': noted('/framed', '<h1>Around</h1><iframe src="/"></iframe>'),
};

let internet, browser, site, deaf, careful;
before(async () => {
  internet = await openInternet();
  site = await startSite(PAGES);
  careful = await startSite(PAGES, { yaml: 'banner: { do_not_track: respect }' });
  deaf = await startSite(PAGES, { yaml: 'banner: { global_privacy_control: ignore }' });
  browser = await openBrowser(internet);
}, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  await site?.stop();
  await deaf?.stop();
  await careful?.stop();
  await internet?.close();
}, { timeout: 60_000 });

/** A visitor whose browser says the signal by none, the header (with the property, as browsers do), or the property. */
async function asVisitor(by, story, { url = site.url } = {}) {
  const visitor = await newVisitor(browser, url, { language: 'en-GB', ...(by === 'header' ? { extraHTTPHeaders: { 'Sec-GPC': '1' } } : {}) });
  if (by !== 'none') await visitor.context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { configurable: true, get: () => true }));
  requests.length = 0;
  try {
    return await story(visitor, visitor.page);
  } finally {
    await visitor.leave();
  }
}
const choices = async (visitor) => (await visitor.context.request.get('/_consent/choices')).json();
const banner = (visitor) => visitor.banner.evaluate((element) => element.shadowRoot.textContent);
const got = (path) => requests.filter((request) => request.path === path);

test('c25 a signal that is a property alone reaches the server, and banner and settings say what it changed', async () => {
  await asVisitor('property', async (visitor, page) => {
    await page.goto('/');
    await page.waitForFunction(() => document.cookie.includes('consentry_gpc=1') && window.ran);
    await visitor.banner.waitFor();
    assert.match(await banner(visitor), /Global Privacy Control/);
    assert.equal(got('/').length, 2, 'asked for once more, and not again and again');
    assert.equal((await choices(visitor)).gpc, true);
    await visitor.visit('/_consent/settings');
    assert.match(await page.locator('main').textContent(), /Global Privacy Control/);
    await visitor.visit('/');
    assert.equal(got('/').length, 3, 'once a visit');
    assert.ok(requests.every((request) => !request.cookie.includes('consentry')), 'the application learns nothing of it');
  });
});

test('c25 an older agreement to marketing ends where the property says so, before anything of the page runs', async () => {
  await asVisitor('none', async (visitor, page) => {
    await visitor.visit('/');
    await visitor.answer('accept-all');
    assert.equal((await choices(visitor)).categories.marketing, true);
    await page.addInitScript(() => {
      Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { configurable: true, get: () => true });
      window.loads = (Number(sessionStorage.loads) || 0) + 1;
      sessionStorage.loads = window.loads;
      addEventListener('pagehide', () => { sessionStorage.ranBefore = String(Boolean(window.ran)); });
    });
    await page.goto('/');
    await page.waitForFunction(() => window.loads === 2 && window.ran);
    assert.equal(await page.evaluate(() => sessionStorage.ranBefore), 'false');
    const { decided, gpc, categories } = await choices(visitor);
    assert.deepEqual({ decided, gpc, ...categories }, { decided: true, gpc: true, necessary: true, preferences: true, statistics: true, marketing: false });
    assert.equal(await page.evaluate(() => window.consentry.choices.categories.marketing), false);
  });
});

test('c25 whoever agrees under the signal has agreed, and whoever takes the property back is rid of its cookie', async () => {
  await asVisitor('property', async (visitor, page) => {
    await visitor.visit('/');
    await page.waitForFunction(() => document.cookie.includes('consentry_gpc=1') && window.ran);
    await visitor.banner.waitFor();
    await visitor.answer('accept-all');
    assert.equal((await choices(visitor)).categories.marketing, true);
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { configurable: true, get: () => false }));
    await visitor.visit('/');
    assert.ok(!(await visitor.cookieNames()).includes('consentry_gpc'));
    assert.equal((await choices(visitor)).gpc, false);
  });
});

test('c25 who sends the header, or nothing, is asked for nothing more and gets no cookie of it', async () => {
  for (const by of ['header', 'none']) {
    await asVisitor(by, async (visitor) => {
      await visitor.visit('/');
      assert.equal(got('/').length, 1, by);
      assert.deepEqual(await visitor.cookieNames(), [], by);
      assert.equal(got('/')[0].gpc, by === 'header' ? '1' : undefined, 'the application hears it, too');
      await visitor.visit('/framed');
      assert.equal(got('/framed').length, 1, by);
    });
  }
});

test('c25 c26 gpc.json says that the signal is heard; a site that ignores it sets no cookie for it, and claims nothing', async () => {
  await asVisitor('property', async (visitor) => {
    await visitor.visit('/');
    assert.equal(got('/').length, 1);
    assert.deepEqual(await visitor.cookieNames(), []);
    assert.equal((await visitor.context.request.get('/.well-known/gpc.json')).status(), 404);
  }, { url: deaf.url });
  await asVisitor('none', async (visitor) => {
    const answer = await visitor.context.request.get('/.well-known/gpc.json');
    assert.deepEqual([answer.status(), answer.headers()['content-type'], await answer.json()], [200, 'application/json', { gpc: true }]);
  });
});

test('a page that was posted is never posted again: not by the banner, not by the signal', async () => {
  for (const by of ['none', 'property']) {
    await asVisitor('none', async (visitor, page) => {
      await visitor.visit('/');
      if (by === 'property') {
        await visitor.answer('accept-all');
        await page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { configurable: true, get: () => true }));
      }
      await visitor.follow(() => page.click('#order'));
      assert.equal(await page.locator('h1').textContent(), 'Thank you');
      if (by === 'none') {
        const stored = page.waitForResponse((response) => response.url().endsWith('/_consent/choices'));
        await visitor.button('accept-all', visitor.banner).click();
        await stored;
        await visitor.banner.waitFor({ state: 'detached' });
      }
      await page.waitForTimeout(300);
      assert.equal(await page.locator('h1').textContent(), 'Thank you');
      assert.deepEqual(got('/order').map(({ method }) => method), ['POST'], by);
    });
  }
});

test('c25 Do Not Track takes marketing back where the site says so, by its own name, and nowhere else', async () => {
  for (const [url, isHeard] of [[careful.url, true], [site.url, false]]) {
    await asVisitor('none', async (visitor, page) => {
      await visitor.visit('/');
      await visitor.answer('accept-all');
      await visitor.context.setExtraHTTPHeaders({ DNT: '1' });
      await visitor.visit('/_consent/settings');
      const text = await page.locator('main').textContent();
      assert.deepEqual([/Do Not Track/.test(text), /Global Privacy Control/.test(text)], [isHeard, false]);
      const { categories, gpc, dnt } = await (await visitor.visit('/_consent/choices')).json();
      assert.deepEqual({ marketing: categories.marketing, statistics: categories.statistics, gpc, dnt }, { marketing: !isHeard, statistics: true, gpc: false, dnt: isHeard });
    }, { url });
  }
});
