/** Provokes each failure code: status, shape and headers of the answer, which shows no internal error. */

import { expect } from 'chai';
import { loadConfig } from '../../src/config.ts';
import { FAILURES, type FailureCode } from '../../src/errors.ts';
import { listen } from '../../src/http/server.ts';
import { createLog } from '../../src/log.ts';
import type { Service } from '../../src/service.ts';
import { metricsOfNothing } from '../support/metrics.ts';
import { newDatabase } from '../support/postgres.ts';
import { startProxy } from '../support/proxy.ts';
import { insertCaller, type Reply, startService, type TestService } from '../support/service.ts';
import { askRaw, countDecisions, expectFailure } from './wire.ts';

const QUESTION = { apiKey: 'junk', action: 'account:read' };

/** Tested with the keys: no request of this file can provoke them. */
const OUT_OF_REACH: readonly FailureCode[] = ['CONFLICT', 'PRECONDITION_FAILED'];

describe('the failure', () => {
  let service: TestService;
  let proxy: Awaited<ReturnType<typeof startProxy>>;

  before(async () => {
    proxy = await startProxy(await newDatabase());
    service = await startService({ DATABASE_URL: proxy.url, DECISION_DEADLINE_MS: '1000' });
  });
  after(async () => {
    await service?.close();
    await proxy?.close();
  });

  const PROVOKED: Partial<Record<FailureCode, () => Promise<Reply>>> = {
    INVALID_REQUEST: () => service.ask('/authorize', {}),
    UNAUTHENTICATED: () => service.ask('/authorize', QUESTION, { authorization: 'Bearer junk' }),
    FORBIDDEN: async () =>
      service.ask('/authorize', QUESTION, { authorization: `Bearer ${await insertCaller(service, ['audit'])}` }),
    TOO_MANY_REQUESTS: async () => {
      const other = await startService({ FAILED_AUTHENTICATION_LIMIT: '1/60' });
      const junk = () => other.ask('/authorize', QUESTION, { authorization: 'Bearer junk' });
      try {
        await junk();
        return await junk();
      } finally {
        await other.close();
      }
    },
    NOT_FOUND: () => service.ask('/nowhere', QUESTION),
    METHOD_NOT_ALLOWED: () => service.ask('/authorize'),
    PAYLOAD_TOO_LARGE: () => service.ask('/authorize', ' '.repeat(20_000)),
    UNSUPPORTED_MEDIA_TYPE: () => service.ask('/authorize', QUESTION, { 'content-type': 'text/plain' }),
    // While the caller is looked up, so that there is no decision yet which could still be recorded.
    DEADLINE_EXCEEDED: async () => {
      const authorization = `Bearer ${await insertCaller(service, ['authorize'])}`;
      const lock = await service.db.transaction();
      await lock.raw('lock table callers in access exclusive mode');
      try {
        return await service.ask('/authorize', QUESTION, { authorization });
      } finally {
        await lock.rollback();
      }
    },
    UNAVAILABLE: async () => {
      await proxy.refuse();
      try {
        return await service.ask('/authorize', QUESTION);
      } finally {
        await proxy.heal();
      }
    },
    INTERNAL: async () => {
      const broken = {
        config: loadConfig({ PORT: '0' }),
        log: createLog('silent'),
        metrics: metricsOfNothing(),
        outdated: () => false,
        findCaller: { known: () => ({ id: 'x', scopes: new Set(['authorize']) }) },
        authorizeThen: () => {
          throw Object.assign(new Error('a defect near the secret'), {
            status: 418,
            expose: true,
            code: 'UNAVAILABLE',
          });
        },
      } as unknown as Service;
      const server = await listen(broken);
      try {
        const headers = [
          ['Authorization', 'Bearer x'],
          ['Content-Type', 'application/json'],
        ] as const;
        return await askRaw(server.address, 'POST /authorize', headers, JSON.stringify(QUESTION));
      } finally {
        await server.close();
      }
    },
  };

  for (const [code, provoke] of Object.entries(PROVOKED) as [FailureCode, () => Promise<Reply>][]) {
    it(`${code} is HTTP ${FAILURES[code].status}, says what to do, and leaves no record`, async () => {
      const before = await countDecisions(service);
      const reply = await provoke();
      expectFailure(reply, code, [service.token, 'secret', 'junk', 'insert', 'decisions', 'node_modules']);
      const waits = { UNAVAILABLE: /^1$/, TOO_MANY_REQUESTS: /^(?:\d|[1-5]\d|60)$/ }[code as string] ?? /^none$/;
      expect(reply.headers.get('retry-after') ?? 'none').to.match(waits);
      expect(reply.headers.get('www-authenticate')).to.equal(code === 'UNAUTHENTICATED' ? 'Bearer' : null);
      expect(reply.headers.get('allow')).to.equal(code === 'METHOD_NOT_ALLOWED' ? 'POST' : null);
      expect(reply.headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
      expect(await countDecisions(service)).to.equal(before);
    });
  }

  it('is one of those above, whichever it is', () => {
    expect([...Object.keys(PROVOKED), ...OUT_OF_REACH]).to.have.members(Object.keys(FAILURES));
  });
});
