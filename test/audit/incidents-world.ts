/** Three days of a platform's ordinary questions with ten incidents among them, in a log that is chained and attested. */

import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { createCheckpoints } from '../../src/audit/checkpoint/loop.ts';
import { personalDigest } from '../../src/audit/format/record-hash.ts';
import { loadSigner, makeSigningKey } from '../../src/audit/format/signatures.ts';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { authz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';
import { createRoles, loginOf } from '../support/roles.ts';
import { drawer } from './records.ts';
import { createWriter, makeDays, type Row, uuidv7At, type Writer } from './written-log.ts';

export const GOOD = `sha256:${'a1'.repeat(32)}`;
/** The policy of an hour in which somebody had made it weaker. */
export const WEAK = `sha256:${'b2'.repeat(32)}`;
const HOUR = 3_600_000;
const MINUTE = 60_000;
const AGENT = 'iqra-app/4.2';

export interface Asked {
  readonly at: number;
  readonly key: string | null;
  readonly user?: string | null;
  readonly business?: string;
  readonly action?: string;
  readonly code?: string;
  readonly ip?: string;
  readonly userAgent?: string;
  readonly policy?: string;
  readonly fingerprint?: string;
}

/** Keys by their users, and where each of these sits. */
const KEYS: Readonly<Record<string, string>> = {
  'ada-main': 'ada',
  'ada-phone': 'ada',
  'bob-shop': 'bob',
  'cy-garage': 'cy',
  crawler: 'dan',
  'eve-old': 'eve',
};
const PLACES: Readonly<Record<string, string>> = {
  ada: '203.0.113.7',
  bob: '203.0.113.20',
  cy: '2001:db8:5::9',
  dan: '203.0.113.44',
  eve: '203.0.113.60',
};
export const BUSINESSES = Array.from({ length: 40 }, (_, n) => `business-${n}`);

export function rowOf(asked: Asked): Row {
  const { at, key, code = 'OK', action = 'call:create', policy = GOOD, fingerprint = null, userAgent = AGENT } = asked;
  const user = asked.user === undefined ? (KEYS[key ?? ''] ?? null) : asked.user;
  const ip = asked.ip ?? PLACES[user ?? ''] ?? null;
  const business = asked.business ?? null;
  const salt = randomBytes(16);
  return {
    ...{ id: uuidv7At(at), at: new Date(at).toISOString(), caller_id: 'voice', api_key_id: key, user_id: user },
    ...{ business_id: business, action, code, effect: code === 'OK' ? 'allow' : 'deny', policy, fingerprint, ip },
    ...{ rule: code === 'OK' ? 'allow-on-target' : code.toLowerCase().replaceAll('_', '-'), user_agent: userAgent },
    ...{ personal_salt: salt.toString('hex'), personal_digest: personalDigest(salt, ip, userAgent).toString('hex') },
    ...{ shadow_policy: null, shadow_code: null, shadow_rule: null },
    facts: JSON.stringify({
      key: { environment: 'production', id: key ?? '', status: key ? 'active' : 'unknown' },
      request: { action },
      target: { id: business ?? '' },
      user: { id: user ?? '' },
    }),
  };
}

/** What anybody asks on a working day: between 8 and 18 o'clock, from where they sit, about what is theirs. */
function ordinary(midnight: number, draw: (below: number) => number): Asked[] {
  const own = ['ada-main', 'ada-phone', 'bob-shop', 'cy-garage'];
  return Array.from({ length: 150 }, () => {
    const key = own[draw(own.length)] as string;
    const at = midnight + 8 * HOUR + draw(10 * HOUR);
    return { at, key, business: BUSINESSES[draw(3)] as string, code: draw(25) === 0 ? 'PERMISSION_DENIED' : 'OK' };
  });
}

/** The incidents that lie in the days before today, by the midnights of those days. */
function incidents([first = 0, second = 0]: readonly number[]): Asked[] {
  const stuffing = Array.from({ length: 120 }, (_, n) => ({
    ...{ at: first + 11 * HOUR + n * 20_000, key: null, code: 'INVALID_API_KEY', ip: `198.51.100.${n + 1}` },
    fingerprint: n.toString(16).padStart(16, '0'),
  }));
  const hit = { at: first + 12 * HOUR, key: 'bob-shop', business: 'business-1', ip: '198.51.100.77' };
  const night = Array.from({ length: 9 }, (_, n) => ({
    ...{ at: second + 2 * HOUR + n * 10 * MINUTE, key: 'ada-main', business: 'business-0', ip: '192.0.2.66' },
    userAgent: 'python-requests/2.32',
  }));
  const enumeration = BUSINESSES.map((business, n) => ({
    ...{ at: first + 9 * HOUR + n * 35 * MINUTE, key: 'crawler', business, action: 'business:read' },
    code: 'PERMISSION_DENIED',
  }));
  const former = Array.from({ length: 6 }, (_, n) => ({
    ...{ at: second + 13 * HOUR + n * HOUR, key: 'eve-old', business: 'business-2', code: 'USER_DISABLED' },
    ip: '192.0.2.200',
  }));
  const weakened = Array.from({ length: 4 }, (_, n) => ({
    ...{ at: second + 15 * HOUR + n * 10 * MINUTE, key: 'cy-garage', business: 'business-9', policy: WEAK },
  }));
  return [...stuffing, hit, ...night, ...enumeration, ...former, ...weakened];
}

/** What a verb prints of what it made, as far as it is read here. */
interface Made {
  readonly id: string;
  readonly key: { readonly id: string };
}

export interface IncidentsWorld {
  /** Runs `authz` with the login of an auditor. */
  readonly ask: (...args: string[]) => Promise<string>;
  /** As `ask`, of what exits with 1: it has found something. */
  readonly finds: (...args: string[]) => Promise<string>;
  /** Of the third day before today, which was dropped; of the day before today. */
  readonly dropped: string;
  readonly backdated: string;
  readonly close: () => Promise<void>;
}

export async function makeIncidents(): Promise<IncidentsWorld> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-incidents-'));
  const url = await newDatabase();
  const db = connect({ url, poolSize: 2 });
  await createRoles(db);
  const [dropped = '', first = '', second = ''] = await makeDays(db, 3);
  const file = path.join(folder, 'checkpoints.jsonl');
  const auditor = { DATABASE_URL: await loginOf(db, url, 'authz_auditor'), AUDIT_CHECKPOINTS: file };
  const env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
  const act = async (as: string, ...args: string[]): Promise<Made> => {
    const { code, stdout, stderr } = await authz(['--as', as, ...args, '--json'], env);
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout || '{}');
  };

  const writer = createWriter(db);
  const midnights = [first, second].map((day) => Date.parse(day));
  const draw = drawer(21);
  const asked = [Date.parse(dropped), ...midnights].flatMap((midnight) => ordinary(midnight, draw));
  await appendAll(writer, [...asked, ...incidents(midnights)]);
  await insiders(
    act,
    (one) => appendAll(writer, [one]),
    async (as) => void expect((await authz(['--as', as, 'audit', 'export', '--from', '4d'], env)).code).to.equal(0),
  );

  const signer = await loadSigner(makeSigningKey());
  const loop = createCheckpoints({ db, log: createLog('silent'), writer: randomUUID(), signer, file, seconds: 86_400 });
  await loop.make();
  await appendAll(createWriter(db), [{ at: Date.parse(second) + 10 * HOUR, key: 'bob-shop', business: 'business-5' }]);
  await db.raw(`drop table decisions_${dropped.replaceAll('-', '')}`);

  const run =
    (wanted: number) =>
    async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await authz(args, auditor);
      expect([code, stderr], args.join(' ')).to.deep.equal([wanted, '']);
      return stdout;
    };
  return {
    ask: run(0),
    finds: run(1),
    dropped,
    backdated: second,
    close: async () => {
      await db.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const dayOf = ({ at = '' }: Row): string => at.slice(0, 10);

/** In the order of time, day after day, as a process that was asked them would. */
async function appendAll(writer: Writer, asked: readonly Asked[]): Promise<void> {
  const rows = asked.toSorted((a, b) => a.at - b.at).map(rowOf);
  for (const day of new Set(rows.map(dayOf))) {
    const own = rows.filter((row) => dayOf(row) === day);
    await writer.append(day, own.length, (index) => own[index] ?? {});
  }
}

/** What people with rights do today: widen a key and narrow it again, lift a freeze early, read the whole log. */
async function insiders(
  act: (as: string, ...args: string[]) => Promise<Made>,
  ask: (asked: Asked) => Promise<void>,
  read: (as: string) => Promise<void>,
): Promise<void> {
  for (const business of ['business-0', 'business-7']) await act('ops', 'business', 'put', business);
  for (const user of ['ada', 'bob', 'cy']) await act('ops', 'user', 'put', user);
  await act('ops', 'member', 'put', 'business-0', 'cy', '--role', 'member');
  const { key } = await act('ops', 'key', 'create', '--user', 'cy', '--name', 'Shop', '--restrict', 'business-0');
  for (const user of ['ada', 'bob']) await act('ops', 'key', 'create', '--user', user, '--name', `of ${user}`);
  await act('mallory', 'key', 'update', key.id, '--no-restrict');
  await ask({ at: Date.now(), key: key.id, user: 'cy', business: 'business-7', action: 'recording:read' });
  await act('mallory', 'key', 'update', key.id, '--restrict', 'business-0');
  const freeze = await act(
    'ops',
    'freeze',
    '--business',
    'business-7',
    '--for',
    '2h',
    '--reason',
    'Under investigation.',
  );
  await act('mallory', 'freeze', 'lift', freeze.id);
  await ask({ at: Date.now(), key: 'bob-shop', business: 'business-7', action: 'recording:read' });
  await read('mallory');
}
