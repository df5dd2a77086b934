// The plain upstream of the pages, which remembers what it was asked for and with which cookies.

import http from 'node:http';
import { readFileSync } from 'node:fs';

import { answerFor } from './vendors.js';

const FILES = new URL('../pages/files/', import.meta.url);
const TYPES = { js: 'text/javascript', css: 'text/css', html: 'text/html; charset=utf-8', svg: 'image/svg+xml', json: 'application/json', gif: 'image/gif' };

/** Copies of vendors' scripts that the site serves itself, and addresses that it passes on to them. */
const COPIES = {
  '/js/ga.js': ['www.google-analytics.com', '/ga.js'],
  '/js/analytics.js': ['www.google-analytics.com', '/analytics.js'],
  '/piwik/piwik.js': ['stats.matomo.cloud', '/piwik.js'],
  '/matomo/matomo.js': ['stats.matomo.cloud', '/matomo.js'],
  '/metrics/gtm.js': ['www.googletagmanager.com', '/gtm.js'],
  '/metrics/gtag/js': ['www.googletagmanager.com', '/gtag/js'],
};

export async function openSite(pages) {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  const site = { asked: [], url: null };
  const server = http.createServer((request, response) => {
    site.asked.push({ path: request.url, cookies: request.headers.cookie ?? '' });
    answer(byPath, request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  site.port = server.address().port;
  site.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return site;
}

function answer(byPath, request, response) {
  const { pathname, search } = new URL(request.url, 'http://here');
  const page = byPath.get(pathname);
  if (page) return send(response, page.type, page.body, page.headers);
  // Every site has an address that leads elsewhere: counters of downloads, links in letters.
  const out = /^\/out\/(.+)$/.exec(pathname);
  if (out) return send(response, 'text/plain', '', [['Location', `https://${out[1]}${search}`]], 302);
  const copy = COPIES[pathname];
  if (copy) {
    const { type, body } = answerFor(copy[0], copy[1] + search);
    return send(response, type, body, []);
  }
  try {
    const body = readFileSync(new URL(`.${pathname.replace(/\.\./g, '')}`, FILES));
    return send(response, TYPES[pathname.split('.').pop()] ?? 'application/octet-stream', body, []);
  } catch {
    return send(response, 'text/plain', 'There is no such page.', [], /\.(gif|php)$|collect$/.test(pathname) ? 204 : 404);
  }
}

function send(response, type, body, headers, status = 200) {
  response.writeHead(status, [['Content-Type', type], ['Cache-Control', 'no-store'], ...headers].flat());
  response.end(body);
}
