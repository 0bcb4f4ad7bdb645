/**
 * Auditors at their worst: exports, timelines, and counts and searches that no index serves, all at once and again and again. How long
 * meanwhile until a key that is revoked is dead in another replica, and how long do decisions take there?
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateDays } from '../audit/generate.ts';
import type { ServerProcess } from './processes.ts';
import { type Bench, median } from './report.ts';
import { type Filling, withWorld } from './world.ts';

const FULL = { revocations: 100, perDay: 50_000 };
const SHORT = { revocations: 20, perDay: 5000 };
const DAYS = 10;
/** What is promised of a revocation, from the request for it to the last allow elsewhere, while auditors read. */
const MOST_MS = 100;
const PAUSE_MS = 20;

/** Registered as the section `auditors`. */
export const benchAuditors = (bench: Bench): Promise<void> =>
  withWorld(bench, async (world) => {
    const { revocations, perDay } = bench.short ? SHORT : FULL;
    const filling = await world.database('auditors', 1000);
    bench.progress(`making ${DAYS * perDay} decisions`);
    await generateDays(filling.db, new Date(), DAYS, perDay);
    const token = randomBytes(16).toString('hex');
    const [here, there] = [
      await world.service(filling, { BOOTSTRAP_TOKEN: token }),
      await world.service(filling, { BOOTSTRAP_TOKEN: token }),
    ];
    const calm = await revoke(here, there, filling, token, revocations);
    const readers = startAuditors([here, there], token);
    await sleep(2000);
    const busy = await revoke(here, there, filling, token, revocations);
    const read = await readers.stop();
    for (const [when, times] of [
      ['in calm', calm],
      ['while auditors read', busy],
    ] as const) {
      const sorted = times.toSorted((a, b) => a - b);
      bench.figure({
        name: `revocation to the last allow elsewhere, ${when}: median`,
        value: median(sorted),
        unit: 'ms',
      });
      bench.figure({
        name: `revocation to the last allow elsewhere, ${when}: the slowest of ${revocations}`,
        value: sorted.at(-1) ?? Number.NaN,
        unit: 'ms',
        want: { atMost: MOST_MS },
      });
    }
    bench.figure({ name: 'answers to auditors meanwhile', value: read.answers, unit: '' });
    bench.figure({ name: 'of these, other than 200 and 429', value: read.failed, unit: '', want: { atMost: 0 } });
    bench.figure({ name: 'sent to auditors meanwhile', value: read.bytes / 1e6, unit: 'MB' });
  });

/** Milliseconds from the request to revoke each of so many keys to the end of the last answer elsewhere that allows it. */
async function revoke(
  here: ServerProcess,
  there: ServerProcess,
  { db }: Filling,
  token: string,
  count: number,
): Promise<number[]> {
  const { user_id: userId, business_id: businessId } = await db('business_members').first('user_id', 'business_id');
  const call = async (server: ServerProcess, path: string, body: object) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const reply = await fetch(`http://127.0.0.1:${server.port}${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return (await reply.json()) as { Code: string; Data: { apiKey: string; key: { id: string } } };
  };
  const times: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const { Data } = await call(here, '/keys', {
      userId,
      friendlyName: 'short-lived',
      allowUserManagementApiRequests: false,
    });
    const ask = (): Promise<{ Code: string }> =>
      call(there, '/authorize', { apiKey: Data.apiKey, action: 'call:create', businessId });
    while ((await ask()).Code !== 'OK');
    const began = performance.now();
    let allowed = began;
    const revoked = call(here, `/keys/${Data.key.id}/revoke`, {});
    while ((await ask()).Code === 'OK') allowed = performance.now();
    if ((await revoked).Code !== 'OK') throw new Error('a key could not be revoked');
    times.push(allowed - began);
    await sleep(PAUSE_MS);
  }
  return times;
}

const WORST = [
  '/audit/export?from=2000-01-01',
  '/audit/export?from=2000-01-01&format=csv&not=code=OK',
  '/audit/timeline?userId=hot&from=2000-01-01',
  '/audit/timeline?businessId=hot&from=2000-01-01',
  '/audit/stats?by=network,userAgent&from=2000-01-01',
  '/audit/stats?by=hourOfDay,ip&from=2000-01-01',
  '/audit/decisions?userAgent=no-such-agent&from=2000-01-01',
  '/audit/decisions?ip=192.0.2.0/24&from=2000-01-01',
];

/** Two of each kind, one on each replica, for as long as nobody stops them. */
function startAuditors(servers: readonly ServerProcess[], token: string) {
  const sums = { answers: 0, failed: 0, bytes: 0 };
  const stopping = new AbortController();
  const read = async (address: string): Promise<void> => {
    const reply = await fetch(address, { headers: { authorization: `Bearer ${token}` }, signal: stopping.signal });
    if (![200, 429].includes(reply.status)) sums.failed += 1;
    for await (const chunk of reply.body as unknown as AsyncIterable<Uint8Array>) sums.bytes += chunk.length;
    sums.answers += 1;
    if (reply.status === 429) await sleep(100);
  };
  const auditors = servers.flatMap(({ port }) =>
    WORST.map(async (path) => {
      while (!stopping.signal.aborted)
        await read(`http://127.0.0.1:${port}${path}`).catch((error: unknown) => {
          if (!stopping.signal.aborted) throw error;
        });
    }),
  );
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all(auditors);
      return sums;
    },
  };
}
