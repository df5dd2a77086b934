// `consentry run` in front of pages that a test writes itself, with documents in Swedish, English, German and Arabic.

import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

import { BINARY } from './demo.js';
import { freePort, listens, startProgram } from './program.js';

const PRIVACY = {
  sv: '---\ntitle: Kakor och personuppgifter\nversion: 1\n---\nPersonuppgiftsansvarig är {{ controller.name }}.\n\n{{ services }}\n\n{{ cookies }}\n',
  en: '---\ntitle: Cookies and personal data\nversion: 1\n---\n{{ controller.name }} answers for your data.\n\n{{ services }}\n\n{{ cookies }}\n',
  de: '---\ntitle: Cookies und personenbezogene Daten\nversion: 1\n---\nVerantwortlich ist {{ controller.name }}.\n\n{{ services }}\n\n{{ cookies }}\n',
  ar: '---\ntitle: ملفات تعريف الارتباط والبيانات الشخصية\nversion: 1\n---\n{{ controller.name }} هي المسؤولة عن بياناتك.\n\n{{ services }}\n\n{{ cookies }}\n',
};

/** Writes the settings of one site into a folder, with its documents, and gives the file that `--config` takes. */
export function writeSettings(folder, { listen = 8080, upstream = 3000, languages, documents = '', yaml = '', files = {} }) {
  for (const name of ['sites', 'documents']) mkdirSync(path.join(folder, name));
  const tags = languages.slice(1, -1).split(',').map((tag) => tag.trim());
  for (const tag of tags) writeFileSync(path.join(folder, 'documents', `privacy.${tag}.md`), PRIVACY[tag] ?? PRIVACY.en);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, 'sites', name)), { recursive: true });
    writeFileSync(path.join(folder, 'sites', name), content);
  }
  const settings = path.join(folder, 'consentry.yaml');
  writeFileSync(settings, `
listen: [{ address: "127.0.0.1:${listen}" }]
secrets: file:data/secrets
ledger: { sqlite: data/ledger.sqlite }
`);
  writeFileSync(path.join(folder, 'sites', 'site.yaml'), `
hosts: ["*"]
upstream: http://127.0.0.1:${upstream}
languages: ${languages}
controller: { name: Exempelbyrån AB, email: dataskydd@example.se }
documents:
  privacy:
    kind: notice
    path: /privacy
    files: { ${tags.map((tag) => `${tag}: ../documents/privacy.${tag}.md`).join(', ')} }
${documents}
services: { google-analytics: consent, matomo: consent, meta-pixel: consent }
${yaml}
`);
  return settings;
}

/**
 * Starts a site whose upstream answers from `pages`: a path leads to HTML, to `{ status, headers, html }`, or to what
 * makes one of them of a request.
 * `yaml` is added to the site's settings, `documents` to its documents; `files` lie beside them.
 */
export async function startSite(pages, { yaml = '', documents = '', languages = '[sv, en, ar]', files = {} } = {}) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-site-'));
  const upstream = http.createServer((request, response) => {
    const page = pages[new URL(request.url, 'http://upstream').pathname];
    const found = (typeof page === 'function' ? page(request) : page) ?? { status: 404, html: '<!doctype html><html lang="sv"><title>Saknas</title><h1>Saknas</h1>' };
    const { status = 200, headers = {}, html = found } = found;
    response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', ...headers });
    response.end(html);
  });
  await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const port = await freePort();
  const settings = writeSettings(folder, { listen: port, upstream: upstream.address().port, languages, yaml, documents, files });
  const program = await startProgram(BINARY, ['run', '--config', settings], () => listens(port));
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      await program.stop();
      upstream.closeAllConnections();
      await new Promise((resolve) => upstream.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
