// The sum of the nets: with all of them nothing gets out, and what one of them alone lets through is known, page by page
// (docs/what-each-net-catches.md, written by `node nets.js`).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openGallery } from './support/gallery.js';
import { leaky, measure, readTable } from './support/measured.js';
import { RUNS } from './support/nets.js';
import { readPages } from './support/pages.js';

const ALL = 'all three';
const pages = readPages();
const table = readTable();
let gallery;

before(async () => { gallery = await openGallery(pages); }, { timeout: 120_000 });
after(() => gallery?.close(), { timeout: 60_000 });

for (const name of ['rewriter alone', 'policy alone', ALL]) {
  test(`${name}: lets out what is known, and nothing else`, async () => {
    const found = await measure(gallery, pages, RUNS.find((run) => run.name === name));
    const written = table.get(name).filter((page) => found.has(page));
    const shown = leaky(found).filter((page) => !written.includes(page)).map((page) => `${page}: ${JSON.stringify(found.get(page))}`);
    assert.deepEqual(shown, [], 'pages that the table does not name');
    assert.deepEqual(written.filter((page) => !leaky(found).includes(page)), [], 'pages that are mended: write the table anew');
  });
}

test('the table names every page', () => {
  const named = table.get('page');
  assert.deepEqual(pages.map(({ name }) => name).filter((name) => !named.includes(name)), []);
});

// A frame of nobody knows whom is stopped by the policy alone, and Chromium opens a connection before it asks the policy.
test('with all three nets nothing gets out', () => assert.deepEqual(table.get(ALL), []));
