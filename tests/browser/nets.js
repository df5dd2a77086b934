// `node nets.js` writes docs/what-each-net-catches.md: what each page of `pages/` gets out of a visitor who has not chosen,
// with each net alone, with two of them, and with all. PAGES chooses pages; then the table is printed and not written.

import { writeFileSync } from 'node:fs';

import { openGallery } from './support/gallery.js';
import { DOCUMENT, leaky, measure, table } from './support/measured.js';
import { RUNS } from './support/nets.js';
import { readPages } from './support/pages.js';

const TEXT = `# What each net catches

Three nets hold what a visitor has not agreed to: the **rewriter** (addresses and scripts in the markup and in headers such
as \`Link\`), the **policy** (a Content-Security-Policy header that names who may act) and the **guard** (a script, first in
the head). Each page below is loaded in Chromium by a visitor who has chosen nothing, with \`third_parties: { unknown: block-active }\`.
The numbers say how many different addresses that need agreement were called, and after the plus how many cookies and
storage keys were kept. An empty cell is what should be there: nothing.

What it shows:

- The rewriter alone loses to addresses that scripts put together, to workers, and to redirects through the site's own host:
  markup does not tell them. The policy stops all of these.
- The policy alone, as \`block-active\` leaves images and styles to the unknown, loses to pixels and style sheets in the markup,
  to hints (\`preconnect\`, speculation rules), of which no policy knows, and to vendors' scripts that the site serves itself.
  The rewriter holds all of these.
- The guard alone is no net to rely on, and is not meant to be one. It is there for what is left: images that scripts make
  (\`noscript-nested\`) and cookies that the site's own copies set.

A single net is looked at by taking the others out of the answers on their way to the browser (\`tests/browser/support/nets.js\`).
\`tests/browser/nets.test.js\` holds the last column empty, and each page that a single net lets through is one that this table
names. \`node nets.js\` in \`tests/browser\` writes it anew. Numbers may differ by one from run to run: what a script starts
late is not waited for.

`;

const pages = readPages();
const gallery = await openGallery(pages);
try {
  const results = new Map();
  for (const run of RUNS) {
    results.set(run.name, await measure(gallery, pages, run));
    console.error(run.name, leaky(results.get(run.name)).length, 'pages');
    for (const name of process.env.PAGES ? leaky(results.get(run.name)) : []) console.error('  ', name, JSON.stringify(results.get(run.name).get(name)));
  }
  const written = table(pages, results);
  if (process.env.PAGES) console.log(written);
  else writeFileSync(DOCUMENT, TEXT + written);
} finally {
  await gallery.close();
}
