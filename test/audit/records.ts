/** Records of the decision log for the tests of its readers: made up in bulk, without the chains that they would stand in. */

import { createHash } from 'node:crypto';
import type { Knex } from 'knex';

/** A row of `decisions`, as far as the readers look at it. */
export interface TestRecord {
  readonly id: string;
  readonly at: string;
  readonly caller_id: string;
  readonly api_key_id: string | null;
  readonly user_id: string | null;
  readonly business_id: string | null;
  readonly action: string;
  readonly effect: 'allow' | 'deny';
  readonly code: string;
  readonly rule: string;
  readonly policy: string;
  readonly facts: object;
  readonly ip: string | null;
  readonly user_agent: string | null;
  readonly request_id: string | null;
  readonly caller_request_id: string | null;
  readonly trace_id: string | null;
  readonly duration_us: number | null;
  readonly fingerprint: string | null;
}

export const POLICIES = ['a', 'b'].map((text) => `sha256:${createHash('sha256').update(text).digest('hex')}`);
export const CODES = ['OK', 'INVALID_API_KEY', 'USER_DISABLED', 'PERMISSION_DENIED'];
export const ACTIONS = [
  'call:create',
  'call:read',
  'callback:read',
  'user:usage:read',
  'user:usage_x:read',
  'user:read',
];

let made = 0;

/** A UUIDv7 of that time; those of one time follow one another in the order in which they are made. */
export function idAt(at: number): string {
  made += 1;
  const time = at.toString(16).padStart(12, '0');
  const rest = made.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${rest}`;
}

/** `draw(n)` gives a whole number from 0 to n-1. */
export function makeRecord(at: number, draw: (below: number) => number, over: Partial<TestRecord> = {}): TestRecord {
  const pick = <T>(values: readonly T[]): T => values[draw(values.length)] as T;
  const code = pick(CODES);
  const unknown = code === 'INVALID_API_KEY';
  const action = pick(ACTIONS);
  return {
    id: idAt(at),
    at: new Date(at).toISOString(),
    caller_id: pick(['voice', 'billing']),
    api_key_id: unknown ? null : pick(['k1', 'k2', 'k3']),
    user_id: unknown ? null : pick(['u1', 'u2']),
    business_id: pick(['b1', 'b2', 'b3', null]),
    action,
    effect: code === 'OK' ? 'allow' : 'deny',
    code,
    rule: `rule-${code.toLowerCase()}`,
    policy: pick(POLICIES),
    facts: { request: { action } },
    ip: pick(['203.0.113.7', '::ffff:203.0.113.9', '198.51.100.23', '2001:db8::1', null]),
    user_agent: pick(['curl/8.5', 'Mozilla/5.0 (X11; Linux)', null]),
    request_id: pick(['r1', 'r2', null]),
    duration_us: pick([412, null]),
    fingerprint: unknown ? pick(['00112233445566aa', '00112233445566bb', null]) : null,
    caller_request_id: pick(['c1', 'r1', null]),
    trace_id: pick(['0a'.repeat(16), '0b'.repeat(16), null]),
    ...over,
  };
}

/** Makes the partitions of days that the service would have made long ago. */
export async function makePartitions(db: Knex, times: readonly string[]): Promise<void> {
  for (const day of new Set(times.map((at) => at.slice(0, 10)))) {
    const next = new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
    await db.raw(
      `create table if not exists decisions_${day.replaceAll('-', '')} partition of decision_records
       for values from ('${day} 00:00:00+00') to ('${next} 00:00:00+00')`,
    );
  }
}

let seq = 0;

export async function insertRecords(db: Knex, records: readonly TestRecord[]): Promise<void> {
  await makePartitions(
    db,
    records.map(({ at }) => at),
  );
  const digest = `\\x${'ab'.repeat(32)}`;
  const rows = records.map((record) => {
    seq += 1;
    const boot = '00000000-0000-4000-8000-000000000000';
    return { ...record, boot, seq, facts_version: 1, personal_digest: digest, hash: digest };
  });
  await db.raw(
    'insert into decision_records select * from jsonb_populate_recordset(null::decision_records, ?::jsonb)',
    [JSON.stringify(rows)],
  );
}

/** What a reader should show of a record, but for its place in the chain. */
export const shown = (record: TestRecord) => ({
  id: record.id,
  at: record.at,
  callerId: record.caller_id,
  apiKeyId: record.api_key_id,
  userId: record.user_id,
  businessId: record.business_id,
  action: record.action,
  effect: record.effect,
  code: record.code,
  rule: record.rule,
  policy: record.policy,
  factsVersion: 1,
  facts: record.facts,
  ip: record.ip,
  userAgent: record.user_agent,
  requestId: record.request_id,
  callerRequestId: record.caller_request_id,
  traceId: record.trace_id,
  durationUs: record.duration_us,
  fingerprint: record.fingerprint,
});

/** Numbers that look random and are the same for the same seed. */
export function drawer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export const newestFirst = (records: readonly TestRecord[]): TestRecord[] =>
  [...records].sort((a, b) => (a.id < b.id ? 1 : -1));
