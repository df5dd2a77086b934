// Every place an address can stand in, and policies of the page's own, with Chromium as the judge.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { openBehind } from './support/behind.js';

const PIXEL = 'https://www.facebook.com/tr?id=1';

/** Markup that would call the pixel, were it not held; URL is where it stands. */
const SHAPES = [
  '<img src="URL">', '<img srcset="URL 1x">', '<picture><source srcset="URL"><img src="/ok.gif"></picture>',
  '<video poster="URL"></video>', '<audio src="URL" preload="auto"></audio>', '<input type="image" src="URL">',
  '<embed src="URL">', '<object data="URL"></object>', '<iframe src="URL"></iframe>', '<script src="URL"></script>',
  '<script type="module" src="URL"></script>', '<div style="background:url(URL)">x</div>',
  '<div style="background:u\\72l(URL)">x</div>', '<style>body{background:url(URL)}</style>', '<style>@import "URL";</style>',
  '<link rel="stylesheet" href="URL">', '<link rel="preload" as="image" href="URL">', '<link rel="icon" href="URL">',
  '<link rel="preconnect" href="https://www.facebook.com">', '<link rel="prefetch" href="URL">',
  '<svg width="9" height="9"><image width="9" height="9" href="URL"/></svg>', '<svg><use href="URL#a"/></svg>', '<svg><script href="URL"/></svg>',
  '<svg width="9" height="9"><style>rect{fill:url(URL#a)}</style><rect width="9" height="9"/></svg>',
  '<iframe srcdoc="<img src=\'URL\'>"></iframe>', '<iframe srcdoc="&lt;img src=&quot;URL&quot;&gt;"></iframe>',
  '<iframe src="data:text/html,<img src=\'URL\'>"></iframe>', '<table background="URL"><tr><td>x</table>',
  '<body background="URL">', '<base href="https://www.facebook.com/"><img src="/tr?id=1">',
  '<template shadowrootmode="open"><img src="URL"></template>', '<noscript><img src="URL"></noscript>',
  '<img src="/ok.gif" onload="var s=document.createElement(\'script\');s.src=\'https://connect.facebook.net/en_US/fbevents.js\';document.head.appendChild(s);fbq(\'init\',\'1\')">',
];

/** How else the same address is written. */
const SPELLINGS = [
  PIXEL, '//www.facebook.com/tr?id=1', 'HTTPS://WWW.FaceBook.COM/tr?id=1', 'https://www.facebook.com./tr?id=1',
  'https://user:word@www.facebook.com/tr?id=1', 'https:&#47;&#x2F;www&period;facebook&#46;com/tr?id=1',
  ' https://www.face\tbook.com/tr?id=1', 'https:\\\\www.facebook.com\\tr?id=1', 'https://www.%66acebook.com/tr?id=1',
  '///www.facebook.com/tr?id=1', 'https://www.\uff46acebook.com/tr?id=1', 'https://www.&ffr;acebook.com/tr?id=1',
];

const document = (body) => `<!doctype html><html lang="sv"><head><title>x</title></head>${body}</html>`;
const pages = { '/ok.gif': { type: 'image/gif', body: Buffer.from('R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==', 'base64') } };
for (const [index, shape] of SHAPES.entries()) pages[`/shape/${index}`] = document(shape.replace('URL', PIXEL));
for (const [index, spelling] of SPELLINGS.entries()) pages[`/spelling/${index}`] = document(`<img src="${spelling}"><script src="${spelling}"></script>`);

