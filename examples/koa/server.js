/**
 * A service in Koa that asks iqra-authz before its handlers. In a checkout, beside `make run`:
 * `AUTHZ_TOKEN=iqra_svc_... node examples/koa/server.js`, then `curl -H 'Authorization: Token iqra_...' 127.0.0.1:3000/businesses/bakery/calls`
 */

import { createClient } from '@iqra/authz';
import { koaAuthz } from '@iqra/authz/koa';
import Router from '@koa/router';
import Koa from 'koa';

const { AUTHZ_URL = 'http://127.0.0.1:8080', AUTHZ_TOKEN, AUTHZ_DEADLINE_MS = '500', PORT = '3000' } = process.env;
const authz = koaAuthz(createClient({ url: AUTHZ_URL, token: AUTHZ_TOKEN, deadlineMs: Number(AUTHZ_DEADLINE_MS) }));

const router = new Router();
router.get('/health', authz.public(), (ctx) => {
  ctx.body = { up: true };
});
router.get('/businesses/:business/calls', authz.check({ action: 'call:read', business: 'business' }), (ctx) => {
  ctx.body = { calls: [], askedBy: ctx.state.authz.Data.apiKeyId };
});

const app = new Koa();
app.use(authz.seal(router).routes());
const server = app.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
