// `consentry run` in front of Debian's nginx and Apache, seen with curl and with Chromium.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { openInternet } from './support/internet.js';
import { HEADLINE, PAGE, PAGES, startApache, startConsentry, startNginx, writePages } from './support/servers.js';
import { newVisitor, openBrowser } from './support/visitor.js';

const NAVIGATION = ['-H', 'Accept: text/html', '-H', 'Sec-Fetch-Mode: navigate', '-H', 'Sec-Fetch-Dest: document'];
const PRIVACY = '/cldoc/cookies-privacy-policies.htm';

for (const [name, start] of [['nginx', startNginx], ['Apache', startApache]]) {
  describe(`in front of ${name}`, () => {
    let folder, upstream, proxy;
    before(async () => {
      folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-upstream-'));
      writePages(folder);
      upstream = await start(folder);
      proxy = await startConsentry(folder, upstream.port);
    }, { timeout: 90_000 });
    after(async () => {
      await proxy?.stop();
      await upstream?.stop();
      rmSync(folder, { recursive: true, force: true });
    }, { timeout: 60_000 });

    /** A visitor who asks with curl and keeps cookies. */
    const newCurl = () => {
      const jar = path.join(folder, `jar-${Math.random().toString(36).slice(2)}`);
      return (address, ...words) => curl('-b', jar, '-c', jar, ...words, address);
    };

    test('the upstream sends its pages plain, with gzip, and in chunks', () => {
      const direct = (page, ...words) => curl(...words, `http://127.0.0.1:${upstream.port}/${page}.html`).headers;
      assert.match(direct('plain'), /^content-length: \d+$/im);
      assert.match(direct('gzip', '-H', 'Accept-Encoding: gzip'), /^content-encoding: gzip$/im);
      assert.match(direct('chunked'), /^transfer-encoding: chunked$/im);
    });

    for (const page of PAGES) {
      test(`a page that is sent ${page} arrives whole, with banner, guard and settings link, and analytics held`, () => {
        for (const words of [[], ['--compressed']]) {
          const { headers, body } = newCurl()(`${proxy.url}/${page}.html`, ...NAVIGATION, ...words);
          assert.match(headers, /^HTTP\/1.1 200/);
          assertBody(body, /<consentry-banner/);
          assertBody(body, /<script data-consentry="guard"/);
          assertBody(body, /data-consentry="settings"/);
          assert.equal(count(body, /<script[^>]*type="text\/plain"[^>]*data-consentry-service=|<script[^>]*data-consentry-service=[^>]*type="text\/plain"/g), 2, 'both scripts are held');
          assert.match(headers, /^content-security-policy: /im);
          assert.match(headers, /^cache-control: .*private/im);
          assert.ok(body.includes(`<h1 id="rubrik">${HEADLINE}</h1>`), 'the letters are the same bytes');
          assert.ok(body.includes(PAGE.slice(PAGE.indexOf('<h1'), PAGE.indexOf('</body>'))), 'the text is whole');
        }
      });
    }

    test('HTTP/2 over TLS says the same', () => {
      const { headers, body } = curl('--http2', '-k', '--resolve', `www.old.test:${proxy.tlsPort}:127.0.0.1`,
        ...NAVIGATION, `https://www.old.test:${proxy.tlsPort}/chunked.html`);
      assert.match(headers, /^HTTP\/2 200/);
      assertBody(body, /<consentry-banner/);
    });

    test('a host that no site names is misdirected', () => {
      assert.match(curl('-H', 'Host: elsewhere.test', `${proxy.url}/`).headers, /^HTTP\/1.1 421/);
    });

    test('a rejection is stored and remembered, and analytics stay held', () => {
      const ask = newCurl();
      const choice = ask(`${proxy.url}/_consent/choices`, ...post({ choice: 'reject-all', return: '/plain.html' }));
      assert.match(choice.headers, /^HTTP\/1.1 303/);
      assert.match(choice.headers, /^location: (http:\/\/[^/]+)?\/plain.html$/im);
      assert.match(choice.headers, /^consentry-receipt: [0-9a-f-]{36}$/im);
      const { body } = ask(`${proxy.url}/plain.html`, ...NAVIGATION);
      assert.ok(!/<consentry-banner/.test(body), 'no banner');
      assertBody(body, /type="text\/plain"/);
    });

    test('after an agreement the page is the one its author wrote', () => {
      const ask = newCurl();
      ask(`${proxy.url}/_consent/choices`, ...post({ choice: 'accept-all', return: '/' }));
      for (const page of PAGES) {
        const { body } = ask(`${proxy.url}/${page}.html`, ...NAVIGATION, '--compressed');
        assert.ok(!/<consentry-banner|type="text\/plain"/.test(body), `${page}: nothing asked, nothing held`);
        assert.ok(body.includes(PAGE.slice(PAGE.indexOf('<script type'), PAGE.indexOf('</head>'))), `${page}: its scripts`);
      }
    });

    test('a choice from another origin is refused, and a forged one is as good as none', () => {
      const stranger = post({ choice: 'accept-all' }, 'https://elsewhere.test');
      assert.match(newCurl()(`${proxy.url}/_consent/choices`, ...stranger).headers, /^HTTP\/1.1 403/);
      const { body } = curl('-H', 'Cookie: consentry=v1.accept-all.forged', ...NAVIGATION, `${proxy.url}/plain.html`);
      assertBody(body, /<consentry-banner/);
    });

    test('a customer is sent to the document, acknowledges it, and comes back', () => {
      const ask = newCurl();
      const login = ask(`${proxy.url}/login`, ...NAVIGATION);
      const home = new RegExp(`^location: (http://127\\.0\\.0\\.1:${proxy.port})?/account\\.html$`, 'im');
      assert.match(login.headers, home, "the upstream's own address is mapped");
      const gated = ask(`${proxy.url}/account.html?a=1`, ...NAVIGATION);
      assert.match(gated.headers, /^HTTP\/1.1 303/);
      const document = /^location: (.+)$/im.exec(gated.headers)[1].trim();
      assert.ok(new URL(document, proxy.url).pathname === PRIVACY, document);
      const program = ask(`${proxy.url}/account.html`, '-H', 'Accept: application/json', '-H', 'Sec-Fetch-Mode: cors', '-H', 'Sec-Fetch-Dest: empty');
      assert.match(program.headers, /^HTTP\/1.1 403/);
      assert.match(program.headers, /^content-type: application\/problem\+json/im);
      const form = fields(ask(new URL(document, proxy.url).href, ...NAVIGATION).body);
      assert.equal(form.document, 'privacy');
      const accepted = ask(`${proxy.url}/_consent/acceptances`, ...post(form));
      assert.match(accepted.headers, /^HTTP\/1.1 303/);
      assert.match(accepted.headers, /^location: (http:\/\/[^/]+)?\/account.html\?a=1$/im);
      const receipt = /^consentry-receipt: (\S+)$/im.exec(accepted.headers)[1];
      assert.match(ask(`${proxy.url}/account.html?a=1`, ...NAVIGATION).headers, /^HTTP\/1.1 200/);
      assert.ok(proxy.command('ledger', 'export', '--format', 'jsonl').includes(receipt));
      assert.ok(proxy.command('ledger', 'export', '--format', 'csv').includes(receipt));
      proxy.command('ledger', 'verify');
    });

    test('Chromium calls nobody before the choice, and Google after agreeing', async () => {
      const internet = await openInternet();
      const browser = await openBrowser(internet);
      try {
        const visitor = await newVisitor(browser, proxy.url);
        for (const page of PAGES) {
          await visitor.visit(`/${page}.html`);
          assert.equal(await visitor.page.locator('#rubrik').textContent(), HEADLINE);
        }
        assert.deepEqual(internet.called(), []);
        assert.deepEqual(await visitor.foreignCookies(), []);
        await visitor.answer('accept-all');
        await internet.callTo('www.google-analytics.com/__utm.gif');
      } finally {
        await browser.close();
        await internet.close();
      }
    });

    test('without its upstream it says so, and names no internals', async () => {
      await upstream.stop();
      const { headers, body } = curl(...NAVIGATION, `${proxy.url}/plain.html`);
      assert.match(headers, /^HTTP\/1.1 502/);
      assert.doesNotMatch(headers + body, new RegExp(`${upstream.port}|hyper|os error`, 'i'));
    });
  });
}

