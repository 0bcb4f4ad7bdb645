/** A decision log written straight into the tables, as the recorder would have written it: any boots, any days. */

import { randomBytes, randomUUID } from 'node:crypto';
import type { Knex } from 'knex';
import {
  FIRST_OPENING,
  type LogRecord,
  type Personal,
  personalDigest,
  recordHash,
} from '../../src/audit/format/record-hash.ts';

export interface WrittenRecord extends LogRecord, Personal {
  readonly hash: string;
}

/** What differs from `exampleRecord`. */
export type Row = Partial<WrittenRecord>;

/** The records of one process, and where its chains stand. */
export interface Writer {
  readonly boot: string;
  /** Appends `count` records of a day (YYYY-MM-DD) in one transaction. */
  readonly append: (day: string, count: number, row?: Row | ((index: number) => Row)) => Promise<WrittenRecord[]>;
}

interface Chain {
  readonly opening: Buffer;
  readonly records: number;
  readonly hash: Buffer;
}

export function createWriter(db: Knex, boot: string = randomUUID()): Writer {
  const chains = new Map<string, Chain>();
  let last: Buffer = FIRST_OPENING;
  return {
    boot,
    append: async (day, count, row = {}) => {
      const before = chains.get(day) ?? { opening: last, records: 0, hash: last };
      const records: WrittenRecord[] = [];
      let hash = before.hash;
      for (let seq = before.records + 1; seq <= before.records + count; seq += 1) {
        const own = typeof row === 'function' ? row(seq - before.records - 1) : row;
        const record = { ...exampleRecord(boot, day, seq), ...own };
        hash = recordHash(hash, record);
        records.push({ ...record, hash: hash.toString('hex') });
      }
      const after = { opening: before.opening, records: before.records + count, hash };
      await db.transaction(async (trx) => {
        await writeRecords(trx, records);
        await writeHead(trx, boot, day, after);
      });
      chains.set(day, after);
      last = hash;
      return records;
    },
  };
}

/** Adds the days from `back` days ago to `ahead` days ahead of today, as partitions; the days in order. */
export async function makeDays(db: Knex, back: number, ahead = 0): Promise<string[]> {
  const days = Array.from({ length: back + ahead + 1 }, (_, n) =>
    new Date(Date.now() + (n - back) * 86_400_000).toISOString().slice(0, 10),
  );
  for (const day of days) await makePartition(db, day);
  return days;
}

/** The partition of a day, which may be one that the service would no longer make, as the tables' owner can. */
export async function makePartition(db: Knex, day: string): Promise<void> {
  const name = `decisions_${day.replaceAll('-', '')}`;
  const { rows } = await db.raw('select to_regclass(?) as made', [name]);
  if (rows[0].made !== null) return;
  await db.raw(`create table ${name} (like decision_records including all)`);
  await db.raw(
    `alter table decision_records attach partition ${name}
     for values from ('${day} 00:00:00+00') to ((timestamptz '${day} 00:00:00+00') + interval '24 hours')`,
  );
}

/** A record with something in every field, a moment further into the day with every number. */
export function exampleRecord(boot: string, day: string, seq: number): Omit<WrittenRecord, 'hash'> {
  const at = new Date(Date.parse(`${day}T00:00:00Z`) + seq * 1003);
  const salt = randomBytes(16);
  const [ip, userAgent] = seq % 3 === 0 ? [null, null] : [`203.0.113.${seq % 250}`, 'iqra/1.0 (naïve ✓)'];
  return {
    boot,
    day,
    seq,
    id: uuidv7At(at.getTime()),
    at: at.toISOString(),
    caller_id: 'billing',
    api_key_id: seq % 5 === 0 ? null : `key-${seq % 7}`,
    user_id: seq % 5 === 0 ? null : `user-${seq % 4}`,
    business_id: seq % 2 === 0 ? null : 'bakery',
    action: 'call:create',
    effect: seq % 2 === 0 ? 'allow' : 'deny',
    code: seq % 2 === 0 ? 'OK' : 'PERMISSION_DENIED',
    rule: `10-api-key.csv:${seq % 9}`,
    policy: `sha256:${'ab'.repeat(32)}`,
    facts_version: 1,
    facts: factsOf(
      seq % 5 === 0 ? '' : `key-${seq % 7}`,
      seq % 2 === 0 ? '' : 'bakery',
      seq % 5 === 0 ? '' : `user-${seq % 4}`,
    ),
    ip,
    user_agent: userAgent,
    personal_salt: salt.toString('hex'),
    personal_digest: personalDigest(salt, ip, userAgent).toString('hex'),
    request_id: seq % 2 === 0 ? null : `request-${seq}`,
    caller_request_id: seq % 3 === 0 ? null : `caller-${seq}`,
    trace_id: seq % 4 === 0 ? randomBytes(16).toString('hex') : null,
    duration_us: 1000 + seq,
    fingerprint: seq % 5 === 0 ? randomBytes(8).toString('hex') : null,
    shadow_policy: seq % 4 === 0 ? `sha256:${'cd'.repeat(32)}` : null,
    shadow_code: seq % 4 === 0 ? 'OK' : null,
    shadow_rule: seq % 4 === 0 ? '90-allow.csv:1' : null,
  };
}

