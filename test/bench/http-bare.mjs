/**
 * What ours is compared with: `raw`, a bare node:http server, and `koa`, a bare Koa with @koa/router. Each reads the same
 * body with JSON.parse and answers with the reply in the environment variable REPLY, and does nothing else.
 * JavaScript, as the service is when it is built: what runs TypeScript as it stands adds calls of its own.
 */

import { createServer } from 'node:http';
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

const server = process.argv[2] === 'raw' ? raw() : koa();
server.listen(0, '127.0.0.1', () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.stdout.write(`port ${port}\n`);
});
// So that a profile of it is written.
process.on('SIGTERM', () => process.exit(0));
