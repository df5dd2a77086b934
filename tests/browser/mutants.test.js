// The spelling of an address is nobody's way out: a few hundred of them, with Chromium to say which of them call.
// MUTANTS says how many, MUTANTS_SEED which.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { HOST, openGallery } from './support/gallery.js';
import { mutants, pagesOf, randomness } from './support/mutants.js';
import { openForwarder } from './support/nets.js';

const SEED = Number(process.env.MUTANTS_SEED ?? 4);
const all = mutants(Number(process.env.MUTANTS ?? 330), randomness(SEED));
const pages = pagesOf(all, 55);
let gallery;
/** Those that call somebody where nobody stands in between. */
let alive;

before(async () => { gallery = await openGallery(pages); }, { timeout: 120_000 });
after(() => gallery?.close(), { timeout: 60_000 });

/** The ids of the mutants that called their trackers, by a request, or by as much as a connection. */
async function callers(options, { by, begin = async () => {} }) {
  const called = new Set();
  await gallery.asVisitor(options, async (viewer) => {
    await begin(viewer);
    for (const page of pages) {
      const { calls } = await viewer.see(page);
      for (const call of calls.filter((one) => by === 'connection' || one.includes('/'))) {
        const [, id] = /^m(\d+)\./.exec(call) ?? [];
        if (id !== undefined) called.add(Number(id));
      }
    }
  });
  return called;
}

/** Those which called and should not have, as they were written. */
function shown(called, isFault = ({ force }) => force !== 'style') {
  return all.filter((mutant) => called.has(mutant.id) && isFault(mutant)).map(({ id, text }) => `${id} (seed ${SEED}): ${text}`);
}

async function through(nets, story) {
  const forwarder = await openForwarder(new URL(gallery.url).port, gallery.site.port, nets);
  try {
    return await story({ from: `http://${HOST}:${forwarder.port}` });
  } finally {
    forwarder.close();
  }
}

test('without the proxy most mutants call their tracker: the other tests would see it', async () => {
  alive = await callers({ from: gallery.direct }, { by: 'request' });
  for (const [of, share] of [['markup', 0.6], ['script', 0.8]]) {
    const those = all.filter((mutant) => mutant.of === of);
    const living = those.filter(({ id }) => alive.has(id));
    console.log(`${living.length} of ${those.length} mutants of ${of} call`);
    assert.ok(living.length > share * those.length, `${of}: ${living.length} of ${those.length}`);
  }
});

test('c1 c2 before agreement no spelling of an address makes so much as a connection', async () => {
  assert.deepEqual(shown(await callers({}, { by: 'connection' })), []);
});

test('c3 after a refusal neither', async () => {
  assert.deepEqual(shown(await callers({}, { by: 'connection', begin: (viewer) => viewer.choose('reject-all') })), []);
});

test('without scripts neither', async () => {
  assert.deepEqual(shown(await callers({ scripts: false }, { by: 'connection' })), []);
});

test('after agreement all call that would without the proxy', async () => {
  const agreed = await callers({}, { by: 'request', begin: (viewer) => viewer.choose('accept-all') });
  assert.deepEqual(all.filter(({ id }) => alive.has(id) !== agreed.has(id)).map(({ id, text }) => `${id}: ${text}`), []);
});

test('the rewriter alone holds every mutant of markup', async () => {
  await through(['rewriter'], async (options) => {
    assert.deepEqual(shown(await callers(options, { by: 'connection' }), ({ of }) => of === 'markup'), []);
  });
});

test('the policy alone stops every mutant that is no picture and no style', async () => {
  await through(['policy'], async (options) => {
    assert.deepEqual(shown(await callers(options, { by: 'request' }), ({ force }) => force === 'active'), []);
  });
});
