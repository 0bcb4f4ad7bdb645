/**
 * Generated requests, the same bytes to both ways: one service answers plain questions past Koa, the other sends all through Koa. Byte for
 * byte the same comes back, but for ids and times, the same is recorded, and the same is counted. FC_SEED repeats a run; FC_RUNS lengthens it.
 */

import { randomBytes } from 'node:crypto';
import { appendFile, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { loadConfig } from '../../src/config.ts';
import { MOST_UNANSWERED } from '../../src/http/connections.ts';
import { amount } from '../support/long.ts';
import { metricsOf } from '../support/metrics.ts';
import { newDatabase } from '../support/postgres.ts';
import { type Proxy as DatabaseProxy, startProxy } from '../support/proxy.ts';
import { REDIS, type RedisServer, startRedis } from '../support/redis.ts';
import { insertCaller, insertKey, startService, type TestService } from '../support/service.ts';
import { chunked, dial } from './wire.ts';

const SEED = Number(process.env['FC_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const RUNS = amount(30, 60) * Number(process.env['FC_RUNS'] ?? 1);
const TABLES = ['users', 'businesses', 'business_members', 'api_keys', 'api_key_businesses', 'callers'];
const BOOTSTRAP = 'a-bootstrap-token-of-both-services';

/** A service whose questions all go one way. Both hold the same rows. */
interface Way {
  readonly service: TestService;
  readonly database: DatabaseProxy;
}

interface World {
  readonly ways: readonly [Way, Way];
  /** Callers by what they are. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly keys: Readonly<Record<string, string>>;
  readonly policies: string;
  readonly close: () => Promise<void>;
}

async function start(redis: RedisServer | undefined): Promise<World> {
  const policies = await mkdtemp(path.join(tmpdir(), 'authz-ways-'));
  await cp(loadConfig({}).POLICY_DIR, policies, { recursive: true });
  const pepper = `test:${randomBytes(32).toString('base64')}`;
  const wayOf = async (fastPath: string, number: number): Promise<Way> => {
    const database = await startProxy(await newDatabase());
    const service = await startService({
      DATABASE_URL: database.url,
      KEY_PEPPERS: pepper,
      BOOTSTRAP_TOKEN: BOOTSTRAP,
      FAST_PATH: fastPath,
      POLICY_DIR: policies,
      POLICY_SETTLE_MS: '50',
      RATE_LIMIT: '60/86400',
      FAILED_AUTHENTICATION_LIMIT: '40/86400',
      ...(redis && { REDIS_URL: `${redis.url}/${number}`, REDIS_TIMEOUT_MS: '5000' }),
    });
    return { service, database };
  };
  const ways = [await wayOf('on', 0), await wayOf('off', 1)] as const;
  const [{ service }, other] = ways;
  const { db } = service;
  await db('users').insert([{ id: 'ann' }, { id: 'leaver', disabled_at: new Date(), disabled_reason: 'a "reason" ä' }]);
  await db('businesses').insert([{ id: 'bakery' }, { id: 'garage', disabled_at: new Date() }]);
  const members = ['bakery', 'garage'].map((id) => ({ business_id: id, user_id: 'ann', role: 'owner' }));
  await db('business_members').insert(members);
  const unlimited = { rate_limit_requests: 1_000_000, rate_limit_window_seconds: 86_400 };
  const keys = {
    live: await insertKey(service, { id: 'live', user_id: 'ann', ...unlimited }),
    limited: await insertKey(service, { id: 'limited', user_id: 'ann' }),
    restricted: await insertKey(service, { id: 'restricted', user_id: 'ann', ...unlimited }, ['bakery']),
    revoked: await insertKey(service, { id: 'revoked', user_id: 'ann', revoked_at: new Date() }),
    'of a leaver': await insertKey(service, { id: 'leaving', user_id: 'leaver' }),
  };
  const tokens = {
    asking: await insertCaller(service, ['authorize']),
    'without the scope': await insertCaller(service, ['keys']),
    'bound to a business': await insertCaller(service, ['authorize'], { bound_businesses: ['bakery'] }),
    'bound to a user': await insertCaller(service, ['authorize'], { bound_users: ['ann'] }),
    revoked: await insertCaller(service, ['authorize'], { revoked_at: new Date() }),
  };
  for (const table of TABLES) {
    const rows = await db(table).select();
    await other.service.db(table).delete();
    if (rows.length > 0) await other.service.db(table).insert(rows.map(asInserted));
  }
  // Whatever was read while the rows were made is read again.
  for (const way of ways) await way.service.db.raw(`select authz_change('*', '')`).catch(() => undefined);
  await sleep(1200);
  const close = async (): Promise<void> => {
    for (const way of ways) {
      await way.service.close();
      await way.database.close();
    }
    await rm(policies, { recursive: true, force: true });
  };
  return { ways, tokens, keys, policies, close };
}

/** Without what the database makes itself. */
const asInserted = (row: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      Array.isArray(value) || value instanceof Date || Buffer.isBuffer(value) || typeof value !== 'object'
        ? value
        : value && JSON.stringify(value),
    ]),
  );

/** The first of them far more often than the others, so that most requests are odd in one or two things, and many in none. */
const mostly = <T>(first: T, ...others: readonly T[]) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(first) }, { weight: 1, arbitrary: fc.constantFrom(first, ...others) });

