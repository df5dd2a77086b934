// Starts `consentry demo` and reads from its own words where everything is.

import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The program under test. */
export const BINARY = process.env.CONSENTRY_BIN
  ?? fileURLToPath(new URL('../../../target/debug/consentry', import.meta.url));

/** The proxy in front of the shop, on free ports of 127.0.0.1. */
export async function startDemo() {
  const child = spawn(BINARY, ['demo', '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => { said += text; });
  let isWanted = true;
  const exited = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (isWanted) console.error(`consentry demo ended by itself (${code ?? signal}):\n${said}`);
      resolve(code ?? signal);
    });
  });
  const failed = exited.then((code) => { throw new Error(`consentry demo ended with ${code}:\n${said}`); });
  failed.catch(() => {});
  const facts = await Promise.race([introduction(child.stdout), failed]);

  return {
    ...facts,
    /** Runs another command of the same program on the demo's settings. */
    run: async (...words) => (await promisify(execFile)(BINARY, [...words, '--config', facts.settings])).stdout,
    stop: async () => {
      isWanted = false;
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(late);
    },
  };
}

async function introduction(stdout) {
  const lines = createInterface({ input: stdout });
  const facts = {};
  for await (const line of lines) {
    facts.url ??= /^\s*The shop behind Consentry\s+(http:\S+?)\/(?:\s|$)/.exec(line)?.[1];
    facts.untouched ??= /^\s*The same shop, untouched\s+(http:\S+?)\/(?:\s|$)/.exec(line)?.[1];
    facts.settings ??= /ledger export --config (.+)$/.exec(line)?.[1];
    if (/Ctrl-C stops/.test(line)) break;
  }
  stdout.resume();
  if (!facts.url || !facts.untouched || !facts.settings) {
    throw new Error(`consentry demo did not say where it is: ${JSON.stringify(facts)}`);
  }
  return facts;
}
