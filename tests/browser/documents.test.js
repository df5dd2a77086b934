// Documents and gates: who is sent where, how they come back, and that the ledger knows.

import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';

import { openWorld } from './support/world.js';

const world = openWorld();
const PRIVACY = '/cldoc/cookies-privacy-policies.htm';
const AGREEMENT = '/cldoc/user-agreement.htm';

test('a logged-in customer is sent to the document and comes back after acknowledging', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.logIn();
    assert.equal(visitor.path, PRIVACY);
    const recorded = visitor.page.waitForResponse((response) => response.request().method() === 'POST');
    await visitor.acknowledge();
    assert.equal(visitor.path, '/konto');
    assert.equal(await visitor.page.locator('#rubrik').textContent(), 'Hej kund, välkommen åter');
    const receipt = (await recorded).headers()['consentry-receipt'];
    assert.match(receipt, /^[0-9a-f-]{36}$/);
    const ledger = await world.demo.run('ledger', 'export', '--format', 'jsonl');
    assert.ok(ledger.split('\n').some((line) => line.includes(receipt)), 'the ledger has the receipt');
    await world.demo.run('ledger', 'verify');
    await visitor.visit('/sortiment.html');
    assert.equal(visitor.path, '/sortiment.html', 'once is enough');
  });
});

test('without scripts a customer acknowledges as well', async () => {
  await world.asVisitor({ scripts: false }, async (visitor) => {
    await visitor.logIn();
    assert.equal(visitor.path, PRIVACY);
    await visitor.acknowledge();
    assert.equal(visitor.path, '/konto');
  });
});

test('the way back keeps the query', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.logIn();
    await visitor.visit('/bild?id=5');
    assert.equal(visitor.path, PRIVACY);
    await visitor.acknowledge();
    assert.equal(visitor.page.url(), `${world.demo.url}/bild?id=5`);
  });
});

test('a cart makes a session, and its owner a customer', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/bild?id=2');
    await visitor.page.click('input[value="Lägg i kundvagnen"]');
    await visitor.page.waitForURL((url) => url.pathname === PRIVACY);
    await visitor.acknowledge();
    assert.equal(visitor.path, '/kundvagn');
    assert.match(await visitor.page.locator('body').innerText(), /Åre, fjäll i mars/);
  });
});

test('registration is gated, and opens after acknowledging', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/register');
    assert.equal(visitor.path, PRIVACY);
    await visitor.acknowledge();
    assert.equal(visitor.path, '/register');
  });
});

test('a registration posted without acceptance is not lost: it goes on as it was typed once the text is read', async () => {
  for (const scripts of [true, false]) {
    await world.asVisitor({ scripts }, async (visitor) => {
      const { page, context } = visitor;
      await visitor.visit('/register');
      await visitor.acknowledge();
      await page.fill('input[name=namn]', 'Åsa "Ö" Ärlig');
      await context.clearCookies({ name: 'consentry_accepted' });
      await visitor.follow(() => page.click('input[type=submit]'));
      assert.equal(visitor.path, '/register', 'the address is that of the form');
      await visitor.follow(() => page.click('button[form=held][name=lang][value=en]'));
      assert.equal(await page.locator('html').getAttribute('lang'), 'en');
      await visitor.follow(() => page.reload());
      await visitor.follow(() => page.click('button[form=held][value=accept]'));
      assert.equal(await page.locator('#rubrik').textContent(), 'Välkommen som kund, Åsa "Ö" Ärlig');
    });
  }
});

test('c51 administration asks for the agreement, in its own words', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.logIn('admin');
    await visitor.acknowledge();
    await visitor.visit('/admin/');
    assert.equal(visitor.path, AGREEMENT);
    await visitor.acknowledge();
    assert.equal(visitor.path, '/admin/');
    assert.equal(await visitor.page.locator('#rubrik').textContent(), 'Administration av bildbyrån');
  });
});

test('no other spelling of the path leads into the administration', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.logIn('admin');
    await visitor.acknowledge();
    const cookies = (await visitor.context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    for (const spelling of ['/admin/', '/%61dmin/', '//admin/', '/admin//', '/x/../admin/', '/%2e/admin/']) {
      assert.match(await rawGet(world.demo.untouched, spelling, cookies), /Administration av/, `the shop alone: ${spelling}`);
      assert.doesNotMatch(await rawGet(world.demo.url, spelling, cookies), /Administration av/, spelling);
    }
  });
});

test('acknowledging a document switches no service on', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.logIn();
    await visitor.acknowledge();
    await visitor.visit('/');
    assert.equal(await visitor.banner.count(), 1, 'the choice is still open');
    assert.deepEqual(world.internet.called(), []);
    assert.deepEqual(await visitor.foreignCookies(), []);
  });
});

test('programs of a customer get 403 with the reason, those excepted pass, and logging out is always possible', async () => {
  await world.asVisitor({}, async (visitor) => {
    const { page } = visitor;
    await visitor.logIn();
    // From an address that is excepted, since the document's own page lets no script of any kind run.
    await visitor.visit('/api/lager?id=1');
    const [gated, excepted] = await page.evaluate(async () => {
      const ask = async (path) => {
        const answer = await fetch(path);
        return [answer.status, answer.headers.get('content-type')];
      };
      return [await ask('/konto'), await ask('/api/lager?id=1')];
    });
    assert.equal(gated[0], 403);
    assert.match(gated[1], /^application\/problem\+json/);
    assert.deepEqual(excepted, [200, 'application/json']);
    await visitor.visit('/logout');
    assert.equal(visitor.path, '/');
    assert.ok(!(await visitor.cookieNames()).includes('PHPSESSID'));
  });
});

test("the shop's redirects to its own address stay behind the proxy", async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.visit('/konto');
    assert.equal(visitor.page.url(), `${world.demo.url}/login`);
  });
});

test('the document comes in the language of the visitor, or in the one asked for', async () => {
  await world.asVisitor({ language: 'en-GB' }, async (visitor) => {
    const { page } = visitor;
    await visitor.visit(PRIVACY);
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
    assert.match(await page.locator('h1').first().innerText(), /Cookies and privacy information/);
    await visitor.visit(`${PRIVACY}?lang=sv`);
    assert.equal(await page.locator('html').getAttribute('lang'), 'sv');
    assert.match(await page.locator('body').innerText(), /Björklunds Bildbyrå \(556000-0000\)/);
  });
});

test('a return address of another site leads nowhere else', async () => {
  await world.asVisitor({}, async (visitor) => {
    await visitor.logIn();
    for (const elsewhere of ['https://www.example.com/', '//www.example.com/', '/\\www.example.com/', 'javascript:alert(1)']) {
      await visitor.visit(`${PRIVACY}?return=${encodeURIComponent(elsewhere)}`);
      const targets = await visitor.page.locator('input[name=return]').evaluateAll((fields) => fields.map((field) => field.value));
      for (const target of targets) {
        assert.equal(new URL(target, world.demo.url).origin, world.demo.url, elsewhere);
      }
    }
  });
});

/** The answer to a navigation whose path is sent exactly as it stands here. */
async function rawGet(url, path, cookie) {
  const headers = { cookie, accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
  return new Promise((resolve, reject) => {
    http.get(url, { path, headers }, async (answer) => {
      resolve(Buffer.concat(await answer.toArray()).toString('latin1'));
    }).on('error', reject);
  });
}
