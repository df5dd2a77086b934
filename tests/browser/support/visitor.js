// A browser whose every foreign host is the stub, and visitors with a clean profile each.

import { chromium } from 'playwright-core';

import { NEUTRAL } from './internet.js';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--ignore-certificate-errors',
];

/** Cookies that may stand before and after any choice: the shop's own, and Consentry's two. */
const OWN_COOKIES = new Set(['PHPSESSID', 'consentry', 'consentry_accepted', 'consentry_gpc']);

/** Whom Chromium calls for itself, with no page asking for it; none of them is a tracker of the shop's. */
const OF_PAGES = ['fonts', 'maps', 'ajax', 'translate'].map((name) => `${name}.googleapis.com`);
const OF_CHROMIUM = ['*.googleapis.com', 'accounts.google.com', 'clients*.google.com', '*.gvt1.com', 'mtalk.google.com'];

/** Opens Chromium. Names lead to `internet`; addresses and `*.localhost` are left alone. `keepsPages` for the back button. */
export async function openBrowser(internet, { keepsPages = false } = {}) {
  const rules = [
    ...OF_PAGES.map((host) => `MAP ${host} 127.0.0.1:${internet.port}`),
    `MAP canary.example ${NEUTRAL}:${internet.port}`,
    ...OF_CHROMIUM.map((host) => `MAP ${host} ~NOTFOUND`),
    `MAP * 127.0.0.1:${internet.port}`,
    'EXCLUDE 127.0.0.1',
    'EXCLUDE *.localhost',
  ];
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    ignoreDefaultArgs: keepsPages ? ['--disable-back-forward-cache'] : [],
    args: [...FLAGS, `--host-resolver-rules=${rules.join(', ')}`],
  });
}

/** A new visitor of `url`, with nothing stored. */
export async function newVisitor(browser, url, { scripts = true, width = 1280, height = 800, language = 'sv-SE', ...more } = {}) {
  const context = await browser.newContext({
    baseURL: url, javaScriptEnabled: scripts, locale: language, viewport: { width, height }, ...more,
  });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  return new Visitor(context, page, errors);
}

class Visitor {
  constructor(context, page, errors) {
    this.context = context;
    this.page = page;
    /** What went wrong in the page's own scripts. */
    this.errors = errors;
  }

  get banner() {
    return this.page.locator('consentry-banner');
  }

  /** A button of the banner, or of the settings page. */
  button(value, inside = this.page) {
    return inside.locator(`button[name=choice][value=${value}]`).first();
  }

  async visit(path) {
    return this.page.goto(path, { waitUntil: 'load' });
  }

  /** Does what leads to another page, and waits until that page is there: two ways at once would be a race. */
  async follow(act) {
    // What fails in the act is told before what then never comes.
    await Promise.all([this.page.waitForEvent('load'), act()]);
  }

  /** Answers the banner, and waits until the choice is stored and the banner is gone. */
  async answer(value) {
    const stored = this.page.waitForResponse((response) => isChoice(response.request()));
    await this.button(value, this.banner).click();
    await stored;
    await this.banner.waitFor({ state: 'hidden' });
    await this.page.waitForLoadState('load');
  }

  /** Chooses on the settings page: `accept-all`, `reject-all`, or `save` with these categories. */
  async choose(value, categories = []) {
    await this.visit('/_consent/settings');
    for (const category of categories) {
      await this.page.locator(`input[name=category][value=${category}]`).check();
    }
    await this.press(value);
  }

  /** Presses a button of the settings page, and waits for the page that it leads to. */
  async press(value) {
    await this.follow(() => this.button(value).click());
  }

  /** Logs in at the shop; where that leads is the gate's affair. */
  async logIn(name = 'kund') {
    await this.visit('/login');
    await this.page.fill('input[name=anvandare]', name);
    await this.page.fill('input[name=losenord]', 'bild');
    await this.follow(() => this.page.click('input[type=submit]'));
  }

  /** Acknowledges or accepts the document on the page, and waits for the page it leads to. */
  async acknowledge() {
    const left = this.page.waitForURL((url) => !url.pathname.startsWith('/cldoc/') && !url.pathname.startsWith('/_consent/'));
    await this.acceptanceButton.click();
    await left;
  }

  get acceptanceButton() {
    return this.page.locator('form[action$="/acceptances"]').locator('button, input[type=submit]').first();
  }

  get path() {
    return new URL(this.page.url()).pathname;
  }

  /** The names of all cookies that neither the shop nor Consentry needs, of whatever host. */
  async foreignCookies() {
    const cookies = await this.context.cookies();
    return cookies.map(({ name }) => name).filter((name) => !OWN_COOKIES.has(name)).sort();
  }

  async cookieNames() {
    return (await this.context.cookies()).map(({ name }) => name).sort();
  }

  async leave() {
    await this.context.close();
  }
}

function isChoice(request) {
  return request.method() === 'POST' && new URL(request.url()).pathname === '/_consent/choices';
}