type Line = readonly [name: string, value: string];

function requestsOf({ tokens, keys }: World) {
  const key = fc.constantFrom(...Object.values(keys), 'junk', 'iqra_0');
  const question = fc.record(
    {
      authorization: key.map((text) => `Token ${text}`),
      action: mostly('call:create', 'account:read', 'user:create', 'Call:Create'),
      businessId: fc.oneof(
        fc.constantFrom('bakery', 'bakery', 'garage'),
        mostly<unknown>('bakery', 'nowhere', null, 42, '.', 'x'.repeat(65)),
      ),
      context: mostly<unknown>(
        { ip: '203.0.113.7', userAgent: 'curl/8 ä', requestId: 'r-1' },
        {},
        { ip: 'nowhere' },
        { userAgent: `see ${keys['live']}` },
        { attributes: { soft: true } },
      ),
    },
    { requiredKeys: ['authorization', 'action'] },
  );
  const text = fc.oneof(
    { weight: 12, arbitrary: question.map((one) => JSON.stringify(one)) },
    {
      weight: 3,
      arbitrary: fc.array(question, { maxLength: 4 }).map((requests) => JSON.stringify({ requests })),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        '',
        '{}',
        '[]',
        '{"requests":[]}',
        '\ufeff{}',
        '{"action":"a:b","action":"a:b"}',
        '{"action":"a:\\u0000"}',
        '{"action":"\\ud800"}',
        '{"action":1.5}',
        `{"x":${'['.repeat(12)}${']'.repeat(12)}}`,
        '{"apiKey":"\\u0069qra_x","action":"account:read"}',
      ),
    },
    { weight: 1, arbitrary: question.map((one) => JSON.stringify(one).padEnd(17_000)) },
  );
  const body = fc.oneof(
    { weight: 12, arbitrary: text.map((one) => Buffer.from(one)) },
    { weight: 1, arbitrary: fc.constant(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])) },
  );
  const bearers = Object.values(tokens).map((token) => `Bearer ${token}`);
  const authorization = mostly<string | undefined>(
    bearers[0],
    ...bearers,
    undefined,
    `bearer ${tokens['asking']}`,
    `Bearer  ${tokens['asking']}`,
    `Bearer ${BOOTSTRAP}`,
    'Basic eDp5',
    'Bearer junk',
  );
  const maybe = (name: string, ...values: readonly string[]) =>
    mostly<readonly Line[]>([], ...values.map((value): readonly Line[] => [[name, value]]));
  const extra = fc.tuple(
    maybe('X-Request-Id', 'mine-1', 'not plain', 'x'.repeat(200), String(keys['live']), `a-${keys['live']?.slice(5)}`),
    maybe('traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
    maybe('Content-Encoding', 'gzip', 'identity', ''),
    maybe('Expect', '100-continue', 'the unexpected'),
    maybe('Accept', 'text/html'),
    maybe('Connection', 'keep-alive', 'close', 'Keep-Alive, X-Request-Id'),
    maybe('Host', 'twice'),
    maybe('Content-Type', 'application/json'),
    maybe('X-Forwarded-For', '192.0.2.1'),
    maybe('Upgrade', 'h2c'),
  );
  const type = mostly<string | undefined>(
    'application/json',
    'application/json; charset=utf-8',
    'APPLICATION/JSON;charset="UTF-8"',
    'application/json; charset=latin1',
    'text/plain',
    undefined,
  );
  return fc
    .record({
      method: mostly('POST', 'GET', 'HEAD', 'OPTIONS', 'PUT', 'PURGE'),
      address: mostly(
        '/authorize',
        '/authorize/batch',
        '/authorize/batch',
        '/authorize?x=1',
        '/authorize/',
        '/AUTHORIZE',
        'http://test/authorize',
        '/authorize#',
        '//authorize',
      ),
      version: mostly('1.1', '1.0'),
      authorization,
      type,
      extra,
      body,
      framing: mostly('length', 'chunks', 'both', 'none', 'longer', 'shorter', 'twice', 'words'),
    })
    .map(bytesOf);
}

