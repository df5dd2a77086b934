// Debian's nginx and Apache as upstreams, and `consentry run` in front of them; each with its files in one folder.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { BINARY } from './demo.js';
import { freePort, listens, startProgram } from './program.js';

/** A page of an old site, as text; it is stored in ISO-8859-1. */
export const HEADLINE = 'Räksmörgås på Åland';
export const PAGE = `<html>
<head>
<title>${HEADLINE}</title>
<script type="text/javascript">
var _gaq = _gaq || [];
_gaq.push(['_setAccount', 'UA-XXXXX-Y']);
_gaq.push(['_trackPageview']);
(function() {
  var ga = document.createElement('script'); ga.async = true;
  ga.src = ('https:' == document.location.protocol ? 'https://ssl' : 'http://www') + '.google-analytics.com/ga.js';
  var s = document.getElementsByTagName('script')[0]; s.parentNode.insertBefore(ga, s);
})();
</script>
<script async src="https://www.googletagmanager.com/gtag/js?id=G-XXXXXXX"></script>
</head>
<body>
<h1 id="rubrik">${HEADLINE}</h1>
${'<p>Ett stycke text som gör sidan så lång att servern skickar den i bitar.</p>\n'.repeat(800)}
</body>
</html>
`;

/** How each page of an upstream is sent. */
export const PAGES = ['plain', 'gzip', 'chunked'];

/** Writes the pages into `folder`/www. */
export function writePages(folder) {
  const www = path.join(folder, 'www');
  mkdirSync(www);
  for (const name of [...PAGES, 'account']) writeFileSync(path.join(www, `${name}.html`), PAGE, 'latin1');
  // A server-side include of nothing: what leaves is the page as it is, in pieces whose sum the server does not know.
  const included = PAGE.replace('<body>', '<!--#include virtual="/nothing.html" --><body>');
  writeFileSync(path.join(www, 'chunked.html'), included, 'latin1');
  writeFileSync(path.join(www, 'nothing.html'), '');
  // Servers that are started as root read as somebody else.
  for (const place of [folder, www]) chmodSync(place, 0o755);
}

/** nginx with the pages of `folder`. */
export async function startNginx(folder) {
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/nginx-${kind};`).join(' ');
  const file = path.join(folder, 'nginx.conf');
  writeFileSync(file, `
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr;
events { worker_connections 256; }
http {
  ${temporary}
  access_log off; types { text/html html; } default_type text/plain;
  server {
    listen 127.0.0.1:${port}; root ${folder}/www;
    location = /gzip.html { gzip on; charset iso-8859-1; }
    location = /chunked.html { ssi on; }
    location = /login { add_header Set-Cookie "PHPSESSID=nginx; path=/"; return 302 http://127.0.0.1:${port}/account.html; }
  }
}
`);
  const program = await startProgram('nginx', ['-e', 'stderr', '-p', folder, '-c', file], () => listens(port));
  return { ...program, port };
}

/** Apache with the pages of `folder`. */
export async function startApache(folder) {
  const port = await freePort();
  const modules = ['mpm_event', 'authz_core', 'mime', 'filter', 'deflate', 'headers', 'alias', 'include']
    .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n');
  const file = path.join(folder, 'apache.conf');
  writeFileSync(file, `
${modules}
ServerRoot ${folder}
DefaultRuntimeDir ${folder}
PidFile ${folder}/apache.pid
ErrorLog ${folder}/apache.log
User nobody
Group nogroup
Listen 127.0.0.1:${port}
ServerName 127.0.0.1:${port}
StartServers 1
DocumentRoot ${folder}/www
<Directory ${folder}/www>
  Require all granted
  Options +Includes
</Directory>
TypesConfig /dev/null
AddType text/html .html
<Location /gzip.html>
  SetOutputFilter DEFLATE
  AddDefaultCharset ISO-8859-1
</Location>
<Location /chunked.html>
  SetOutputFilter INCLUDES
</Location>
Header always set Set-Cookie "PHPSESSID=apache; path=/" "expr=%{REQUEST_URI} == '/login'"
Redirect 302 /login http://127.0.0.1:${port}/account.html
`);
  const program = await startProgram('apache2', ['-D', 'FOREGROUND', '-f', file], () => listens(port), `${folder}/apache.log`);
  return { ...program, port };
}

/** `consentry run` with settings of its own in front of the upstream on `upstream`, in clear text and over TLS. */
export async function startConsentry(folder, upstream) {
  const [port, tlsPort, admin] = [await freePort(), await freePort(), await freePort()];
  const settings = path.join(folder, 'config', 'consentry.yaml');
  for (const place of ['config/sites', 'config/documents', 'data']) mkdirSync(path.join(folder, place), { recursive: true });
  certify(path.join(folder, 'config'));
  writeFileSync(settings, `
listen:
  - address: 127.0.0.1:${port}
  - address: 127.0.0.1:${tlsPort}
    tls: { certificates: [{ certificate: site.pem, key: site.key }] }
admin: { address: 127.0.0.1:${admin} }
secrets: file:../data/secrets
ledger: { sqlite: ../data/ledger.sqlite }
timeouts: { drain: 2s }
sites: sites/*.yaml
`);
  writeFileSync(path.join(folder, 'config/sites/old.yaml'), `
hosts: [127.0.0.1, www.old.test]
upstream: http://127.0.0.1:${upstream}
languages: [sv]
controller: { name: Gamla Handeln AB, organisation_number: 556000-0000, address: Storgatan 1, email: dataskydd@old.test }
documents:
  privacy:
    kind: notice
    path: /cldoc/cookies-privacy-policies.htm
    files: { sv: ../documents/privacy.sv.md }
gates:
  - { name: customers, document: privacy, cookie: PHPSESSID, except: [/logout] }
cookies: { necessary: [PHPSESSID] }
`);
  writeFileSync(path.join(folder, 'config/documents/privacy.sv.md'),
    '---\ntitle: Cookies och integritetsinformation\nversion: 2018-05-25\n---\nVi är {{ controller.name }}.\n\n{{ services }}\n');
  const isReady = async () => {
    try {
      return (await fetch(`http://127.0.0.1:${admin}/readyz`)).ok;
    } catch {
      return false;
    }
  };
  const program = await startProgram(BINARY, ['run', '--config', settings], isReady);
  return {
    ...program, port, tlsPort, settings, url: `http://127.0.0.1:${port}`,
    /** How often it has read its settings again, and found all of them good. */
    reloads: async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
      return Number(/^consentry_reloads_total\{reason="applied"\} (\d+)$/m.exec(metrics)?.[1]);
    },
    command: (...words) => execFileSync(BINARY, [...words, '--config', settings], { encoding: 'utf8' }),
  };
}

function certify(folder) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
    '-keyout', `${folder}/site.key`, '-out', `${folder}/site.pem`, '-days', '2', '-subj', '/CN=www.old.test',
    '-addext', 'subjectAltName=DNS:www.old.test', '-addext', 'basicConstraints=critical,CA:FALSE'], { stdio: 'ignore' });
}
