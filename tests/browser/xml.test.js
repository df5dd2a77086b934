// Pages that browsers read as XML, where one letter that is none makes an error of the whole page, and documents that are
// XML and no pages.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBehind } from './support/behind.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const XHTML = 'xmlns="http://www.w3.org/1999/xhtml"';
const GA = 'https://www.google-analytics.com/ga.js';
const PIXEL = 'https://www.facebook.com/tr?id=1&amp;ev=PageView';
const xhtml = (body, type = 'application/xhtml+xml') => ({ type, body: `<?xml version="1.0" encoding="utf-8"?>\n${body}` });
const page = (head, body) => xhtml(`<!DOCTYPE html><html ${XHTML} lang="en"><head><title>t</title>${head}</head><body>${body}</body></html>`);

/** What people write, each with a service in it that is held, and code of its own that says when it has run. */
const SHAPES = {
  '/closed': page(`<script src="${GA}"/><script src="/own.js"/>`, `<p>a &lt; b</p><img alt="" src="${PIXEL}"/>`),
  '/cdata': page(`<script type="text/javascript">//<![CDATA[
if (1 < 2 && 2 < 3) { window.own = true; }
_gaq.push(['_trackPageview']);
//]]></script>`, `<pre><![CDATA[<script src="${GA}"></script> <!-- ]]></pre><img alt="" src="${PIXEL}"/>`),
  '/prefixed': xhtml(`<h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:head><h:title>t</h:title><h:script src="${GA}"/><h:script src="/own.js"/></h:head><h:body><h:p>x</h:p><h:img alt="" src="${PIXEL}"/></h:body></h:html>`),
  '/escaped': page(`<script>if (1 &lt; 2 &amp;&amp; 2 &lt; 3) { window.own = true; }
ga('create', 'UA-1', 'auto');
(function (d) { var s = d.createElement('script'); s.src = '${GA}'; d.getElementsByTagName('head')[0].appendChild(s); })(document);</script>`, '<p>x</p>'),
  '/declared': xhtml(`<!DOCTYPE html [ <!ENTITY nbsp "&#160;"> <!ENTITY shown "<b>b</b>"> ]>
<html ${XHTML}><head/><body><script src="/own.js"></script><p>a&nbsp;&shown;</p><iframe src="${GA}"/><p id="last">x</p></body></html>`),
  '/framed': page('', `<iframe srcdoc="&lt;script>parent.own = true; new Image().src = '${GA}'&lt;/script>&lt;img src='${PIXEL}'>"></iframe>`),
  '/styled': page(`<style>p &gt; b { color: red } p { background: url(${PIXEL}) }</style><script src="/own.js"/>`, '<p>x</p>'),
};

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">
<script xlink:href="${GA}"/><image width="9" height="9" xlink:href="${PIXEL}"/><script>document.documentElement.setAttribute('class', 'ran')</script></svg>`;
const CACHED = { 'Cache-Control': 'max-age=600', ETag: '"1"' };

const FILM = 'https://www.youtube.com/embed/one?a=1&amp;b=2';
const FILMS = page('', `<main><h1>Films</h1><p>before <iframe id="film" width="560" height="315" src="${FILM}" title="A &quot;film&quot; &lt;one&gt;"/> after</p>
<blockquote class="instagram-media" data-instgrm-permalink="https://www.instagram.com/p/1/?a=1&amp;b=2">post</blockquote><script src="https://www.instagram.com/embed.js"/></main>`);

const world = openBehind({
  ...SHAPES,
  '/films': FILMS,
  '/own.js': { type: 'text/javascript', body: 'window.own = true;' },
  '/picture.svg': { type: 'image/svg+xml', body: SVG, headers: CACHED },
  '/xslt.xml': { type: 'text/xml', body: `<html ${XHTML}><head><script src="${GA}"/></head><body><p>x</p></body></html>`, headers: CACHED },
  '/gallery': { body: '<!doctype html><title>t</title><img src="/picture.svg">' },
  '/holder': { body: '<!doctype html><title>t</title><object data="/picture.svg" type="image/svg+xml"></object>' },
});

const isWhole = (visitor) => visitor.page.evaluate(() => [document.getElementsByTagName('parsererror').length, document.contentType]);

for (const at of Object.keys(SHAPES)) {
  test(`c1 a page that is XML stays whole, calls nobody and runs its own code: ${at}`, () => world.asVisitor({}, async (visitor) => {
    await visitor.visit(at);
    await visitor.page.waitForFunction(() => window.own);
    assert.deepEqual(await isWhole(visitor), [0, 'application/xhtml+xml']);
    assert.deepEqual(world.internet.called(), []);
    assert.deepEqual(visitor.errors, []);
    assert.equal(await visitor.page.evaluate(() => document.querySelector('script').getAttribute('data-consentry')), 'guard');
    assert.ok(await visitor.banner.isVisible());
  }));

  test(`a page that is XML is as its author wrote it for who agreed: ${at}`, async () => {
    const text = ({ page: of }) => of.evaluate(() => {
      for (const own of document.querySelectorAll('[data-consentry], consentry-settings')) own.remove();
      return document.documentElement.outerHTML;
    });
    const alone = await world.asVisitor({ url: world.direct }, async (visitor) => {
      await visitor.visit(at);
      return text(visitor);
    });
    await world.asVisitor({}, async (visitor) => {
      await visitor.choose('accept-all');
      await visitor.visit(at);
      assert.deepEqual(await isWhole(visitor), [0, 'application/xhtml+xml']);
      assert.equal(await text(visitor), alone);
    });
  });
}

test('what scripts may ask, stubs and refused cookies are there in a page that is XML', () => world.asVisitor({}, async (visitor) => {
  await visitor.visit('/cdata');
  const seen = await visitor.page.evaluate(() => {
    document.cookie = '_ga=1; path=/';
    document.cookie = 'plain=1; path=/';
    window._gaq.push(['_trackEvent', 'a', 'b']);
    return [document.cookie, window.consentry.choices, typeof window.consentry.open];
  });
  assert.deepEqual(seen, ['plain=1', null, 'function']);
  await visitor.page.evaluate(() => window.consentry.open());
  await visitor.page.waitForURL('**/_consent/settings*');
}));

for (const scripts of [true, false]) {
  test(`a placeholder in a page that is XML loads what it stands for, ${scripts ? 'with' : 'without'} scripts`, () => world.asVisitor({ scripts }, async (visitor) => {
    const { page: on } = visitor;
    await visitor.context.request.post('/_consent/choices', { form: { choice: 'reject-all' }, headers: { 'Sec-Fetch-Site': 'same-origin' } });
    await visitor.visit('/films');
    const film = on.locator('consentry-embed#film');
    assert.equal(await on.locator('parsererror').count(), 0);
    assert.equal(await on.locator('consentry-embed').count(), 2, 'a film and a post');
    assert.match(await film.innerText(), /YouTube[^]*A "film" <one>[^]*Google/);
    const { width, height } = await film.boundingBox();
    assert.deepEqual([width, Math.round(height)], [560, 315]);
    assert.deepEqual(world.internet.called(), []);
    await mkdir(OUT, { recursive: true });
    await on.screenshot({ path: `${OUT}xml-embeds.png` });
    if (scripts) {
      await on.evaluate(axe.source);
      const { violations } = await on.evaluate(() => window.axe.run(document));
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`), []);
    }
    await visitor.follow(() => film.locator('button[value=once]').press('Enter'));
    assert.equal(new URL(on.url()).pathname, '/films');
    await world.internet.callTo('www.youtube.com/embed/one?a=1&b=2');
    assert.deepEqual([await on.locator('iframe#film').count(), await on.locator('consentry-embed').count(), await on.locator('parsererror').count()], [1, 1, 0]);
  }));
}