function bytesOf(of: {
  readonly method: string;
  readonly address: string;
  readonly version: string;
  readonly authorization: string | undefined;
  readonly type: string | undefined;
  readonly extra: readonly (readonly Line[])[];
  readonly body: Buffer;
  readonly framing: string;
}): Buffer {
  const length = (bytes: number): Line => ['Content-Length', String(Math.max(0, bytes))];
  const chunks: Line = ['Transfer-Encoding', 'chunked'];
  const { length: size } = of.body;
  const framing: Readonly<Record<string, readonly Line[]>> = {
    length: [length(size)],
    chunks: [chunks],
    both: [length(size), chunks],
    none: [],
    longer: [length(size + 5)],
    shorter: [length(size - 5)],
    twice: [length(size), length(size)],
    words: [['Content-Length', '+1']],
  };
  const lines: readonly Line[] = [
    ['Host', 'test'],
    ...(of.authorization === undefined ? [] : [['Authorization', of.authorization] as const]),
    ...(of.type === undefined ? [] : [['Content-Type', of.type] as const]),
    ...of.extra.flat(),
    ...(framing[of.framing] ?? []),
  ];
  const head = [`${of.method} ${of.address} HTTP/${of.version}`, ...lines.map((line) => line.join(': '))];
  const isChunked = of.framing === 'chunks' || of.framing === 'both';
  return Buffer.concat([
    Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'),
    isChunked ? chunked(of.body, 100) : of.body,
  ]);
}

/** What a client does over one connection. */
interface Script {
  readonly requests: readonly Buffer[];
  /** Where the bytes are cut, as shares of them; undefined: they are sent as one. */
  readonly cuts: readonly number[];
  readonly end: 'whole' | 'half-closed' | 'gone';
}

const LAST = Buffer.from('GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n');

/** Far longer than an answer takes, also of a database that has just come back. */
const QUIET_MS = 2000;

/** What comes back, without ids and times. */
async function run(address: string, { requests, cuts, end }: Script): Promise<string> {
  const wire = await dial(address);
  const bytes = Buffer.concat(end === 'whole' ? [...requests, LAST] : requests);
  const places = [0, ...cuts.map((share) => Math.floor(share * bytes.length)), bytes.length].sort((a, b) => a - b);
  for (const [index, from] of places.slice(0, -1).entries()) {
    wire.send(bytes.subarray(from, places[index + 1]));
    // One after the other at the other end, too, as far as that can be had.
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
  }
  if (end === 'gone') {
    await sleep(200);
    wire.socket.destroy();
    return '';
  }
  if (end === 'half-closed') wire.socket.end();
  // What waits for the rest of a body keeps quiet, and is answered once there is none.
  const closed = new Promise<boolean>((resolve) => wire.socket.once('close', () => resolve(true)));
  for (let length = -1; wire.text().length > length; ) {
    length = wire.text().length;
    if (await Promise.race([closed, sleep(QUIET_MS, false)])) break;
  }
  wire.socket.end();
  await Promise.race([closed, sleep(QUIET_MS)]);
  wire.socket.destroy();
  return withoutVariables(wire.text());
}

const withoutVariables = (text: string): string =>
  text
    .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/^Date: .*/gm, 'Date: <date>')
    .replace(/^Retry-After: \d+/gm, 'Retry-After: <seconds>')
    .replace(/"(resetSeconds|retryAfterSeconds)":\d+/g, '"$1":<number>')
    .replace(/^Content-Length: \d+/gm, 'Content-Length: <varies>')
    // By how often the breaker has been asked meanwhile.
    .replace(/"Code":"UNAVAILABLE","Message":"[^"]*"/g, '"Code":"UNAVAILABLE","Message":<varies>');

const COLUMNS =
  'caller_id, api_key_id, user_id, business_id, action, effect, code, rule, policy, facts, ip, user_agent, request_id, caller_request_id, trace_id, fingerprint, shadow_code';

async function recordsOf({ service }: Way): Promise<string[]> {
  const { rows } = await service.db.raw<{ rows: object[] }>(`select ${COLUMNS} from decisions`);
  return rows.map((row) => JSON.stringify(row)).sort();
}

async function countsOf({ service }: Way): Promise<Readonly<Record<string, number>>> {
  const { samples } = await metricsOf(service.address);
  const wanted =
    /^authz_(?:decisions_total|failures_total|answers_total|answer_seconds_count|log_entries_total|unregistered)/;
  return Object.fromEntries([...samples].filter(([series]) => wanted.test(series) && !series.includes('metrics')));
}

