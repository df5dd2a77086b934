// Who is called, and which cookies are set: before, after and without agreement.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PAGES, openWorld } from './support/world.js';

const world = openWorld();
const EVERYWHERE = [...Object.keys(PAGES), '/ram.html'];

/** Nobody was called, and nothing is stored but what shop and proxy need. */
async function assertAlone(visitor, when) {
  assert.deepEqual(world.internet.called(), [], `${when}: calls`);
  assert.deepEqual(await visitor.foreignCookies(), [], `${when}: cookies`);
}

/** What the pages load, once they may. */
async function assertAllRun(visitor) {
  const { internet } = world;
  await visitor.visit('/');
  await internet.callTo('www.facebook.com/tr');
  await internet.callTo('www.google-analytics.com/__utm.gif');
  await internet.callTo('region1.google-analytics.com/g/collect');
  await internet.callTo('tags.unknown.example/seen.gif');
  await visitor.visit('/om.html');
  await internet.callTo('www.google-analytics.com/collect');
  internet.forget();
  // Written by `document.write`, in the order in which its author wrote it.
  await visitor.visit('/sortiment.html');
  await internet.callTo('www.google-analytics.com/__utm.gif?utmp=%2Fsortiment.html');
  const cookies = await visitor.cookieNames();
  for (const name of ['__utma', '_ga', '_fbp', 'unknown_visitor']) {
    assert.ok(cookies.includes(name), `${name} is set`);
  }
}

test('the shop alone does track: the other tests would see it', async () => {
  await world.asVisitor({ url: world.demo.untouched }, async (visitor) => {
    await assertAllRun(visitor);
    await visitor.visit('/ram.html');
    await world.internet.callTo('www.google-analytics.com/__utm.gif?utmp=%2Fram-bild.html');
  });
});

test('the shop alone tracks without scripts too', async () => {
  await world.asVisitor({ url: world.demo.untouched, scripts: false }, async (visitor) => {
    await visitor.visit('/');
    await world.internet.callTo('www.googletagmanager.com/ns.html');
    await world.internet.callTo('www.facebook.com/tr');
  });
});

test('c1 c34 before choices no request leaves for any tracker and no cookie of theirs is set', async () => {
  await world.asVisitor({}, async (visitor) => {
    for (const path of EVERYWHERE) {
      await visitor.visit(path);
      await assertAlone(visitor, path);
    }
    assert.deepEqual(visitor.errors, []);
  });
});

test('c2 before choices no request leaves without scripts either', async () => {
  await world.asVisitor({ scripts: false }, async (visitor) => {
    for (const path of EVERYWHERE) {
      await visitor.visit(path);
      await assertAlone(visitor, path);
    }
  });
});

test('before choices a page that makes its own trackers reaches none', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/');
    await visitor.page.evaluate(() => {
      const make = (name, at) => Object.assign(document.createElement(name), at);
      document.body.append(
        make('script', { src: 'https://www.google-analytics.com/ga.js' }),
        make('img', { src: 'https://www.facebook.com/tr?id=1&ev=PageView' }),
        make('iframe', { src: 'https://www.googletagmanager.com/ns.html?id=GTM-XXXXXXX' }),
        make('script', { src: 'https://tags.unknown.example/tag.js' }),
      );
      navigator.sendBeacon('https://www.google-analytics.com/g/collect');
      return fetch('https://region1.google-analytics.com/g/collect', { mode: 'no-cors' }).catch(() => {});
    });
    await assertAlone(visitor, 'made by a script');
  });
});

test('handlers that call a held service neither fail nor stop the link', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/sortiment.html');
    await visitor.page.click('#katalog');
    await visitor.page.waitForURL('**/om.html');
    await visitor.visit('/');
    await visitor.page.locator('a[href="/bild?id=1"]').first().click();
    await visitor.page.waitForURL('**/bild?id=1');
    await visitor.visit('/om.html');
    await visitor.page.locator('#post').dispatchEvent('click');
    assert.deepEqual(visitor.errors, []);
    await assertAlone(visitor, 'after the clicks');
  });
});

test("the page's own requests pass while services are held", async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/bild?id=3');
    await visitor.page.locator('#lager', { hasText: '21 st' }).waitFor();
  });
});

test('after accepting, all of them run, from the page that was open on', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/');
    await visitor.answer('accept-all');
    await world.internet.callTo('www.google-analytics.com/__utm.gif');
    await assertAllRun(visitor);
    assert.equal(await visitor.banner.count(), 0, 'the banner does not come back');
    assert.deepEqual(visitor.errors, []);
  });
});

test('c3 after rejecting none of them runs, and nobody is asked again', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/');
    await visitor.answer('reject-all');
    for (const path of EVERYWHERE) {
      await visitor.visit(path);
      assert.equal(await visitor.banner.count(), 0, `${path}: no banner`);
      await assertAlone(visitor, path);
    }
  });
});

test('statistics alone run without marketing', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.choose('save', ['statistics']);
    await visitor.visit('/');
    await world.internet.callTo('www.google-analytics.com/__utm.gif');
    const meta = world.internet.called().filter((call) => /facebook/.test(call));
    assert.deepEqual(meta, []);
    assert.ok(!(await visitor.cookieNames()).includes('_fbp'));
  });
});

test('c4 a withdrawal stops them and removes their cookies', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/');
    await visitor.answer('accept-all');
    await assertAllRun(visitor);
    await visitor.visit('/om.html');
    await visitor.page.locator('a[data-consentry="settings"]').click();
    await visitor.page.waitForURL('**/_consent/settings*');
    await visitor.press('reject-all');
    world.internet.forget();
    for (const path of EVERYWHERE) {
      await visitor.visit(path);
      assert.deepEqual(world.internet.called(), [], `${path}: calls`);
    }
    // Whose cookie this is nobody knows, so nobody can know that it may go (`cookies: { unknown: allow }`).
    assert.deepEqual((await visitor.foreignCookies()).filter((name) => name !== 'unknown_visitor'), []);
  });
});

test('a page from the history is not the page of an earlier choice', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/');
    await visitor.answer('accept-all');
    await world.internet.callTo('www.google-analytics.com/__utm.gif');
    await visitor.choose('reject-all');
    world.internet.forget();
    for (const path of ['/_consent/settings', '/']) {
      await visitor.page.goBack({ waitUntil: 'load' });
      assert.equal(visitor.path, path);
    }
    assert.deepEqual(world.internet.called(), []);
  });
});