/** Policies of pages' own, and what the page itself needs from them: none may stop the banner. */
const POLICIES = [
  "default-src 'self'", "script-src 'self'; style-src 'self'", "default-src 'none'; img-src 'self'",
  "script-src 'nonce-abc' 'strict-dynamic'; object-src 'none'", "script-src 'strict-dynamic' 'sha256-AAAA' 'unsafe-inline' https:",
  "script-src 'self'; style-src 'self'; form-action 'none'", "script-src-elem 'self'; style-src-elem 'self'",
  "script-src 'unsafe-inline' https://cdn.example; style-src 'unsafe-inline'", "default-src 'none'; script-src 'sha256-AAAA'",
  "require-trusted-types-for 'script'; trusted-types 'none'; script-src 'self'",
];
for (const [index, policy] of POLICIES.entries()) {
  pages[`/header/${index}`] = { headers: { 'Content-Security-Policy': policy }, body: document('<body><p>text') };
  pages[`/meta/${index}`] = `<!doctype html><html lang="sv"><head><meta http-equiv="Content-Security-Policy" content="${policy}"><title>x</title></head><body><p>text</html>`;
}
pages['/stranger'] = document('<body><script src="https://stranger.example/x.js"></script>');
pages['/mixed'] = document("<body><script>window.own = 1;\nfbq('init', '1');\nfbq('track', 'PageView');\nwindow.own = 2;</script>");

/** Whether the pixel's host was called; a connection alone counts. */
const isCalled = (world) => world.internet.called().some((call) => /facebook|without a word/i.test(call));

describe('what a page may not reach for', () => {
  // Without the policy: the rewriter alone is put to the test.
  const world = openBehind(pages, 'third_parties: { unknown: allow }\n');

  for (const [kind, count] of [['shape', SHAPES.length], ['spelling', SPELLINGS.length]]) {
    test(`no ${kind} reaches its host without agreement, and each does without the proxy`, async () => {
      const [leaks, silent] = [[], []];
      for (let index = 0; index < count; index += 1) {
        const name = (kind === 'shape' ? SHAPES : SPELLINGS)[index];
        const scripts = !/noscript/.test(name);
        await world.asVisitor({ scripts }, async (visitor) => {
          await visitor.page.goto(`/${kind}/${index}`, { waitUntil: 'networkidle' });
          if (isCalled(world)) leaks.push(name);
        });
        await world.asVisitor({ url: world.direct, scripts }, async (visitor) => {
          await visitor.page.goto(`/${kind}/${index}`, { waitUntil: 'networkidle' });
          if (!isCalled(world)) silent.push(name);
        });
      }
      assert.deepEqual(leaks, []);
      // A shape that calls nobody in this browser proves nothing here.
      console.log(`${kind}s that call nobody without the proxy either: ${JSON.stringify(silent)}`);
      assert.ok(silent.length * 4 < count, JSON.stringify(silent));
    });
  }

  test("the site's own code runs beside a held snippet", async () => {
    await world.asVisitor({}, async (visitor) => {
      await visitor.visit('/mixed');
      assert.equal(await visitor.page.evaluate('window.own'), 2);
      assert.deepEqual(visitor.errors, []);
    });
  });
});

describe("policies of the page's own", () => {
  const world = openBehind(pages);

  for (const kind of ['header', 'meta']) {
    test(`banner and guard get past each of them in ${kind}, and nothing of ours is stopped`, async () => {
      for (const [index, policy] of POLICIES.entries()) {
        await world.asVisitor({}, async (visitor) => {
          const said = [];
          visitor.page.on('console', (message) => said.push(message.text()));
          await visitor.visit(`/${kind}/${index}`);
          assert.ok(await visitor.banner.isVisible(), policy);
          const place = await visitor.banner.evaluate((banner) => getComputedStyle(banner).position);
          assert.equal(place, 'fixed', policy);
          assert.deepEqual(said.filter((text) => /Content Security Policy/.test(text) && !/report-only|ignored/i.test(text)), [], policy);
        });
      }
    });
  }

  test('what is stopped is reported to the proxy and counted', async () => {
    await world.asVisitor({}, async (visitor) => {
      const reported = visitor.page.waitForRequest((request) => request.url().endsWith('/_consent/reports'));
      await visitor.visit('/stranger');
      const answer = await (await reported).response();
      assert.equal(answer?.status(), 204);
    });
  });
});