for (const counting of ['in memory', 'in Redis'] as const) {
  const suite = counting === 'in Redis' && REDIS === undefined ? describe.skip : describe;
  suite(`the same bytes to both ways, with limits ${counting} (FC_SEED=${SEED})`, function () {
    this.timeout(170_000 * Math.max(1, RUNS / 60));
    let redis: RedisServer | undefined;
    let world: World;

    before(async () => {
      redis = counting === 'in Redis' ? await startRedis() : undefined;
      world = await start(redis);
    });
    after(async () => {
      await world?.close();
      await redis?.close();
    });

    const plainly = (apiKey: string, businessId: string): Buffer =>
      bytesOf({
        method: 'POST',
        address: '/authorize',
        version: '1.1',
        authorization: `Bearer ${world.tokens['asking']}`,
        type: 'application/json',
        extra: [],
        body: Buffer.from(JSON.stringify({ apiKey, action: 'call:create', businessId })),
        framing: 'length',
      });

    const askBoth = async (script: Script): Promise<string> => {
      const [directly = '', throughKoa = ''] = await Promise.all(
        world.ways.map(({ service }) => run(service.address, script)),
      );
      // Node drops the answers that are due when it reads the end of a half-closed connection: which those are is a matter of time.
      const [shorter = '', longer = ''] = [directly, throughKoa].sort((a, b) => a.length - b.length);
      const comparable = script.end === 'half-closed' ? longer.slice(0, shorter.length) : longer;
      expect(shorter.split('\r\n')).to.deep.equal(comparable.split('\r\n'));
      return directly;
    };

    /** Each key on a business that is active, and on one that is not, nothing about it odd. */
    const askPlainly = (): Promise<string> => {
      const requests = Object.values(world.keys).flatMap((apiKey) =>
        ['bakery', 'garage'].map((businessId) => plainly(apiKey, businessId)),
      );
      return askBoth({ requests, cuts: [], end: 'whole' });
    };

    const compare = async (runs: number, salt: number): Promise<void> => {
      const scripts = fc.record({
        requests: fc.array(requestsOf(world), { minLength: 1, maxLength: 4 }),
        cuts: fc.oneof(fc.constant([]), fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 })),
        end: mostly<Script['end']>('whole', 'half-closed', 'gone'),
      });
      const property = fc.asyncProperty(scripts, async (script) => void (await askBoth(script)));
      await fc.assert(property, { seed: SEED + salt, numRuns: runs, endOnFailure: true });
    };

    /** In the end, since who is gone may have left a decision under way. */
    const expectAlike = async (
      of: readonly ((way: Way) => Promise<unknown>)[] = [recordsOf, countsOf],
    ): Promise<void> => {
      const both = () => Promise.all(world.ways.map((way) => Promise.all(of.map((read) => read(way)))));
      let [one, other] = await both();
      for (let tries = 0; tries < 50 && !isDeepStrictEqual(one, other); tries += 1) {
        await sleep(200);
        [one, other] = await both();
      }
      expect(one).to.deep.equal(other);
    };

    it('gets the same answers, records and counts', async () => {
      await askPlainly();
      await compare(RUNS, 0);
      await expectAlike();
      const records = (await recordsOf(world.ways[0])).join('\n');
      for (const code of ['OK', 'INVALID_API_KEY', 'USER_DISABLED', 'PERMISSION_DENIED', 'BUSINESS_DISABLED'])
        expect(records, code).to.include(`"code":"${code}"`);
    });

    if (counting === 'in Redis') return;

    it('gets no more than sixteen answers to what is sent at once', async () => {
      const requests = Array.from({ length: 40 }, () => plainly(String(world.keys['live']), 'bakery'));
      const text = await askBoth({ requests, cuts: [], end: 'whole' });
      expect(text.match(/"Code":"OK"/g)).to.have.length(MOST_UNANSWERED);
      await expectAlike();
    });

    it('gets the same under a freeze, and under another policy', async () => {
      const freeze = { action: 'call:*', businessId: 'bakery', forSeconds: 600, reason: 'Looked into "it".' };
      for (const { service } of world.ways) expect((await service.ask('/freezes', freeze)).status).to.equal(201);
      await appendFile(path.join(world.policies, '30-permission.csv'), '\n# Another policy.\n');
      const before = world.ways.map(({ service }) => service.service.live.policy().digest);
      await eventually(() =>
        world.ways.every(({ service }, index) => service.service.live.policy().digest !== before[index]),
      );
      await askPlainly();
      await compare(RUNS / 2, 1);
      await expectAlike();
      expect((await recordsOf(world.ways[0])).join('\n')).to.include('"code":"FROZEN"');
    });

    it('gets the same without the database, and once it is back', async () => {
      for (const { database } of world.ways) await database.refuse();
      // What is cached is no longer known to be current.
      await sleep(1500);
      await compare(RUNS / 2, 2);
      for (const { database } of world.ways) await database.heal();
      await eventually(async () => {
        const states = await Promise.all(world.ways.map(({ service }) => fetch(`${service.address}/readyz`)));
        return states.every(({ ok }) => ok);
      });
      await compare(RUNS / 2, 3);
      await expectAlike([recordsOf]);
    });
  });
}

async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(100);
}
