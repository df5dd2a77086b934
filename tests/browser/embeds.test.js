// Placeholders of embeds as visitors meet them: looks, keyboard, with scripts and without, and what is loaded.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBehind } from './support/behind.js';

const axe = createRequire(import.meta.url)('axe-core');
const OUT = fileURLToPath(new URL('out/', import.meta.url));
const FILM = 'https://www.youtube.com/embed/one';

const page = (lang, body) => `<!doctype html><html lang="${lang}"><head><meta charset="utf-8"><title>Filmer</title>
<style>body{margin:20px;font-family:Georgia;max-width:900px} iframe{border:0}
.wide{position:relative;height:0;padding-bottom:30%;overflow:hidden} .wide iframe{position:absolute;inset:0;width:100%;height:100%}
.ratio{width:100%;aspect-ratio:16/9} p{color:#c00;text-transform:uppercase} button{display:none!important}</style></head>
<body><main><h1>Filmer</h1>${body}</main></body></html>`;
const film = (more = '', address = FILM) => `<iframe src="${address}" title="Så målar du ett hus" ${more}></iframe>`;

const every = (lang) => page(lang, `<p>före</p>${film('id="first" width="560" height="315"')}
<div class="wide">${film('id="wide"', 'https://www.youtube.com/embed/two')}</div>
${film('id="ratio" class="ratio"', 'https://player.vimeo.com/video/3')}
${film('id="small" width="160" height="120"', 'https://www.youtube.com/embed/four')}
<iframe id="map" width="100%" height="300" src="https://www.google.com/maps/embed?pb=1"></iframe>
<form><input id="typed"></form><p style="height:1200px">efter</p>`);

const world = openBehind({
  '/sv': every('sv'),
  '/en': every('en'),
  '/strict': {
    body: page('en', film('id="first" width="560" height="315"')),
    headers: { 'Content-Security-Policy': "default-src 'self'; style-src 'nonce-a'; script-src 'nonce-a'; form-action 'none'; frame-src https://www.youtube.com" },
  },
  '/base': page('sv', `<base href="https://elsewhere.example/">${film('id="first" width="560" height="315"')}`),
});

const placeholders = (visitor) => visitor.page.locator('consentry-embed');
const button = (visitor, id, value) => visitor.page.locator(`consentry-embed#${id} button[value=${value}]`);

/** A visitor who has answered the banner, so that it covers nothing. */
const asVisitor = (options, story) => world.asVisitor(options, async (visitor) => {
  await visitor.context.request.post('/_consent/choices', { form: { choice: 'reject-all' }, headers: { 'Sec-Fetch-Site': 'same-origin' } });
  return story(visitor);
});

test('a placeholder takes the place of its frame, also where the page speaks of frames alone', async () => {
  const measure = (url, selector) => asVisitor({ url }, async (visitor) => {
    await visitor.visit('/sv');
    return visitor.page.evaluate((name) => ['first', 'wide', 'ratio', 'small', 'map'].map((id) => {
      const { x, width, height } = document.querySelector(`${name}#${id}`).getBoundingClientRect();
      return [id, x, width, Math.round(height)];
    }), selector);
  });
  assert.deepEqual(await measure(world.url, 'consentry-embed'), await measure(world.direct, 'iframe'));
});

for (const scripts of [true, false]) {
  const how = scripts ? 'with scripts' : 'without scripts';

  test(`nobody is called for a placeholder, ${how}`, () => asVisitor({ scripts }, async (visitor) => {
    await visitor.visit('/sv');
    assert.equal(await placeholders(visitor).count(), 5);
    await visitor.page.screenshot();
    assert.deepEqual(world.internet.called(), []);
    assert.deepEqual(await visitor.foreignCookies(), []);
  }));

  test(`one is loaded alone, ${how}`, () => asVisitor({ scripts }, async (visitor) => {
    await visitor.visit('/sv');
    await button(visitor, 'first', 'once').click();
    await world.internet.callTo('www.youtube.com/embed/one');
    await visitor.page.locator('iframe#first').waitFor();
    assert.deepEqual(world.internet.called().filter((call) => /embed\/(two|four)|vimeo|maps/.test(call)), []);
    assert.equal(await placeholders(visitor).count(), 4);
    await visitor.visit('/en');
    assert.equal(await placeholders(visitor).count(), 5, 'another page');
    await visitor.visit('/sv');
    assert.equal(await visitor.page.locator('iframe#first').getAttribute('src'), FILM, 'the same page, as its author wrote it');
  }));

  test(`a service is loaded for good, ${how}`, () => asVisitor({ scripts }, async (visitor) => {
    await visitor.visit('/sv');
    await button(visitor, 'wide', 'add').click();
    for (const id of ['one', 'two', 'four']) await world.internet.callTo(`www.youtube.com/embed/${id}`);
    assert.equal(await placeholders(visitor).count(), 2, 'Vimeo and the map wait');
    await visitor.visit('/en');
    assert.equal(await placeholders(visitor).count(), 2, 'another page');
    assert.equal(await visitor.page.locator('iframe#wide').getAttribute('src'), 'https://www.youtube.com/embed/two');
  }));

  test(`a page with a strict policy and one with a foreign base work, ${how}`, () => asVisitor({ scripts }, async (visitor) => {
    for (const path of ['/strict', '/base']) {
      world.internet.forget();
      await visitor.visit(path);
      assert.equal(await visitor.page.locator('consentry-embed').evaluate((host) => getComputedStyle(host).display), 'inline-block', 'its looks are let in');
      await button(visitor, 'first', 'once').click();
      await world.internet.callTo('www.youtube.com/embed/one');
      assert.deepEqual(world.internet.called().filter((call) => call.startsWith('elsewhere')), []);
    }
  }));
}