/** Head and body (ISO-8859-1) of what curl gets. */
function curl(...words) {
  const answer = execFileSync('curl', ['-sS', '-i', '--max-time', '30', ...words], { maxBuffer: 64 * 1024 * 1024 }).toString('latin1');
  const end = answer.indexOf('\r\n\r\n');
  return { headers: answer.slice(0, end).replaceAll('\r', ''), body: answer.slice(end + 4) };
}

/** What makes curl post a form as a browser on a page of the same site would, or of another. */
function post(values, origin = null) {
  const from = origin ? ['-H', `Origin: ${origin}`, '-H', 'Sec-Fetch-Site: cross-site'] : ['-H', 'Sec-Fetch-Site: same-origin'];
  return [...NAVIGATION, ...from, ...Object.entries(values).flatMap(([key, value]) => ['--data-urlencode', `${key}=${value}`])];
}

/** What a browser posts of the acceptance form when its first button is pressed, also by Enter. */
function fields(html) {
  const form = /<form[^>]*\/acceptances"[\s\S]*?<\/form>/.exec(html)[0];
  const attribute = (tag, wanted) => new RegExp(`\\b${wanted}="([^"]*)"`).exec(tag)?.[1];
  const text = (value) => value.replaceAll('&amp;', '&').replaceAll('&#x2f;', '/').replaceAll('&#47;', '/');
  const tags = [...form.matchAll(/<input[^>]*>/g), /<button[^>]*>/.exec(form)];
  return Object.fromEntries(tags
    .map(([tag]) => [attribute(tag, 'name'), text(attribute(tag, 'value') ?? '')])
    .filter(([key]) => key));
}

/** Fails with the pattern alone: a page is too long to be read in a report. */
function assertBody(body, pattern) {
  assert.ok(pattern.test(body), `the page holds ${pattern}`);
}

function count(text, pattern) {
  return [...text.matchAll(pattern)].length;
}
