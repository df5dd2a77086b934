// What every test file starts with: the demo, the internet and a browser; and visitors who leave by themselves.

import { after, before } from 'node:test';

import { startDemo } from './demo.js';
import { openInternet } from './internet.js';
import { newVisitor, openBrowser } from './visitor.js';

/** Pages of the shop that anybody may see, and what their headline says. */
export const PAGES = {
  '/': 'Välkommen till Björklunds Bildbyrå',
  '/sortiment.html': 'Alla bilder på ett ställe',
  '/bild?id=6': 'Älvsborgsbron om natten',
  '/om.html': 'Om Björklunds Bildbyrå',
  '/english.html': 'Björklunds Bildbyrå in English',
  '/login': 'Logga in på ditt konto',
  '/kundvagn': 'Din kundvagn',
  '/finns-inte': 'Sidan finns inte längre',
};

/** Opens everything before the tests of a file, and closes it afterwards. */
export function openWorld() {
  const world = { demo: null, internet: null, browser: null };
  before(async () => {
    world.internet = await openInternet();
    world.demo = await startDemo();
    world.browser = await openBrowser(world.internet);
  }, { timeout: 120_000 });
  after(async () => {
    await world.browser?.close();
    await world.demo?.stop();
    await world.internet?.close();
  }, { timeout: 60_000 });

  /** Lets a new visitor do `story`; whom they call is counted from here on. */
  world.asVisitor = async (options, story) => {
    world.internet.forget();
    const visitor = await newVisitor(world.browser, options.url ?? world.demo.url, options);
    try {
      return await story(visitor);
    } finally {
      await visitor.leave();
      await world.internet.leftBehind();
    }
  };
  return world;
}
