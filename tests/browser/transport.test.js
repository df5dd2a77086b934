// What moves besides pages, in Chromium, over both versions of HTTP: WebSockets, also over a reload, server-sent events,
// and files of 200 MB both ways, byte for byte.

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { digestOfFile, PIECE, PIECES, startEcho } from './support/echo.js';
import { openInternet } from './support/internet.js';
import { startConsentry } from './support/servers.js';
import { newVisitor, openBrowser } from './support/visitor.js';

describe('what moves besides pages', () => {
  const world = {};
  let folder;
  before(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-transport-'));
    world.upstream = await startEcho();
    world.proxy = await startConsentry(folder, world.upstream.port);
    world.internet = await openInternet();
    world.browser = await openBrowser(world.internet);
  }, { timeout: 120_000 });
  after(async () => {
    await world.browser?.close();
    await world.internet?.close();
    await world.proxy?.stop();
    await world.upstream?.stop();
    rmSync(folder, { recursive: true, force: true });
  }, { timeout: 60_000 });

  const VERSIONS = [
    { version: 'HTTP/1.1', protocol: 'http/1.1', url: () => world.proxy.url, status: 101 },
    { version: 'HTTP/2', protocol: 'h2', url: () => `https://127.0.0.1:${world.proxy.tlsPort}`, status: 200 },
  ];

  for (const { version, protocol, url, status } of VERSIONS) {
    /** Opens the page in a new visitor's browser, lets `story` do something there, and makes sure of the version. */
    const inPage = async (story) => {
      const visitor = await newVisitor(world.browser, url(), { ignoreHTTPSErrors: true });
      try {
        await visitor.visit('/');
        const spoken = await visitor.page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
        assert.equal(spoken, protocol);
        await story(visitor.page, visitor.context);
        assert.deepEqual(visitor.errors, []);
      } finally {
        await visitor.leave();
      }
    };

    test(`a WebSocket over ${version} brings back what it is sent, before a reload and after`, async () => {
      await inPage(async (page, context) => {
        const network = await context.newCDPSession(page);
        await network.send('Network.enable');
        const switched = new Promise((resolve) => {
          network.once('Network.webSocketHandshakeResponseReceived', ({ response }) => resolve(response.status));
        });
        await page.evaluate(async () => {
          const socket = new WebSocket('/chat');
          socket.binaryType = 'arraybuffer';
          window.say = (message) => new Promise((resolve, reject) => {
            socket.onmessage = ({ data }) => resolve(typeof data === 'string' ? data : data.byteLength);
            socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
            socket.send(typeof message === 'string' ? message : new Uint8Array(message));
          });
          await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error('not opened')); });
        });
        assert.equal(await switched, status);
        const say = (message) => page.evaluate((text) => window.say(text), message);
        assert.equal(await say('Räksmörgås'), 'Räksmörgås');
        assert.equal(await say(300_000), 300_000);
        const before = await world.proxy.reloads();
        appendFileSync(path.join(folder, 'config/sites/old.yaml'), `# after the WebSocket over ${version}\n`);
        while (await world.proxy.reloads() === before) await page.waitForTimeout(50);
        assert.equal(await say('still here'), 'still here');
      });
    });

    test(`events over ${version} arrive one by one, at the moment they are sent`, async () => {
      await inPage(async (page) => {
        const seen = await page.evaluate(async () => {
          const events = new EventSource('/events');
          const next = () => new Promise((resolve) => { events.onmessage = ({ data }) => resolve(data); });
          const seen = [await next()];
          for (const event of ['1', '2', '3']) {
            // The next is sent only after this one has arrived.
            const arrived = next();
            await fetch('/next', { method: 'POST', headers: { 'X-Event': event } });
            seen.push(await arrived);
          }
          events.close();
          return seen;
        });
        assert.deepEqual(seen, ['0', '1', '2', '3']);
      });
    });

    test(`a file of 200 MB goes up and comes down over ${version}, byte for byte`, { timeout: 300_000 }, async () => {
      await inPage(async (page) => {
        const { up, down } = await page.evaluate(async ([pieces, size]) => {
          const file = new Blob(Array.from({ length: pieces }, (_, index) => new Uint8Array(size).fill(index)));
          const sent = await fetch('/file', { method: 'PUT', body: file });
          const up = { status: sent.status, length: sent.headers.get('x-length'), ...(await sent.json()) };
          const got = await fetch('/file');
          const bytes = await got.arrayBuffer();
          const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
          const digest = [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
          return { up, down: { status: got.status, length: got.headers.get('content-length'), size: bytes.byteLength, digest } };
        }, [PIECES, PIECE]);
        const size = PIECES * PIECE;
        const whole = { status: 200, length: String(size), size, digest: digestOfFile() };
        assert.deepEqual(up, whole);
        assert.deepEqual(down, whole);
      });
    });
  }
});
