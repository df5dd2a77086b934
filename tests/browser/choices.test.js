// The banner and the settings page: what answers them, and what does not.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openWorld } from './support/world.js';

const world = openWorld();

/** What the proxy believes this visitor chose. */
async function choices(visitor) {
  const answer = await visitor.context.request.get('/_consent/choices');
  assert.equal(answer.status(), 200);
  return answer.json();
}

test('without scripts rejecting works', async () => {
  await world.asVisitor({ scripts: false }, async (visitor) => {
    await visitor.visit('/bild?id=3');
    await visitor.answer('reject-all');
    assert.equal(visitor.page.url(), `${world.demo.url}/bild?id=3`);
    await visitor.visit('/');
    assert.deepEqual(world.internet.called(), []);
  });
});

test('without scripts accepting works, and what stands in noscript is loaded', async () => {
  await world.asVisitor({ scripts: false }, async (visitor) => {
    await visitor.visit('/');
    await visitor.answer('accept-all');
    await world.internet.callTo('www.googletagmanager.com/ns.html');
    await world.internet.callTo('www.facebook.com/tr');
  });
});

test('without scripts saving a selection works, and the settings page remembers it', async () => {
  await world.asVisitor({ scripts: false }, async (visitor) => {
    await visitor.visit('/_consent/settings');
    const statistics = visitor.page.locator('input[name=category][value=statistics]');
    const marketing = visitor.page.locator('input[name=category][value=marketing]');
    assert.equal(await statistics.isChecked(), false, 'nothing is ticked beforehand');
    assert.equal(await marketing.isChecked(), false, 'nothing is ticked beforehand');
    await statistics.check();
    await visitor.press('save');
    await visitor.visit('/_consent/settings');
    assert.equal(await statistics.isChecked(), true);
    assert.equal(await marketing.isChecked(), false);
  });
});

test('the settings page works without scripts and without styles: in order, with names, and to its end', async () => {
  await world.asVisitor({ scripts: false, width: 360, height: 640 }, async (visitor) => {
    const { page } = visitor;
    await page.route(/\.css$/, (route) => route.abort());
    await visitor.visit('/_consent/settings?lang=en&return=/om.html');
    await page.getByLabel('Measure how the site is used').check();
    const overflow = await page.locator('html').evaluate((root) => root.scrollWidth - root.clientWidth);
    assert.ok(overflow <= 0, `${overflow} px too wide`);
    const order = await page.locator('h1, h2, legend, button').allTextContents();
    assert.deepEqual(order.slice(0, 10), [
      'Cookie settings', 'Your choices now', 'Change your choices', 'Necessary', 'Preferences', 'Statistics', 'Marketing',
      'Save my choices', 'Accept all', 'Reject all',
    ]);
    await visitor.press('save');
    assert.equal(visitor.path, '/om.html');
    assert.deepEqual((await choices(visitor)).categories, { necessary: true, preferences: false, statistics: true, marketing: false });
  });
});

test('c9 an undecided visitor who scrolls, presses Escape, clicks beside the banner and waits has chosen nothing', async () => {
  await world.asVisitor({ height: 400 }, async (visitor) => {
    const { page } = visitor;
    await page.clock.install();
    await visitor.visit('/sortiment.html');
    const undecided = await choices(visitor);
    await page.mouse.wheel(0, 2_000);
    await page.waitForFunction(() => window.scrollY > 0);
    await page.keyboard.press('Escape');
    await page.mouse.click(3, 3);
    await page.clock.fastForward('01:00:00');
    await visitor.visit('/');
    assert.equal(await visitor.banner.count(), 1, 'the banner still asks');
    assert.deepEqual(await choices(visitor), undecided);
    assert.deepEqual(await visitor.cookieNames(), []);
    assert.deepEqual(world.internet.called(), []);
  });
});

test('c10 the page can be read and used while the banner is ignored', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/');
    await visitor.page.locator('a[href="/om.html"]').first().click();
    await visitor.page.waitForURL('**/om.html');
  });
});

test('a form that has been typed into keeps its text when the banner is answered', async () => {
  for (const answer of ['accept-all', 'reject-all']) {
    await world.asVisitor({}, async (visitor) => {
      await visitor.visit('/login');
      await visitor.page.fill('input[name=anvandare]', 'Åsa Öberg');
      await visitor.answer(answer);
      assert.equal(await visitor.page.inputValue('input[name=anvandare]'), 'Åsa Öberg', answer);
    });
  }
});

test('answering the banner does not lose the place on the page', async () => {
  await world.asVisitor({ height: 300 }, async (visitor) => {
    const { page } = visitor;
    await visitor.visit('/sortiment.html');
    await page.evaluate(() => window.scrollTo(0, 200));
    const loaded = page.waitForEvent('load');
    await visitor.answer('accept-all');
    await loaded;
    await page.waitForFunction(() => window.scrollY === 200);
  });
});

test('the keyboard alone reaches and operates the banner, and gets out of it again', async () => {
  await world.asVisitor({}, async (visitor) => {
    const { page } = visitor;
    await visitor.visit('/');
    const stops = await tabStops(page);
    const inBanner = stops.map((stop) => stop.choice).filter(Boolean);
    assert.ok(inBanner.includes('accept-all') && inBanner.includes('reject-all'), JSON.stringify(stops));
    assert.ok(stops.some((stop) => !stop.banner), 'the page behind is reached as well');
    for (const stop of stops.filter((one) => one.choice)) {
      assert.ok(stop.focusShows, `${stop.choice} shows that it has the focus`);
    }
    await visitor.visit('/');
    await tabTo(page, 'reject-all');
    const stored = page.waitForResponse((response) => response.url().endsWith('/_consent/choices'));
    await page.keyboard.press('Enter');
    assert.ok((await stored).headers()['consentry-receipt']);
    await visitor.banner.waitFor({ state: 'hidden' });
  });
});

test('the keyboard alone changes a category on the settings page', async () => {
  await world.asVisitor({}, async (visitor) => {
    const { page } = visitor;
    await visitor.visit('/_consent/settings');
    await tabTo(page, 'statistics');
    await page.keyboard.press('Space');
    await tabTo(page, 'save');
    await visitor.follow(() => page.keyboard.press('Enter'));
    await visitor.visit('/');
    await world.internet.callTo('www.google-analytics.com/__utm.gif');
  });
});

test('c45 a page of another origin cannot choose for the visitor', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('http://www.example.com/');
    const answered = visitor.page.waitForResponse((response) => response.url().endsWith('/_consent/choices'));
    await visitor.page.evaluate((action) => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action });
      form.append(Object.assign(document.createElement('input'), { name: 'choice', value: 'accept-all' }));
      document.body.append(form);
      form.submit();
    }, `${world.demo.url}/_consent/choices`);
    assert.equal((await answered).status(), 403);
    assert.ok(!(await visitor.cookieNames()).includes('consentry'));
  });
});

/** What has the focus, through open shadow roots. */
const FOCUS = () => {
  let at = document.activeElement;
  const banner = at?.localName === 'consentry-banner';
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  return {
    banner,
    choice: at.name === 'choice' ? at.value : null,
    value: at.value ?? null,
    focusShows: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none',
  };
};

/** Every stop of the Tab key, until the focus has been round. */
async function tabStops(page) {
  const stops = [];
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(FOCUS);
    if (!stop) break;
    stops.push(stop);
  }
  return stops;
}

async function tabTo(page, value) {
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(FOCUS))?.value === value) return;
  }
  assert.fail(`Tab never reaches ${value}`);
}
