// What of each page got out, and the table that is made of it.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { HOST, trespasses } from './gallery.js';
import { openForwarder, RUNS } from './nets.js';

export const DOCUMENT = fileURLToPath(new URL('../../../docs/what-each-net-catches.md', import.meta.url));

/** Looks at each page with the nets of `run`: what was called and kept, by the page's name. */
export async function measure(gallery, pages, run) {
  const forwarder = await openForwarder(new URL(gallery.url).port, gallery.site.port, run.nets);
  const results = new Map();
  try {
    await gallery.asVisitor({ from: `http://${HOST}:${forwarder.port}` }, async (viewer) => {
      for (const page of pages) {
        results.set(page.name, await outcome(viewer, page));
        await viewer.tidy();
      }
    });
  } finally {
    forwarder.close();
  }
  return results;
}

async function outcome(viewer, page) {
  try {
    // What a worker does begins late; all else begins with the page.
    const works = /worker/.test(page.name) ? page.works : null;
    const found = trespasses(page, await viewer.see({ ...page, works }), []);
    const calls = found.filter((text) => text.startsWith('was called')).map((text) => text.replace(/^was called: /, ''));
    return {
      // A connection that a request went over is not counted twice.
      calls: calls.filter((call) => call.includes('/') || !calls.some((other) => other.startsWith(`${call}/`))),
      kept: found.filter((text) => !text.startsWith('was called')),
    };
  } catch (error) {
    await viewer.page.close().catch(() => {});
    await viewer.open();
    return { calls: [`(could not be looked at: ${error.message.split('\n')[0]})`], kept: [] };
  }
}

/** The pages that let something out. */
export function leaky(results) {
  return [...results].filter(([, { calls, kept }]) => calls.length + kept.length).map(([page]) => page);
}

/** The table in Markdown, a row for each page, and one for how many pages each run let something out of. */
export function table(pages, results) {
  const names = RUNS.map(({ name }) => name);
  const row = (cells) => `| ${cells.join(' | ')} |\n`;
  return row(['page', ...names]) + row(['---', ...names.map(() => '---:')])
    + pages.map((page) => row([page.name, ...names.map((name) => cell(results.get(name).get(page.name)))])).join('')
    + row([`**of ${pages.length} pages let something out**`, ...names.map((name) => `**${leaky(results.get(name)).length}**`)]);
}

function cell({ calls, kept }) {
  return `${calls.length || ''}${kept.length ? ` +${kept.length}` : ''}`.trim();
}

/** Which pages the table says let something out, by run; and under `page` all that it names. */
export function readTable() {
  const rows = readFileSync(DOCUMENT, 'utf8').split('\n').filter((line) => line.startsWith('|')).map((line) => line.split('|').slice(1, -1).map((text) => text.trim()));
  const [head, , ...body] = rows;
  return new Map(head.map((run, at) => [run, body.slice(0, -1).filter((cells) => cells[at]).map(([page]) => page)]));
}
