// A small application in PHP, and `consentry run` in front of it.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { BINARY } from './demo.js';
import { freePort, listens, startProgram } from './program.js';

const APPLICATION = fileURLToPath(new URL('../upstreams/php/index.php', import.meta.url));

/** Starts both; `stop` ends them. */
export async function startShop() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-php-'));
  const [behind, port, admin] = [await freePort(), await freePort(), await freePort()];
  for (const place of ['config/sites', 'config/documents', 'data', 'store']) mkdirSync(path.join(folder, place), { recursive: true });
  const write = (name, text) => writeFileSync(path.join(folder, 'config', name), text);
  write('consentry.yaml', `
listen: [{ address: 127.0.0.1:${port} }]
admin: { address: 127.0.0.1:${admin} }
secrets: file:../data/secrets
ledger: { sqlite: ../data/ledger.sqlite }
timeouts: { drain: 2s }
limits: { held_form: 2MiB }
sites: sites/*.yaml
`);
  write('sites/shop.yaml', `
hosts: [127.0.0.1]
upstream: http://127.0.0.1:${behind}
languages: [sv, en]
controller: { name: Gamla Handeln AB, address: "Storgatan 1, 111 11 Stockholm", email: dataskydd@old.test }
documents:
  privacy:
    kind: notice
    path: /cldoc/cookies-privacy-policies.htm
    files: { sv: ../documents/privacy.sv.md, en: ../documents/privacy.en.md }
  terms:
    kind: agreement
    path: /cldoc/user-agreement.htm
    files: { sv: ../documents/terms.sv.md, en: ../documents/terms.en.md }
gates:
  - { name: new, document: privacy, paths: ["/register*"], methods: [POST], logout: /logout }
  - { name: terms, document: terms, upstream_header: X-User, except: [/logout, /welcome], logout: /logout }
cookies: { necessary: [PHPSESSID] }
`);
  const text = (title, body) => `---\ntitle: ${title}\nversion: 2018-05-25\n---\n${body}\n`;
  write('documents/privacy.sv.md', text('Cookies och integritetsinformation', 'Vi är {{ controller.name }}.\n\n## Vad vi samlar in\n\nDet du fyller i och laddar upp.\n\n{{ cookies }}'));
  write('documents/privacy.en.md', text('Cookies and privacy information', 'We are {{ controller.name }}.\n\n## What we collect\n\nWhat you fill in and upload.\n\n{{ cookies }}'));
  write('documents/terms.sv.md', text('Användarvillkor', 'Var snäll mot andra.'));
  write('documents/terms.en.md', text('User agreement', 'Be kind to others.'));
  const php = await startProgram('env', [`STORE=${path.join(folder, 'store')}`, 'php', '-d', 'upload_max_filesize=8M', '-d', 'post_max_size=16M', '-S', `127.0.0.1:${behind}`, APPLICATION], () => listens(behind));
  const settings = path.join(folder, 'config/consentry.yaml');
  const isReady = async () => {
    try {
      return (await fetch(`http://127.0.0.1:${admin}/readyz`)).ok;
    } catch {
      return false;
    }
  };
  const proxy = await startProgram(BINARY, ['run', '--config', settings], isReady);
  const book = path.join(folder, 'store/customers');
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    /** Writes a version of the user agreement in both languages, and waits until it is in force. */
    async publishAgreement(version, more, { sv, en }) {
      const head = (title) => `---\ntitle: ${title}\nversion: ${version}\n${more}---\n`;
      const texts = { sv: `${head('Användarvillkor')}${sv}\n`, en: `${head('User agreement')}${en}\n` };
      for (const [language, content] of Object.entries(texts)) write(`documents/terms.${language}.md`, content);
      const said = async (language) => (await fetch(`${url}/cldoc/user-agreement.htm?lang=${language}`)).text();
      const bound = Date.now() + 30_000;
      while (!(await said('sv')).includes(sv) || !(await said('en')).includes(en)) {
        if (Date.now() > bound) throw new Error(`version ${version} is not in force`);
      }
    },
    /** Every decision in the ledger, the oldest first. */
    ledger() {
      const lines = execFileSync(BINARY, ['ledger', 'export', '--format', 'jsonl', '--config', settings], { encoding: 'utf8' });
      return lines.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
    },
    /** Who has become a customer, and forgets them. */
    customers() {
      const lines = existsSync(book) ? readFileSync(book, 'utf8').trim().split('\n').map((line) => JSON.parse(line)) : [];
      rmSync(book, { force: true });
      return lines;
    },
    async stop() {
      await proxy.stop();
      await php.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
