// Cookies that were kept while their service could act, and have to go: on any domain and path, HttpOnly ones too.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openInternet } from './support/internet.js';
import { startSite } from './support/proxied.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const KEPT = ['/', '/konto', '/konto/', '/konto/order'].flatMap((path) => ['', '; Domain=www.shop.localhost', '; Domain=shop.localhost'].map((domain) => `Path=${path}${domain}`));
const cookies = (name) => KEPT.map((place) => `${name}=1; ${place}; HttpOnly; Max-Age=86400`);
const PAGE = '<!doctype html><html lang="en"><title>Page</title><h1>Page</h1>';
const PAGES = {
  '/': PAGE,
  '/konto/order/7': { headers: { 'set-cookie': [...cookies('_ga'), 'basket=1; Path=/konto'] }, html: PAGE },
};

let internet, browser, site;
before(async () => {
  internet = await openInternet();
  site = await startSite(PAGES);
  browser = await openBrowser(internet);
}, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  await site?.stop();
  await internet?.close();
}, { timeout: 60_000 });

async function asCustomer(story) {
  const visitor = await newVisitor(browser, site.url.replace('127.0.0.1', 'www.shop.localhost'));
  const kept = async () => (await visitor.context.cookies()).map(({ name }) => name).filter((name) => !name.startsWith('consentry'));
  try {
    await visitor.visit('/');
    await visitor.answer('accept-all');
    await visitor.visit('/konto/order/7');
    assert.equal((await kept()).filter((name) => name === '_ga').length, KEPT.length, 'each is a cookie of its own');
    await story(visitor, kept);
  } finally {
    await visitor.leave();
  }
}

test('c4 a withdrawal on a page ends its cookies on each domain and path, and no other', async () => {
  await asCustomer(async (visitor, kept) => {
    await visitor.page.locator('a[data-consentry="settings"]').click();
    await visitor.page.waitForURL('**/_consent/settings*');
    await visitor.press('reject-all');
    assert.equal(new URL(visitor.page.url()).pathname, '/konto/order/7');
    assert.deepEqual(await kept(), ['basket']);
  });
});

test('c4 a withdrawal elsewhere ends cookies of a folder when the folder is seen again', async () => {
  await asCustomer(async (visitor, kept) => {
    await visitor.visit('/');
    await visitor.choose('reject-all');
    assert.equal((await kept()).filter((name) => name === '_ga').length, 9, 'those of the folder are not sent elsewhere');
    await visitor.visit('/konto/order/7');
    assert.deepEqual(await kept(), ['basket']);
  });
});
