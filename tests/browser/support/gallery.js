// The pages of `pages/` behind `consentry run`, in one browser, for visitors in every state; and what is seen of each.

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { startProxy } from './behind.js';
import { openInternet } from './internet.js';
import { allowed } from './pages.js';
import { openSite } from './site.js';
import { openBrowser } from './visitor.js';

export const HOST = 'www.shop.localhost';

/** The canary is the only foreign host that everybody may call: what it hears, it hears after everybody else. */
const SETTINGS = `
third_parties: { unknown: block-active }
own_services:
  - { name: canary, category: necessary, urls: ["canary.example/*"] }
`;
const OWN_COOKIES = ['consentry', 'consentry_accepted'];
/** How long a call that is expected may take; only a test that has failed anyway waits for so long. */
const BOUND = 5_000;

/** Opens browser, internet, upstream and proxy. */
export async function openGallery(pages) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-gallery-'));
  const site = await openSite(pages);
  const internet = await openInternet({ keepsCookies: true });
  const proxy = await startProxy(folder, `http://127.0.0.1:${site.port}`, SETTINGS, [HOST]);
  const browser = await openBrowser(internet);
  const gallery = {
    site, internet, browser,
    url: `http://${HOST}:${proxy.port}`,
    direct: `http://${HOST}:${site.port}`,
    /** Lets a new visitor see pages; they come `from` the proxy unless told otherwise. */
    asVisitor: async (options, story) => {
      const visitor = await newViewer(gallery, options);
      try {
        return await story(visitor);
      } finally {
        await visitor.context.close();
      }
    },
    close: async () => {
      await browser.close();
      await proxy.stop();
      await internet.close();
      site.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return gallery;
}

async function newViewer(gallery, { from = gallery.url, scripts = true, gpc = false, bypassCSP = false }) {
  const context = await gallery.browser.newContext({
    baseURL: from, javaScriptEnabled: scripts, locale: 'sv-SE', bypassCSP,
    extraHTTPHeaders: gpc ? { 'Sec-GPC': '1' } : {},
  });
  context.setDefaultTimeout(15_000);
  if (gpc) await context.addInitScript(() => Object.defineProperty(navigator, 'globalPrivacyControl', { value: true }));
  const viewer = new Viewer(gallery, context, scripts, from);
  await viewer.open();
  return viewer;
}

class Viewer {
  constructor(gallery, context, scripts, from) {
    Object.assign(this, { gallery, context, scripts, from, canaries: 0 });
  }

  async open() {
    this.page = await this.context.newPage();
    this.errors = [];
    this.page.on('pageerror', (error) => this.errors.push(String(error)));
    this.page.on('dialog', (dialog) => dialog.dismiss().catch(() => {}));
  }

  /** Chooses as the settings page does: `accept-all`, `reject-all`, or `save` with these categories. */
  async choose(choice, categories = []) {
    const form = new URLSearchParams([['choice', choice], ...categories.map((name) => ['category', name]), ['return', '/']]);
    if (!this.page.url().startsWith(this.from)) await this.page.goto('/nothing');
    const status = await this.page.evaluate(async (body) => (await fetch(new URL('/_consent/choices', location.href), {
      method: 'POST', body, headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
    })).status, form.toString());
    if (status !== 200) throw new Error(`${choice} was answered with ${status}`);
  }

  /** Visits a page until everything that it starts has started, and tells what was seen. `expected` calls are waited for. */
  async see(page, expected = []) {
    const seen = await this.look(page, expected);
    // Chromium opens a spare connection where the first is slow to come: it says nothing a second time.
    return seen.calls.some((call) => call.startsWith('(')) ? this.look(page, expected) : seen;
  }

  async look(page, expected) {
    const { internet, site } = this.gallery;
    internet.hangUp();
    internet.forget();
    site.asked.length = 0;
    this.errors.length = 0;
    await this.page.goto(page.path, { waitUntil: 'load' });
    const works = await this.works(page);
    const missing = [];
    for (const call of expected) await this.waitFor(call).catch(() => missing.push(call));
    await this.canary();
    await this.canary();
    return {
      works, missing,
      calls: [...internet.called().filter((call) => !call.startsWith('canary.example')), ...site.asked.map(({ path: at }) => at).filter((at) => at !== page.path)],
      sent: site.asked.flatMap(({ cookies }) => cookies.split(/;\s*/).filter(Boolean).map((pair) => pair.split('=')[0])),
      cookies: await this.cookies(),
      storage: await this.storage(),
      errors: [...this.errors],
      dom: await this.dom(),
    };
  }

  async works(page) {
    if (!this.scripts || !page.works) return true;
    return this.page.waitForFunction(page.works, null, { timeout: BOUND, polling: 20 }).then(() => true, () => false);
  }

  async waitFor(call) {
    // Of a host alone a connection is enough.
    if (!call.startsWith('/')) return this.gallery.internet.callTo(call.replace(/\/$/, ''), BOUND);
    const bound = Date.now() + BOUND;
    while (!this.gallery.site.asked.some(({ path: at }) => at.startsWith(call))) {
      if (Date.now() > bound) throw new Error(call);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** An image of the canary, asked for after everything else that the page asks for at once. */
  async canary() {
    this.canaries += 1;
    const address = `http://canary.example/${this.canaries}.gif`;
    await this.page.evaluate(([src, scripts]) => {
      // It goes after what is queued already; without scripts nothing is, and no timer runs.
      const ask = () => { new Image().src = src; };
      if (scripts) setTimeout(() => setTimeout(ask, 0), 0);
      else ask();
    }, [address, this.scripts]);
    await this.gallery.internet.callTo(address.slice('http://'.length), BOUND);
  }

  async cookies() {
    const all = await this.context.cookies();
    return all.filter(({ name }) => !OWN_COOKIES.includes(name)).map(({ name, domain }) => (/shop\.localhost$/.test(domain) ? name : `${domain}:${name}`)).sort();
  }

  async storage() {
    return this.page.evaluate(() => {
      try {
        return [...Object.keys(localStorage), ...Object.keys(sessionStorage)].sort();
      } catch {
        return [];
      }
    });
  }

  /** The page as it stands, without what the proxy inserts; and its text. */
  async dom() {
    return this.page.evaluate((from) => {
      const copy = document.documentElement.cloneNode(true);
      for (const own of copy.querySelectorAll('[data-consentry], consentry-banner, consentry-settings, consentry-embed')) own.remove();
      const text = (node) => [...node.childNodes].map((child) => (child.nodeType === 3 ? child.data
        : /^(SCRIPT|STYLE|NOSCRIPT|TEMPLATE|IFRAME)$/.test(child.nodeName) || /^CONSENTRY-/.test(child.nodeName) ? '' : text(child))).join('');
      // Snippets put their scripts before the first one, and the guard is the first: the order is not compared.
      const tag = (element) => element.cloneNode(false).outerHTML + (/^(SCRIPT|STYLE)$/.test(element.nodeName) ? element.textContent : '');
      const elements = [copy, ...copy.querySelectorAll('*')].map((element) => tag(element).replaceAll(from, '')).sort();
      return { elements: [`${document.compatMode} ${document.characterSet}`, ...elements], text: text(copy).replace(/\s+/g, ' ').trim() };
    }, this.from);
  }

  /** Takes away what the page kept, but for the visitor's choices. */
  async tidy() {
    await this.page.evaluate(async () => {
      try { localStorage.clear(); sessionStorage.clear(); } catch { /* it has none */ }
      // One that stays would be looked for anew with each page that follows.
      for (const worker of await navigator.serviceWorker.getRegistrations()) await worker.unregister();
    }).catch(() => {});
    // What it has started late is not the next page's.
    await this.page.goto('about:blank');
    await this.context.clearCookies({ name: /^(?!consentry)/ });
  }
}

/** What a visitor who agreed to these purposes should not have met: a list of complaints. */
export function trespasses(page, seen, purposes) {
  const may = allowed(page, purposes);
  const isOwn = (call) => call.startsWith('/') && !declared(page).some((fact) => call.startsWith(fact));
  const calls = seen.calls.filter((call) => !isOwn(call) && !covers(may.calls, call));
  const cookies = seen.cookies.filter((name) => (name.includes(':') ? !coversHost(may.calls, name) : !may.cookies.includes(name)));
  const storage = seen.storage.filter((name) => !may.storage.includes(name));
  return [
    ...unique(calls).map((call) => `was called: ${call}`),
    ...unique(cookies).map((name) => `a cookie: ${name}`),
    ...unique(storage).map((name) => `in storage: ${name}`),
  ];
}

/** All calls of a page that its facts name. */
function declared(page) {
  return ['statistics', 'marketing', 'preferences', 'dead', 'unknown', 'neutral'].flatMap((purpose) => page[purpose].calls);
}

/** A connection without a request belongs to any address of that host. */
function covers(facts, call) {
  return facts.some((fact) => call.startsWith(fact) || (!call.includes('/') && fact.split('/')[0] === call));
}

function coversHost(facts, cookie) {
  const domain = cookie.split(':')[0].replace(/^\./, '');
  return facts.some((fact) => fact.split('/')[0].endsWith(domain));
}

export function unique(list) {
  return [...new Set(list)];
}
