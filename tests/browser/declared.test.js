// What is declared is what is used: a crawl of the shop by somebody who agreed, held against its document.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PAGES, openWorld } from './support/world.js';

const world = openWorld();
const PRIVACY = '/cldoc/cookies-privacy-policies.htm';

/** Who is behind a host that the shop calls; nobody knows the last. */
const BEHIND = {
  'www.google-analytics.com': 'Google Analytics', 'region1.google-analytics.com': 'Google Analytics',
  'www.googletagmanager.com': 'Google Tag Manager', 'connect.facebook.net': 'Meta Pixel', 'www.facebook.com': 'Meta Pixel',
  'tags.unknown.example': null,
};

test('c31 what a crawl of the agreed shop finds is declared, each cookie and each service', async () => {
  await world.asVisitor({ language: 'en-GB' }, async (visitor) => {
    const { page, context } = visitor;
    await visitor.choose('accept-all');
    const kept = new Set();
    for (const path of [...Object.keys(PAGES), '/ram.html', '/']) {
      await visitor.visit(path);
      await page.waitForLoadState('networkidle');
      for (const key of await page.evaluate(() => [...Object.keys(localStorage), ...Object.keys(sessionStorage)])) kept.add(key);
    }
    const cookies = (await context.cookies()).map(({ name, domain }) => ({ name, own: world.demo.url.includes(domain.replace(/^\./, '')) }));
    // What others keep at their own hosts is theirs to declare, and the services are named.
    for (const { name } of cookies.filter(({ own }) => own)) kept.add(name);
    assert.ok(kept.has('_ga') && kept.has('_fbp') && kept.has('__utma'), [...kept].join());
    const hosts = new Set(world.internet.called().map((call) => call.split('/')[0]));
    assert.deepEqual([...hosts].filter((host) => !(host in BEHIND)), []);

    await visitor.visit(`${PRIVACY}?lang=en`);
    const names = (number) => page.locator('table').nth(number).locator('tbody th').allTextContents();
    const [services, declared] = [await names(0), await names(1)];
    const fits = (name) => declared.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
    // The last is written by a script of somebody whom nobody knows: the document cannot name what it never saw.
    assert.deepEqual([...kept].filter((name) => !fits(name)), ['unknown_visitor']);
    const meant = new Set([...hosts].map((host) => BEHIND[host]).filter(Boolean));
    assert.deepEqual([...meant].filter((name) => !services.includes(name)), []);
  });
});
