/** Several processes on one Redis: together they allow exactly the limit, and each at most the limit while Redis is unavailable. */

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import {
  eventually,
  killProcesses,
  type Served,
  type ServiceProcess,
  serve,
  settingsOf,
  startProcess,
} from '../http/process.ts';
import { newDatabase } from '../support/postgres.ts';
import { describeWithRedis, type RedisServer, startRedis } from '../support/redis.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const LIMIT = { rate_limit_requests: 100, rate_limit_window_seconds: 3600 };
const PROCESSES = 3;
const BACK = 'Redis counts rate limits';

describeWithRedis('three processes on one Redis', function () {
  this.timeout(60_000);
  const password = randomBytes(12).toString('hex');
  let redis: RedisServer;
  let service: TestService;
  let url: string;
  let processes: ServiceProcess[];

  before(async () => {
    redis = await startRedis(password);
    url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    await service.db('users').insert({ id: 'ann' });
    processes = await Promise.all(Array.from({ length: PROCESSES }, () => startProcess(settings(redis.url))));
  });
  after(async () => {
    killProcesses();
    await service?.close();
    await redis?.close();
  });

  const settings = (redisUrl: string, more: Record<string, string> = {}): Record<string, string> => ({
    ...settingsOf(service, url),
    LOG_LEVEL: 'trace',
    // A busy machine is not to be taken for a fault.
    DECISION_DEADLINE_MS: '20000',
    REDIS_TIMEOUT_MS: '2000',
    DATABASE_POOL: '5',
    REDIS_URL: redisUrl,
    ...more,
  });
  const ask = async ({ address }: Pick<Served, 'address'>, apiKey: string): Promise<string> => {
    const response = await fetch(`${address}/authorize`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ apiKey, action: 'account:read' }),
    });
    return ((await response.json()) as { Code: string }).Code;
  };
  const processAt = (index: number): ServiceProcess => processes[index % PROCESSES] as ServiceProcess;
  const askAll = (apiKey: string, times: number): Promise<string[]> =>
    Promise.all(Array.from({ length: times }, (_, index) => ask(processAt(index), apiKey)));
  const ok = (codes: readonly string[]): number => codes.filter((code) => code === 'OK').length;
  const returns = ({ log }: ServiceProcess): number => log().split(BACK).length - 1;

  it('let exactly 100 of 250 parallel requests through, all together', async () => {
    const codes = await askAll(await insertKey(service, { user_id: 'ann', ...LIMIT }), 250);
    expect([ok(codes), codes.filter((code) => code === 'RATE_LIMITED').length]).to.deep.equal([100, 150]);
  });

  for (const [fault, mended] of [
    ['SIGKILL', () => redis.restart()],
    ['SIGSTOP', () => redis.signal('SIGCONT')],
  ] as const) {
    it(`answer every question at a ${fault} in the middle, let each at most the limit through, and then use it again`, async () => {
      const limit = 30;
      const apiKey = await insertKey(service, { user_id: 'ann', ...LIMIT, rate_limit_requests: limit });
      const codes: string[] = [];
      let mending: unknown;
      const before = processes.map(returns);
      const clients = Array.from({ length: 12 }, async (_, client) => {
        while (codes.length < 400) {
          codes.push(await ask(processAt(client), apiKey));
          if (codes.length === 15) await (fault === 'SIGKILL' ? redis.kill() : redis.signal(fault));
          if (codes.length === 300) mending = mended();
        }
      });
      await Promise.all(clients);
      await mending;
      expect([...new Set(codes)]).to.have.members(['OK', 'RATE_LIMITED']);
      expect(ok(codes)).to.be.within(limit, PROCESSES * limit);

      await eventually(() => processes.every((each, index) => returns(each) > (before[index] ?? 0)));
      expect(ok(await askAll(apiKey, 30))).to.equal(0);
      const next = await insertKey(service, { user_id: 'ann', ...LIMIT, rate_limit_requests: limit });
      expect(ok(await askAll(next, 3 * limit))).to.equal(limit);
    });
  }

  it('end in time while it hangs', async () => {
    const ending = await serve(settings(redis.url, { SHUTDOWN_LIMIT_MS: '5000' }));
    redis.signal('SIGSTOP');
    ending.stop();
    expect(await ending.exit).to.equal(0);
    redis.signal('SIGCONT');
  });

  it('start with a wrong password, count alone, and say why; no password is ever logged', async () => {
    const wrong = randomBytes(12).toString('hex');
    const refused = await serve(settings(redis.url.replace(password, wrong)));
    const apiKey = await insertKey(service, { user_id: 'ann', ...LIMIT });
    expect(ok(await Promise.all(Array.from({ length: 120 }, () => ask(refused, apiKey))))).to.equal(100);
    expect(refused.log()).to.include('Redis cannot be used').and.include('WRONGPASS');
    refused.stop();
    await refused.exit;
    for (const each of [refused, ...processes]) {
      expect(each.log()).to.not.include(password);
      expect(each.log()).to.not.include(wrong);
    }
  });
});
