// Single nets, one at a time: a forwarding server between Chromium and the proxy that lets only some of them through.
// The proxy itself knows nothing of it; what is missing is taken out of its answers, or put into the upstream's.

import http from 'node:http';

/** What a run leaves in place. The rewriter is the markup and the headers that name addresses; the guard is the script. */
export const RUNS = [
  { name: 'nothing', nets: [] },
  { name: 'rewriter alone', nets: ['rewriter'] },
  { name: 'policy alone', nets: ['policy'] },
  { name: 'guard alone', nets: ['guard'] },
  { name: 'rewriter and guard', nets: ['rewriter', 'guard'] },
  { name: 'rewriter and policy', nets: ['rewriter', 'policy'] },
  { name: 'all three', nets: ['rewriter', 'policy', 'guard'] },
];

const GUARD = /<script data-consentry="guard"[^>]*>[\s\S]*?<\/script>(<script data-consentry[^>]*>\s*<\/script>)*/i;

/** A server in front of the proxy on `proxyPort` and of the upstream on `sitePort`, with these nets in place. */
export async function openForwarder(proxyPort, sitePort, nets) {
  const server = http.createServer((request, response) => {
    forward(request, proxyPort, sitePort, nets).then(({ status, headers, body }) => {
      response.writeHead(status, headers.flat());
      response.end(body);
    }, (error) => response.destroy(error));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function forward(request, proxyPort, sitePort, nets) {
  const has = (net) => nets.includes(net);
  const sent = await all(request);
  const proxied = await ask(proxyPort, request, sent);
  // The proxy's own files are no page of the site.
  if (request.url.startsWith('/_consent/')) return proxied;
  // What the proxy asked the upstream for is what it would have been asked anyway: only the second answer is new.
  const basis = has('rewriter') ? proxied : await ask(sitePort, request, sent);
  const isOurs = ([name, value]) => /^content-security-policy/i.test(name) && value.includes('/_consent/reports');
  const isPolicy = ([name]) => /^content-security-policy/i.test(name);
  // The page's own policy admits the guard only as the proxy has amended it.
  const own = has('guard') || has('rewriter') ? proxied : basis;
  const headers = [
    ...basis.headers.filter((header) => !isPolicy(header) && !/^content-length|^transfer-encoding|^connection/i.test(header[0])),
    ...own.headers.filter((header) => isPolicy(header) && !isOurs(header)),
    ...(has('policy') ? proxied.headers.filter(isOurs) : []),
  ];
  return { status: basis.status, headers, body: isPage(basis) ? withGuard(basis.body, proxied.body, nets) : basis.body };
}

function isPage({ headers }) {
  return headers.some(([name, value]) => /^content-type$/i.test(name) && /html/.test(value));
}

/** The page with or without the guard, whichever it should be; bytes stay as they are. */
function withGuard(body, proxied, nets) {
  const isWide = body[0] === 0xff && body[1] === 0xfe;
  const charset = isWide ? 'utf16le' : 'latin1';
  const text = body.toString(charset);
  if (nets.includes('rewriter')) return nets.includes('guard') ? body : Buffer.from(text.replace(GUARD, ''), charset);
  const guard = nets.includes('guard') && GUARD.exec(proxied.toString(charset))?.[0];
  if (!guard) return body;
  // First in the head, or where a parser would open one.
  const head = /<head(\s[^>]*)?>|<html(\s[^>]*)?>|<!doctype[^>]*>/gi;
  const places = [...text.matchAll(head)];
  const at = places.find(([tag]) => /^<head/i.test(tag)) ?? places.at(-1);
  const end = at ? at.index + at[0].length : isWide ? 1 : 0;
  return Buffer.from(text.slice(0, end) + guard + text.slice(end), charset);
}

function ask(port, request, sent) {
  return new Promise((resolve, reject) => {
    const headers = { ...request.headers, 'accept-encoding': 'identity' };
    const asked = http.request({ host: '127.0.0.1', port, method: request.method, path: request.url, headers, agent: false }, (answer) => {
      const pairs = answer.rawHeaders.reduce((list, word, at) => (at % 2 ? [...list.slice(0, -1), [list.at(-1)[0], word]] : [...list, [word]]), []);
      all(answer).then((body) => resolve({ status: answer.statusCode, headers: pairs, body }), reject);
    });
    asked.on('error', reject);
    asked.end(sent);
  });
}

async function all(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}