const factsOf = (key: string, target: string, user: string): string =>
  `{"key":{"environment":"production","id":"${key}","status":"active","userManagement":false},"limit":{"exceeded":false},` +
  `"request":{"action":"call:create"},"target":{"id":"${target}"},"user":{"id":"${user}","status":"active"}}`;

export function uuidv7At(milliseconds: number): string {
  const time = milliseconds.toString(16).padStart(12, '0');
  const random = randomBytes(9).toString('hex');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-8${random.slice(3, 6)}-${random.slice(6, 18)}`;
}

const bytes = (hex: string | null): string | null => (hex === null ? null : `\\x${hex}`);

type StoredFacts = Readonly<Record<string, { readonly id?: string }>>;

/** The columns of policy and facts: of every fourth record its own, of the others those of a situation, which is stored with it. */
async function writeFacts(db: Knex, { facts, policy, facts_version, seq, day, ...record }: WrittenRecord) {
  const own = JSON.parse(facts) as StoredFacts;
  const ids = { key: record.api_key_id, user: record.user_id, target: record.business_id };
  const follows = Object.entries(ids).every(([group, id]) => own[group]?.id === (id ?? ''));
  if (seq % 4 === 0 || !follows) return { policy, facts_version, facts: own };
  const shared = Object.fromEntries(
    Object.entries(own).map(([group, { id, ...others }]) => [group, group in ids ? others : { id, ...others }]),
  );
  const text = JSON.stringify({ facts: shared, factsVersion: facts_version, policy });
  const { rows } = await db.raw(
    `insert into situations values (sha256(convert_to(?, 'UTF8')), ?, ?, ?, ?)
     on conflict (digest) do update set last_day = greatest(situations.last_day, excluded.last_day)
     returning '\\x' || encode(digest, 'hex') as situation`,
    [text, day, policy, facts_version, JSON.stringify(shared)],
  );
  return rows[0] as { readonly situation: string };
}

export async function writeRecords(db: Knex, records: readonly WrittenRecord[]): Promise<void> {
  const parts = new Map<string, object>();
  const partsOf = async (record: WrittenRecord): Promise<object> => {
    const key = JSON.stringify([record.facts, record.policy, record.facts_version, record.day, record.seq % 4 === 0]);
    const known = parts.get(key) ?? (await writeFacts(db, record));
    parts.set(key, known);
    return known;
  };
  const written: (WrittenRecord & { readonly stored: object })[] = [];
  for (const record of records) written.push({ ...record, stored: await partsOf(record) });
  const rows = written.map(
    ({ day: _, personal_salt, personal_digest, hash, facts, policy, facts_version, stored, ...record }) => ({
      ...record,
      ...stored,
      personal_salt: bytes(personal_salt),
      personal_digest: bytes(personal_digest),
      hash: bytes(hash),
    }),
  );
  await db.raw(
    'insert into decision_records select * from jsonb_populate_recordset(null::decision_records, ?::jsonb)',
    [JSON.stringify(rows)],
  );
}

export async function writeHead(db: Knex, boot: string, day: string, { opening, records, hash }: Chain): Promise<void> {
  await db.raw(
    `insert into chain_heads (boot, day, format, opening, records, hash) values (?, ?, 1, ?, ?, ?)
     on conflict (boot, day) do update set opening = excluded.opening, records = excluded.records, hash = excluded.hash`,
    [boot, day, opening, records, hash],
  );
}
