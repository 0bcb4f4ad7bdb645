/**
 * A service in Fastify that asks iqra-authz before its handlers. In a checkout, beside `make run`:
 * `AUTHZ_TOKEN=iqra_svc_... node examples/fastify/server.js`, then `curl -H 'Authorization: Token iqra_...' 127.0.0.1:3000/businesses/bakery/calls`
 */

import { createClient } from '@iqra/authz';
import { fastifyAuthz } from '@iqra/authz/fastify';
import fastify from 'fastify';

const { AUTHZ_URL = 'http://127.0.0.1:8080', AUTHZ_TOKEN, AUTHZ_DEADLINE_MS = '500', PORT = '3000' } = process.env;
const authz = fastifyAuthz(createClient({ url: AUTHZ_URL, token: AUTHZ_TOKEN, deadlineMs: Number(AUTHZ_DEADLINE_MS) }));

const app = fastify();
await app.register(authz.plugin);
app.get('/health', authz.public(), () => ({ up: true }));
app.get(
  '/businesses/:business/calls',
  authz.check({ action: 'call:read', business: 'business' }),
  ({ authz: decision }) => ({ calls: [], askedBy: decision.Data.apiKeyId }),
);

console.log(await app.listen({ port: Number(PORT), host: '127.0.0.1' }));
