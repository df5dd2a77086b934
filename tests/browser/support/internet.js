// Everybody else on the internet: one port that answers for every host, in clear text and over TLS, and remembers
// who was called. A connection alone counts: a preconnect tells a tracker the visitor's address.

import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import { answerFor } from './vendors.js';

const TLS_HANDSHAKE = 0x16;

/** Where hosts live that everybody may call: Chromium opens spare connections to them, and says nothing there. */
export const NEUTRAL = '127.0.0.2';

/** Opens the internet; with `keepsCookies` every tracker's answer sets one for its own host. */
export async function openInternet({ keepsCookies = false } = {}) {
  const bell = new EventEmitter().setMaxListeners(0);
  const sockets = new Set();
  let calls = [];
  const note = (call) => {
    calls.push(call);
    bell.emit('call');
  };
  const serve = (request, response) => {
    const host = request.headers.host ?? '';
    note({ host, path: request.url });
    const { type, body, cookie } = answerFor(host, request.url);
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('Content-Type', type);
    if (keepsCookies && cookie && request.socket.encrypted) response.setHeader('Set-Cookie', cookie);
    response.end(body);
  };
  const plain = http.createServer(serve);
  const secure = https.createServer({ ...certificate(), SNICallback: (host, done) => {
    note({ host, path: null });
    done(null);
  } }, serve);
  secure.on('tlsClientError', () => {});

  const front = net.createServer((socket) => {
    sockets.add(socket);
    const silent = { host: '(a connection without a word)', path: null };
    if (socket.localAddress !== NEUTRAL) note(silent);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    socket.once('data', (first) => {
      // It has spoken: from here on it is remembered by its name.
      calls = calls.filter((call) => call !== silent);
      socket.pause();
      socket.unshift(first);
      (first[0] === TLS_HANDSHAKE ? secure : plain).emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  });
  await new Promise((resolve) => front.listen(0, '0.0.0.0', resolve));

  return {
    port: front.address().port,
    /** Whom the browser called, hosts and paths. */
    called: () => calls.map(({ host, path: at }) => `${host}${at ?? ''}`),
    forget: () => { calls = []; },
    /** Ends all connections, so that each new call needs one of its own. */
    hangUp: () => { for (const socket of sockets) socket.destroy(); },
    /** Forgets whom a browser called that has left, once the last of it has come: its calls are not the next one's. */
    leftBehind: async () => {
      await knock(front.address().port);
      await Promise.all([...sockets].map(gone));
      calls = [];
    },
    /** Resolves once a call to an address that begins so has come, however early. */
    callTo: (beginning, bound) => waitFor(bell, () => calls.find(({ host, path: at }) => `${host}${at}`.startsWith(beginning)),
      () => `nobody called ${beginning}; called were ${JSON.stringify(calls, null, 1)}`, bound),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => front.close(resolve));
    },
  };
}

/** Connects and hangs up: who connected before stands in `sockets` afterwards. */
async function knock(port) {
  const socket = net.connect(port, NEUTRAL);
  socket.end();
  await once(socket.resume(), 'close');
}

/** Resolves once a connection is closed; one that its browser keeps is ended. */
function gone(socket) {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    const late = setTimeout(() => socket.destroy(), 1_000);
    return socket.once('close', () => {
      clearTimeout(late);
      resolve();
    });
  });
}

/** Waits for an event after which `found` finds something; the bound only ends a test that has failed anyway. */
function waitFor(bell, found, complaint, bound = 15_000) {
  return new Promise((resolve, reject) => {
    const look = () => {
      const result = found();
      if (result) done(resolve, result);
    };
    const late = setTimeout(() => done(reject, new Error(complaint())), bound);
    const done = (settle, value) => {
      clearTimeout(late);
      bell.off('call', look);
      settle(value);
    };
    bell.on('call', look);
    look();
  });
}

function certificate() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'consentry-internet-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name));
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
      '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=everybody'], { stdio: 'ignore' });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