test('without scripts the page comes back where the visitor was', () => asVisitor({ scripts: false }, async (visitor) => {
  await visitor.visit('/sv');
  await visitor.follow(() => button(visitor, 'map', 'once').click());
  assert.equal(new URL(visitor.page.url()).hash, '#map');
  const top = await visitor.page.locator('#map').evaluate((frame) => frame.getBoundingClientRect().top);
  assert.ok(top >= 0 && top < 800, `${top}`);
}));

test('with scripts nothing of the page is lost, and the focus goes to what was loaded', () => asVisitor({}, async (visitor) => {
  await visitor.visit('/sv');
  await visitor.page.fill('#typed', 'half a letter');
  await visitor.page.evaluate(() => { window.isSame = true; });
  await button(visitor, 'first', 'once').press('Enter');
  await world.internet.callTo('www.youtube.com/embed/one');
  assert.deepEqual(await visitor.page.evaluate(() => [window.isSame, document.querySelector('#typed').value, document.activeElement.id]), [true, 'half a letter', 'first']);
  const inner = visitor.page.frameLocator('iframe#first').locator('iframe');
  assert.equal(await inner.getAttribute('title'), 'Så målar du ett hus');
  assert.deepEqual(visitor.errors, []);
}));

test("the site's own scripts hear of a service that is loaded for good", () => asVisitor({}, async (visitor) => {
  await visitor.visit('/sv');
  const heard = visitor.page.evaluate(() => new Promise((done) => {
    document.addEventListener('consentry:change', (event) => done(event.detail.services));
  }));
  await button(visitor, 'ratio', 'add').click();
  assert.deepEqual(await heard, ['vimeo']);
}));

test('where the ledger does not answer, nothing is loaded and the visitor is told', () => asVisitor({}, async (visitor) => {
  await visitor.visit('/sv');
  await visitor.page.route('**/_consent/choices', (route) => route.fulfill({ status: 503, contentType: 'text/html', body: '<title>503</title>no' }));
  await visitor.follow(() => button(visitor, 'first', 'once').click());
  assert.equal(await visitor.page.title(), '503');
  assert.deepEqual(world.internet.called(), []);
}));

test('a frame of ours shows nothing that was not agreed to', () => asVisitor({}, async (visitor) => {
  for (const query of [`service=youtube&address=${FILM}`, 'service=youtube&address=https://evil.example/', 'service=x', '']) {
    const answer = await visitor.context.request.get(`/_consent/embed?${query}`);
    assert.equal(answer.status(), 404, query);
  }
}));

test('the keyboard reaches both buttons and the link, in order, and sees where it is', () => asVisitor({}, async (visitor) => {
  await visitor.visit('/en');
  await button(visitor, 'first', 'once').focus();
  const where = () => visitor.page.evaluate(() => {
    const host = document.activeElement;
    const inner = host.shadowRoot?.activeElement ?? host;
    return [inner.textContent, getComputedStyle(inner).outlineStyle];
  });
  const seen = [await where()];
  for (let step = 0; step < 2; step++) {
    await visitor.page.keyboard.press('Tab');
    seen.push(await where());
  }
  assert.deepEqual(seen.map(([text]) => text), ['Load this one', 'Always load from YouTube', 'Open at YouTube']);
  assert.ok(seen.slice(1).every(([, outline]) => outline === 'solid'), JSON.stringify(seen));
}));

const STATES = [
  ['wide', {}], ['phone', { width: 360 }], ['dark', { colorScheme: 'dark' }], ['forced-colors', { forcedColors: 'active' }],
  ['no-scripts', { scripts: false }],
];
for (const language of ['sv', 'en']) {
  for (const [name, options] of STATES) {
    test(`an accessible placeholder: ${language}, ${name}`, () => asVisitor(options, async (visitor) => {
      await visitor.visit(`/${language}`);
      await mkdir(OUT, { recursive: true });
      await visitor.page.screenshot({ path: `${OUT}embeds-${language}-${name}.png`, fullPage: true });
      const sizes = await visitor.page.locator('consentry-embed button:visible, consentry-embed a').evaluateAll((all) => all.map((one) => {
        const { width, height } = one.getBoundingClientRect();
        return [one.textContent, width >= 24 && height >= 24];
      }));
      assert.deepEqual(sizes.filter(([, isLarge]) => !isLarge), []);
      if (options.scripts === false) return;
      await visitor.page.evaluate(axe.source);
      const { violations } = await visitor.page.evaluate(() => window.axe.run('consentry-embed', { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
      assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => html + failureSummary)]), []);
    }));
  }
}
