/** Shutdown while the database does not answer, and memory use while it is down for long. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { createRecorder } from '../../src/audit/record/recorder.ts';
import { authorizer, promised } from '../../src/authorize.ts';
import { loadConfig } from '../../src/config.ts';
import { createToken } from '../../src/credentials/token.ts';
import { createBreaker } from '../../src/db/breaker.ts';
import { connect } from '../../src/db/connect.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { createCache } from '../../src/facts/cache.ts';
import { createFreshness } from '../../src/facts/freshness.ts';
import { factsLoader, type Known } from '../../src/facts/load.ts';
import { createLimits } from '../../src/limits/limits.ts';
import { createLog } from '../../src/log.ts';
import { loadPolicy } from '../../src/rollout/folder.ts';
import { outputWith, startAuthz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';
import { startProxy, type Proxy as TcpProxy } from '../support/proxy.ts';
import { UNLIMITED } from '../support/service.ts';

/** Ends what hangs: a process that waits for its database would for ever. */
const HANGS_MS = 60_000;
const TOKEN = 'token'.repeat(7);

describe('a process whose database', () => {
  const started: { readonly child: ChildProcess; readonly proxy: TcpProxy }[] = [];
  let url: string;

  before(async () => {
    url = await newDatabase();
  });
  afterEach(async () => {
    for (const { child, proxy } of started.splice(0)) {
      child.kill('SIGKILL');
      await proxy.close();
    }
  });

  /** Resolves once the process has ended: its exit code, and the answers to accepted requests. */
  async function end(begin: (proxy: TcpProxy) => unknown) {
    const proxy = await startProxy(url);
    const child = startAuthz(['serve'], {
      DATABASE_URL: proxy.url,
      KEY_PEPPERS: `test:${Buffer.alloc(32).toString('base64')}`,
      BOOTSTRAP_TOKEN: TOKEN,
      PORT: '0',
    });
    started.push({ child, proxy });
    const [, address = ''] = /"address":"([^"]+)"/.exec(await outputWith(child, 'listening')) ?? [];
    const ask = async (): Promise<number> => {
      const response = await fetch(`${address}/authorize`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ apiKey: createToken('apiKey'), action: 'account:read' }),
      });
      return response.status;
    };
    // Several, so that some connections are idle when two more requests are accepted.
    await Promise.all(Array.from({ length: 10 }, ask));
    await begin(proxy);
    const accepted = Promise.all([ask(), ask()]);
    // Far longer than accepting them takes.
    await sleep(400);
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(HANGS_MS) });
    return { code, statuses: await accepted };
  }

  it('hangs, or is down, fails accepted requests and exits all the same', async () => {
    const ends = await Promise.all([end((proxy) => proxy.swallow()), end((proxy) => proxy.refuse())]);
    for (const { code, statuses } of ends) {
      expect(code).to.equal(0);
      for (const status of statuses) expect(status).to.be.oneOf([503, 504]);
    }
  });
});

describe('20000 questions beside a dead database', () => {
  it('leak no memory', async () => {
    setFlagsFromString('--expose_gc');
    const collect = runInNewContext('gc') as () => void;
    const db = connect({ url: 'postgres://nobody:none@127.0.0.1:1/none', poolSize: 20, limitMs: 25 });
    const policy = await loadPolicy(loadConfig({}).POLICY_DIR);
    const pepper = { id: 'test', secret: Buffer.alloc(32) };
    const { enqueue } = createRecorder(db, createLog('silent'));
    const fingerprintOf = (): string => '';
    const { consume } = await createLimits({ fallback: UNLIMITED, redis: undefined }, createLog('silent'));
    const noteUse = (): void => undefined;
    const cache = createCache<Known>(createFreshness(), { count: 10, bytes: 2 ** 20 });
    const parts = {
      loadNamed: async () => [],
      consume,
      moments: { momentFor: Date.now },
      freezes: { current: () => () => undefined },
      livePolicy: () => policy,
      compare: () => undefined,
      enqueue,
      fingerprintOf,
      noteUse,
      noteUnregistered: () => undefined,
    };
    const guarded = promised(authorizer({ ...parts, loadFacts: factsLoader(db, [pepper], createBreaker(), cache) }));
    const unguarded = promised(authorizer({ ...parts, loadFacts: factsLoader(db, [pepper], (read) => read(), cache) }));
    // The first kind fails at the breaker, the second at the pool, the third, which needs no facts, at the log.
    const ways = [
      [guarded, createToken('apiKey')],
      [unguarded, createToken('apiKey')],
      [unguarded, 'junk'],
    ] as const;
    const askAll = async (): Promise<void> => {
      const asked = Array.from({ length: 2000 }, (_, index) => {
        const [authorize, apiKey] = ways[index % ways.length] as (typeof ways)[number];
        const question = { apiKey, action: 'account:read', businessId: undefined, context: {} };
        return authorize('caller', [question], deadlineIn(25)).then(
          () => 'answered',
          () => 'failed',
        );
      });
      expect(new Set(await Promise.all(asked))).to.deep.equal(new Set(['failed']));
    };
    const kept = async (times: number): Promise<number> => {
      for (let time = 0; time < times; time++) await askAll();
      // The pool drops its pending acquires a little after the questions have failed: wait for that.
      await sleep(500);
      collect();
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = await kept(2);
    const grown = (await kept(10)) - before;
    await db.destroy();
    console.log(`      ${(grown / 20_000).toFixed(1)} bytes a question`);
    expect(grown / 20_000, 'bytes a question').to.be.below(100);
  });
});
