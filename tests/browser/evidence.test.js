// What an inspector's tool collects (as the Website Evidence Collector of the EDPS does): everything that is kept in the
// browser, whom it called, and beacons among that, before any choice; with the same shop unprotected beside it.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { PAGES, openWorld } from './support/world.js';

const OUT = fileURLToPath(new URL('out/', import.meta.url));
const world = openWorld();

/** Ways in which pages send something that no element shows. */
const BEACONS = new Set(['beacon', 'ping', 'csp_report']);

/** Browses as the collector does: a fresh profile, each page read to its end and left alone for a moment, no choice. */
async function collect(url, scripts) {
  return world.asVisitor({ url, scripts }, async (visitor) => {
    const { page, context } = visitor;
    const found = { hosts: new Set(), beacons: new Set(), calls: new Set(), sent: new Set(), storage: new Set() };
    page.on('request', (request) => {
      const { host, pathname } = new URL(request.url());
      found.calls.add(`${host}${pathname}`);
      if (host !== new URL(url).host) {
        found.hosts.add(host);
        if (BEACONS.has(request.resourceType()) || request.resourceType() === 'image') found.beacons.add(`${host}${pathname}`);
      }
    });
    page.on('response', async (response) => {
      for (const { name, value } of await response.headersArray().catch(() => [])) {
        if (/^set-cookie$/i.test(name)) found.sent.add(value.split('=')[0]);
      }
    });
    for (const path of Object.keys(PAGES)) {
      await page.goto(path, { waitUntil: 'load' });
      await page.mouse.wheel(0, 5_000);
      await page.waitForLoadState('networkidle');
      if (!scripts) continue;
      const kept = await page.evaluate(async () => [
        ...Object.keys(localStorage).map((key) => `local:${key}`),
        ...Object.keys(sessionStorage).map((key) => `session:${key}`),
        ...(await indexedDB.databases()).map(({ name }) => `database:${name}`),
        ...('caches' in window ? (await caches.keys()).map((name) => `cache:${name}`) : []),
        ...('serviceWorker' in navigator ? (await navigator.serviceWorker.getRegistrations()).map(({ scope }) => `worker:${scope}`) : []),
      ]);
      kept.forEach((name) => found.storage.add(name));
    }
    const cookies = (await context.cookies()).map(({ name, domain, expires }) => ({ name, domain, days: expires < 0 ? 0 : Math.round((expires - Date.now() / 1000) / 86_400) }));
    const evidence = { url, scripts, cookies, ...Object.fromEntries(Object.entries(found).map(([name, all]) => [name, [...all].sort()])), called: world.internet.called() };
    await mkdir(OUT, { recursive: true });
    await writeFile(`${OUT}evidence-${url === world.demo.url ? 'behind' : 'alone'}-${scripts ? 'scripts' : 'plain'}.json`, JSON.stringify(evidence, null, 1));
    return evidence;
  });
}

test('c53 a collector of evidence finds nothing before a choice: no cookie, nothing kept, no call, no beacon', async () => {
  for (const scripts of [true, false]) {
    const { cookies, storage, hosts, beacons, sent, called } = await collect(world.demo.url, scripts);
    // The shop's own session, which a visitor's basket needs, is all there may be.
    const optional = cookies.filter(({ name }) => name !== 'PHPSESSID');
    assert.deepEqual({ optional, storage, hosts, beacons, called, sent: sent.filter((name) => name !== 'PHPSESSID') },
      { optional: [], storage: [], hosts: [], beacons: [], called: [], sent: [] }, `scripts ${scripts}`);
    assert.ok(cookies.every(({ days }) => days === 0), JSON.stringify(cookies));
  }
});

test('the same collector finds a great deal in the same shop without the proxy', async () => {
  const { cookies, hosts, beacons } = await collect(world.demo.untouched, true);
  assert.ok(cookies.length >= 4 && hosts.length >= 3 && beacons.length >= 2, JSON.stringify({ cookies, hosts, beacons }));
});
