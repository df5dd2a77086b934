// `consentry run` in front of pages that a test writes itself.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';

import { BINARY } from './demo.js';
import { openInternet } from './internet.js';
import { freePort, startProgram } from './program.js';
import { newVisitor, openBrowser } from './visitor.js';

/** Opens browser, internet and proxy for the tests of a file. `pages` are bodies by path; `more` is YAML of the site. */
export function openBehind(pages, more = '') {
  const world = { pages, internet: null, browser: null, url: null, direct: null };
  let folder, upstream, proxy;
  before(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-behind-'));
    upstream = await startUpstream(world);
    world.direct = `http://127.0.0.1:${upstream.address().port}`;
    world.internet = await openInternet();
    proxy = await startProxy(folder, world.direct, more);
    world.url = proxy.url;
    world.browser = await openBrowser(world.internet);
  }, { timeout: 120_000 });
  after(async () => {
    await world.browser?.close();
    await proxy?.stop();
    await world.internet?.close();
    upstream?.closeAllConnections();
    upstream?.close();
    rmSync(folder, { recursive: true, force: true });
  }, { timeout: 60_000 });

  /** Lets a new visitor do `story`; whom they call is counted from here on. */
  world.asVisitor = async (options, story) => {
    world.internet.forget();
    const visitor = await newVisitor(world.browser, options.url ?? world.url, options);
    try {
      return await story(visitor);
    } finally {
      await visitor.leave();
      await world.internet.leftBehind();
    }
  };
  return world;
}

function startUpstream(world) {
  const server = http.createServer((request, response) => {
    const page = world.pages[new URL(request.url, 'http://here').pathname];
    const { body = page, headers = {}, type = 'text/html; charset=utf-8' } = typeof page === 'object' ? page : {};
    response.writeHead(body === undefined ? 404 : 200, { 'Content-Type': type, ...headers });
    response.end(body ?? 'There is no such page.');
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** Starts `consentry run` for one site on these hosts, its files in `folder`; `more` is YAML of the site. */
export async function startProxy(folder, upstream, more, hosts = ['127.0.0.1']) {
  const [port, admin] = [await freePort(), await freePort()];
  const settings = path.join(folder, 'config', 'consentry.yaml');
  for (const place of ['config/sites', 'config/documents', 'data']) mkdirSync(path.join(folder, place), { recursive: true });
  writeFileSync(settings, `
listen: [{ address: 127.0.0.1:${port} }]
admin: { address: 127.0.0.1:${admin} }
secrets: file:../data/secrets
ledger: { sqlite: ../data/ledger.sqlite }
timeouts: { drain: 2s }
sites: sites/*.yaml
`);
  writeFileSync(path.join(folder, 'config/sites/site.yaml'), `
hosts: [${hosts.join(', ')}]
upstream: ${upstream}
languages: [sv, en]
controller: { name: Exempelbyrån AB, email: dataskydd@example.se }
documents:
  privacy:
    kind: notice
    path: /privacy
    files: { sv: ../documents/privacy.sv.md, en: ../documents/privacy.en.md }
${more}
`);
  for (const language of ['sv', 'en']) {
    const text = '---\ntitle: Privacy\nversion: 1\n---\n{{ controller.name }}\n\n{{ services }}\n';
    writeFileSync(path.join(folder, `config/documents/privacy.${language}.md`), text);
  }
  const isReady = async () => {
    try {
      return (await fetch(`http://127.0.0.1:${admin}/readyz`)).ok;
    } catch {
      return false;
    }
  };
  const program = await startProgram(BINARY, ['run', '--config', settings], isReady);
  return { ...program, port, url: `http://127.0.0.1:${port}` };
}
