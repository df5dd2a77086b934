// An upstream with what an application moves besides pages: a WebSocket that echoes, events, large files both ways.

import { createHash } from 'node:crypto';
import http from 'node:http';
import { setImmediate } from 'node:timers/promises';

/** The large file: so many pieces, each of one letter. */
export const PIECES = 200;
export const PIECE = 1 << 20;

/** The SHA-256 of the large file. */
export function digestOfFile() {
  const hash = createHash('sha256');
  for (let index = 0; index < PIECES; index++) hash.update(Buffer.alloc(PIECE, index));
  return hash.digest('hex');
}

/** Starts it on a free port of 127.0.0.1. */
export async function startEcho() {
  const [listeners, sockets] = [new Set(), new Set()];
  const server = http.createServer(async (request, response) => {
    switch (`${request.method} ${request.url}`) {
      case 'GET /': return page(response);
      case 'PUT /file': return digest(request, response);
      case 'GET /file': return send(response);
      case 'GET /events':
        response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
        response.write('data: 0\n\n');
        listeners.add(response);
        return undefined;
      case 'POST /next':
        for (const listener of listeners) listener.write(`data: ${request.headers['x-event']}\n\n`);
        return response.writeHead(204).end();
      default: return response.writeHead(404).end();
    }
  });
  server.on('upgrade', echo);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => new Promise((resolve) => {
    server.close(resolve);
    // The server no longer counts those that have become WebSockets.
    for (const socket of sockets) socket.destroy();
  });
  return { port: server.address().port, stop };
}

function page(response) {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
  response.end('<!doctype html><html lang="sv"><head><title>Eko</title></head><body><h1>Eko</h1></body></html>');
}

async function digest(request, response) {
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of request) {
    hash.update(piece);
    size += piece.length;
  }
  response.writeHead(200, { 'Content-Type': 'application/json', 'X-Length': request.headers['content-length'] });
  response.end(JSON.stringify({ size, digest: hash.digest('hex') }));
}

async function send(response) {
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': PIECES * PIECE, ETag: '"file"' });
  for (let index = 0; index < PIECES; index++) {
    const hasRoom = response.write(Buffer.alloc(PIECE, index));
    await (hasRoom ? setImmediate() : new Promise((resolve) => response.once('drain', resolve)));
  }
  response.end();
}

/** A WebSocket (RFC 6455) that sends every frame back as it came, but for the mask. */
function echo(request, socket) {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    + `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`);
  let pending = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    for (let frame = takeFrame(pending); frame; frame = takeFrame(pending)) {
      pending = frame.rest;
      socket.write(Buffer.concat([frame.head, frame.payload]));
      if ((frame.head[0] & 0xf) === 8) socket.end();
    }
  });
}

/** The first frame of these bytes, unmasked, and what follows it; nothing where it has not ended. */
function takeFrame(bytes) {
  if (bytes.length < 2) return null;
  const short = bytes[1] & 0x7f;
  const extended = { 126: 2, 127: 8 }[short] ?? 0;
  const start = 2 + extended + 4;
  if (bytes.length < start) return null;
  const length = extended === 0 ? short : extended === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (bytes.length < start + length) return null;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(bytes.subarray(start, start + length));
  for (let index = 0; index < payload.length; index++) payload[index] ^= mask[index % 4];
  const head = Buffer.from(bytes.subarray(0, 2 + extended));
  head[1] &= 0x7f;
  return { head, payload, rest: bytes.subarray(start + length) };
}
