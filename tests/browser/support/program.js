// Programs that a test starts: on free ports, waited for until they answer, and ended by their own handle.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import net from 'node:net';

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** A port of 127.0.0.1 that nobody uses at this moment. */
export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a program, and waits until `isReady` answers true; fails with its words, and its log, if it ends before. */
export async function startProgram(command, words, isReady, log = null) {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH } });
  let printed = '';
  const said = () => printed + (log && existsSync(log) ? readFileSync(log, 'utf8') : '');
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { printed += text; });
  const state = { ended: null };
  const ended = new Promise((resolve) => {
    child.once('error', (error) => { state.ended = error.message; resolve(); });
    child.once('exit', (code, signal) => { state.ended = `${code ?? signal}`; resolve(); });
  });
  const program = {
    stop: async () => {
      if (state.ended !== null) return;
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(late);
    },
  };
  const bound = Date.now() + 30_000;
  while (!(await isReady())) {
    if (state.ended !== null) throw new Error(`${command} ended (${state.ended}):\n${said()}`);
    if (Date.now() > bound) {
      await program.stop();
      throw new Error(`${command} is not ready after 30 seconds:\n${said()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return program;
}

/** Whether somebody listens there. */
export function listens(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => resolve(false));
  });
}