for (const at of ['/picture.svg', '/xslt.xml', '/holder']) {
  test(`c1 c4 what an XML document loads waits for an agreement, and ends with it: ${at}`, () => world.asVisitor({}, async (visitor) => {
    const { page: on } = visitor;
    await visitor.visit(at);
    await on.waitForTimeout(300);
    assert.deepEqual(world.internet.called(), []);
    await visitor.choose('accept-all');
    await visitor.visit(at);
    await world.internet.callTo('www.google-analytics.com/ga.js');
    await visitor.choose('reject-all');
    world.internet.forget();
    await visitor.visit(at);
    await on.waitForTimeout(300);
    assert.deepEqual(world.internet.called(), []);
  }));
}

test('c1 a picture that a cache has of a page is not shown without its policy', () => world.asVisitor({}, async (visitor) => {
  await visitor.visit('/gallery');
  await visitor.page.evaluate(() => Promise.all([document.images[0].decode(), fetch('/xslt.xml').then((answer) => answer.text())]));
  for (const at of ['/picture.svg', '/xslt.xml']) {
    await visitor.visit(at);
    await visitor.page.waitForTimeout(300);
    assert.deepEqual(world.internet.called(), [], at);
  }
}));

test('a picture that is SVG is cached as its author said where a page shows it', () => world.asVisitor({}, async (visitor) => {
  await visitor.visit('/closed');
  const [control, tag, bytes] = await visitor.page.evaluate(async () => {
    const answer = await fetch('/picture.svg');
    return [answer.headers.get('Cache-Control'), answer.headers.get('ETag'), await answer.text()];
  });
  assert.deepEqual([control, tag, bytes], ['max-age=600', '"1"', SVG]);
}));
