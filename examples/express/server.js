/**
 * A service in Express that asks iqra-authz before its handlers. In a checkout, beside `make run`:
 * `AUTHZ_TOKEN=iqra_svc_... node examples/express/server.js`, then `curl -H 'Authorization: Token iqra_...' 127.0.0.1:3000/businesses/bakery/calls`
 */

import { createClient } from '@iqra/authz';
import { expressAuthz } from '@iqra/authz/express';
import express from 'express';

const { AUTHZ_URL = 'http://127.0.0.1:8080', AUTHZ_TOKEN, AUTHZ_DEADLINE_MS = '500', PORT = '3000' } = process.env;
const authz = expressAuthz(createClient({ url: AUTHZ_URL, token: AUTHZ_TOKEN, deadlineMs: Number(AUTHZ_DEADLINE_MS) }));

const app = express();
app.get('/health', authz.public(), (_req, res) => res.json({ up: true }));
app.get('/businesses/:business/calls', authz.check({ action: 'call:read', business: 'business' }), (req, res) => {
  res.json({ calls: [], askedBy: req.authz.Data.apiKeyId });
});

const server = authz
  .seal(app)
  .listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
