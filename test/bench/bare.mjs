/**
 * What ours is compared with: `koa`, a bare Koa with @koa/router, and `raw`, a bare node:http server. Each reads the same
 * body with JSON.parse and answers with the reply in the environment variable REPLY, and does nothing else. `socket` does not even
 * parse: it shows how much the load generator could ask.
 * JavaScript, as the service is when it is built: what runs TypeScript as it stands adds calls of its own.
 */

import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import Router from '@koa/router';
import Koa from 'koa';

const reply = JSON.parse(process.env['REPLY'] ?? '{}');

/** @type {(request: import('node:http').IncomingMessage) => Promise<{ action?: unknown }>} */
const readJson = (request) =>
  new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
    request.on('error', reject);
  });

function raw() {
  return createServer(async (request, response) => {
    const body = await readJson(request);
    if (request.method !== 'POST' || request.url !== '/authorize' || body.action === undefined) {
      response.writeHead(404).end();
      return;
    }
    const text = JSON.stringify(reply);
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    response.end(text);
  });
}

function koa() {
  const router = new Router();
  router.post('/authorize', async (ctx) => {
    const body = await readJson(ctx.req);
    if (body.action !== undefined) ctx.body = reply;
  });
  const app = new Koa();
  app.use(router.routes());
  return createServer(app.callback());
}

/** Takes each chunk for a whole request: the generator writes one at once, and waits. */
function socket() {
  const body = JSON.stringify(reply);
  const text = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return createSocketServer({ noDelay: true }, (connection) => {
    connection.on('data', () => connection.write(text));
    connection.on('error', () => connection.destroy());
  });
}

const servers = { koa, raw, socket };
const server = servers[/** @type {keyof typeof servers} */ (process.argv[2] ?? 'koa')]();
server.listen(0, '127.0.0.1', () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.stdout.write(`port ${port}\n`);
});
// So that a profile of it is written.
process.on('SIGTERM', () => process.exit(0));
