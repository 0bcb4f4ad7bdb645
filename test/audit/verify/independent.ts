/**
 * A second verifier, written from docs/audit.md and sharing no code with the service: it says whether a log is what its
 * file of checkpoints attests, not where it is not. Simple rather than fast; it reads the whole log into memory.
 */

import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Knex } from 'knex';

type Value = string | null;
type Row = Record<string, Value>;

interface FileHead {
  readonly boot: string;
  readonly day: string;
  readonly format: number;
  readonly opening: string;
  readonly records: number;
  readonly hash: string;
}

interface PrunedLine {
  readonly type: 'pruned';
  readonly day: string;
  readonly at: string;
  readonly records: number;
  readonly root: string;
  readonly publicKey: string;
  readonly signature: string;
}

interface FileLine {
  readonly type: 'checkpoint';
  readonly number: number;
  readonly at: string;
  readonly writer: string;
  readonly size: number;
  readonly root: string;
  readonly previous: string | null;
  readonly heads: readonly FileHead[];
  readonly publicKey: string;
  readonly signature: string;
}

export const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
};

export function encodeField(value: Value): Buffer {
  if (value === null) return Buffer.from('ffffffff', 'hex');
  const bytes = Buffer.from(value, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export const encode = (label: string, ...values: readonly Value[]): Buffer =>
  Buffer.concat([Buffer.from(`${label}\n`, 'ascii'), ...values.map(encodeField)]);

/** RFC 8785 for the values that facts hold: objects, strings and booleans. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
}

/** In the order of docs/audit.md. */
const FIELDS =
  'boot day seq id at caller_id api_key_id user_id business_id action effect code rule policy facts_version facts personal_digest request_id caller_request_id duration_us fingerprint shadow_policy shadow_code shadow_rule'.split(
    ' ',
  );

export function hashOfRecord(previous: Buffer, record: Row): Buffer {
  const fields = FIELDS.map((name) => encodeField(record[name] ?? null));
  return sha256(Buffer.from('iqra-authz/decision/1\n', 'ascii'), previous, ...fields);
}

/** In the order of docs/audit.md. */
const EVENT_FIELDS = 'seq id at chained_at actor login action subject_kind subject_id before after request_id'.split(
  ' ',
);

export function hashOfEvent(previous: Buffer, event: Row): Buffer {
  const fields = EVENT_FIELDS.map((name) => encodeField(event[name] ?? null));
  return sha256(Buffer.from('iqra-authz/event/1\n', 'ascii'), previous, ...fields);
}

const SELECT = `
  select *, seq::text, boot::text, id::text, duration_us::text, facts_version::text, to_char(at at time zone 'UTC', 'YYYY-MM-DD') as day,
    to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, encode(personal_digest, 'hex') as personal_digest,
    encode(personal_salt, 'hex') as personal_salt, encode(hash, 'hex') as hash from decisions order by decisions.seq, decisions.id`;

function merkle(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (leaves.length === 1 && only) return sha256(Buffer.of(0), only);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(Buffer.of(1), merkle(leaves.slice(0, split)), merkle(leaves.slice(split)));
}

/** Nothing when all is well, or the first thing that is not. */
export async function verifyIndependently(db: Knex, file: string, publicKey: string): Promise<string | undefined> {
  try {
    const { rows } = await db.raw<{ rows: (Row & { facts: unknown })[] }>(SELECT);
    const chains = readChains(rows.map((row) => ({ ...row, facts: canonicalJson(row.facts) })));
    const text = await readFile(file, 'utf8');
    const lines = text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as FileLine | PrunedLine]));
    const pruned = await checkPruned(
      db,
      lines.filter((line) => line.type === 'pruned'),
      new Set([...chains.keys()].map((name) => name.slice(-10))),
      publicKey,
    );
    await checkHeads(db, chains, pruned);
    const administration = await readAdministration(db);
    chains.set(`${ADMINISTRATION.boot} ${ADMINISTRATION.day}`, administration);
    await checkFile(
      db,
      lines.filter((line) => line.type === 'checkpoint'),
      chains,
      pruned,
      publicKey,
    );
    checkTimes(
      lines.filter((line) => line.type === 'checkpoint'),
      [...rows, ...administration.map((event): Row => ({ ...event, at: event['chained_at'] ?? null }))],
      await clockOf(db),
    );
    const erased = await db('admin_events').where({ action: 'audit.erase' });
    for (const row of rows) checkPersonal(row, erased);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

/** The records of each chain, by `boot day`. */
function readChains(rows: readonly Row[]): Map<string, Row[]> {
  const chains = new Map<string, Row[]>();
  for (const row of rows) {
    const name = `${row['boot']} ${row['day']}`;
    chains.set(name, [...(chains.get(name) ?? []), row]);
    const milliseconds = Number(`0x${(row['id'] ?? '').replaceAll('-', '').slice(0, 12)}`);
    must(new Date(milliseconds).toISOString() === row['at'], `${row['id']}: its time`);
  }
  return chains;
}

const HEADS = `
  select boot::text, day::text, format, encode(opening, 'hex') as opening, records::float8 as records, encode(hash, 'hex') as hash
  from chain_heads`;

const rootOf = (heads: readonly FileHead[]): string =>
  merkle(
    heads
      .toSorted((a, b) => (a.day + a.boot < b.day + b.boot ? -1 : 1))
      .map(({ boot, day, format, opening, records, hash }) =>
        encode('iqra-authz/head/1', boot, day, String(format), opening, String(records), hash),
      ),
  ).toString('hex');

/** The days that have no records any more, each with a sound statement of its heads; those with records need none. */
async function checkPruned(
  db: Knex,
  lines: readonly PrunedLine[],
  withRecords: ReadonlySet<string>,
  publicKey: string,
): Promise<ReadonlySet<string>> {
  const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  const { rows: heads } = await db.raw<{ rows: FileHead[] }>(HEADS);
  for (const line of lines) {
    const { day, at, records, root, signature } = line;
    const signed = encode('iqra-authz/pruned/1', day, at, String(records), root);
    must(line.publicKey === publicKey, `${day}: the key of its statement`);
    must(verify(null, signed, key, Buffer.from(signature, 'base64')), `${day}: the signature of its statement`);
  }
  const { rows } = await db.raw<{
    rows: { day: string; at: Date; records: string; root: Buffer; signature: Buffer }[];
  }>('select day::text, at, records, root, signature from pruned_days');
  const pruned = new Set<string>();
  for (const { day, at, records, root, signature } of rows) {
    const same = lines.some(
      (line) =>
        line.day === day &&
        line.at === at.toISOString() &&
        line.records === Number(records) &&
        line.root === root.toString('hex') &&
        line.signature === signature.toString('base64'),
    );
    must(same, `${day}: pruned in the database only`);
    const ofDay = heads.filter((head) => head.day === day);
    must(ofDay.length > 0 && rootOf(ofDay) === root.toString('hex'), `${day}: the heads of a pruned day`);
    must(ofDay.reduce((sum, head) => sum + head.records, 0) === Number(records), `${day}: the records of a pruned day`);
    if (!withRecords.has(day)) pruned.add(day);
  }
  return pruned;
}

async function checkHeads(
  db: Knex,
  chains: ReadonlyMap<string, readonly Row[]>,
  pruned: ReadonlySet<string>,
): Promise<void> {
  const { rows } = await db.raw<{ rows: FileHead[] }>(HEADS);
  const heads = rows.filter(({ day }) => !pruned.has(day));
  must(heads.length === chains.size, 'chains without a head, or heads without a chain');
  const first = new Set<string>();
  for (const head of heads) {
    const name = `${head.boot} ${head.day}`;
    const records = chains.get(name) ?? [];
    must(head.format === 1, `${name}: the format`);
    must(records.length === head.records, `${name}: the number of records`);
    let previous = Buffer.from(head.opening, 'hex');
    for (const [index, record] of records.entries()) {
      must(record['seq'] === String(index + 1), `${name}: the numbers`);
      previous = Buffer.from(hashOfRecord(previous, record));
      must(previous.toString('hex') === record['hash'], `${name}: record ${index + 1}`);
    }
    must(previous.toString('hex') === head.hash, `${name}: the head`);
    if (/^0+$/.test(head.opening)) {
      must(!first.has(head.boot), `${name}: two first chains`);
      first.add(head.boot);
    } else {
      const others = [...chains].filter(([other]) => other.startsWith(head.boot) && other !== name);
      must(
        others.some(([, them]) => them.some((record) => record['hash'] === head.opening)) ||
          // It may be the hash of any record of theirs, and those are gone.
          rows.some(({ boot, day }) => boot === head.boot && pruned.has(day)),
        `${name}: the opening`,
      );
    }
  }
}

async function checkFile(
  db: Knex,
  lines: readonly FileLine[],
  chains: ReadonlyMap<string, readonly Row[]>,
  pruned: ReadonlySet<string>,
  publicKey: string,
): Promise<void> {
  const byWriter = new Map<string, { heads: Map<string, FileHead>; previous: string | null }>();
  const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  const stored = new Map(
    [ADMINISTRATION, ...(await db.raw<{ rows: FileHead[] }>(HEADS)).rows].map((head) => [
      `${head.boot} ${head.day}`,
      head,
    ]),
  );
  for (const line of lines) {
    const { number, at, writer, size, root, previous, heads, signature } = line;
    const state = byWriter.get(writer) ?? { heads: new Map(), previous: null };
    must(previous === state.previous, `checkpoint ${number}: previous`);
    for (const head of heads) {
      const name = `${head.boot} ${head.day}`;
      state.heads.set(name, head);
      const { format, opening } = stored.get(name) ?? {};
      must(format === head.format && opening === head.opening, `checkpoint ${number}: how ${name} begins`);
      const attested = chains.get(name)?.[head.records - 1]?.['hash'] === head.hash;
      must(attested || pruned.has(head.day), `checkpoint ${number}: ${name}`);
    }
    const all = [...state.heads.values()];
    must(all.length === size && rootOf(all) === root, `checkpoint ${number}: root`);
    const signed = encode('iqra-authz/checkpoint/1', String(number), at, writer, String(size), root, previous);
    must(line.publicKey === publicKey, `checkpoint ${number}: key`);
    must(verify(null, signed, key, Buffer.from(signature, 'base64')), `checkpoint ${number}: signature`);
    byWriter.set(writer, { heads: state.heads, previous: sha256(signed).toString('hex') });
    const row = await db('checkpoints').where({ number }).whereRaw('heads = ?::jsonb', JSON.stringify(heads)).first();
    must(row !== undefined, `checkpoint ${number}: not in the database`);
    const same =
      row.writer === writer &&
      row.at.toISOString() === at &&
      row.size === size &&
      row.root.toString('hex') === root &&
      row.signature.toString('base64') === signature &&
      row.public_key.toString('base64') === publicKey;
    must(same, `checkpoint ${number}: not the same in the database`);
  }
  const outside = new Set(lines.map(({ number }) => number));
  for (const { number, at, writer, size, root, signature } of await db('checkpoints')) {
    if (outside.has(Number(number))) continue;
    // The last of a process that was killed between the database and the file.
    const later = await db('checkpoints').where({ writer }).where('number', '>', number).first();
    must(later === undefined, `checkpoint ${number}: in the database only`);
    const previous = byWriter.get(writer)?.previous ?? null;
    const fields = [number, at.toISOString(), writer, String(size), root.toString('hex'), previous];
    must(verify(null, encode('iqra-authz/checkpoint/1', ...fields), key, signature), `checkpoint ${number}: signature`);
  }
}

/** How the one chain of administration is named and begins. */
const ADMINISTRATION = {
  boot: '00000000-0000-0000-0000-000000000000',
  day: '1970-01-01',
  format: 1,
  opening: '0'.repeat(64),
} as const;

const READS = ['query', 'show', 'stats', 'export', 'tail', 'findings', 'replay', 'shadow', 'admin'].map(
  (read) => `audit.${read}`,
);

const EVENTS = `
  select *, seq::text, id::text, before::text, after::text, encode(hash, 'hex') as hash,
    to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
    to_char(chained_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as chained_at
  from admin_events order by admin_events.seq, admin_events.id`;

/** The events of the chain, which is as its head says; those outside are of reads. */
async function readAdministration(db: Knex): Promise<Row[]> {
  const { rows } = await db.raw<{ rows: Row[] }>(EVENTS);
  const chain = rows.filter(({ seq }) => seq !== null);
  let previous = Buffer.alloc(32);
  for (const [index, event] of chain.entries()) {
    const { id = '', at = '', chained_at: chainedAt = '', action = '' } = event;
    must(event['seq'] === String(index + 1), `event ${id}: its number`);
    previous = Buffer.from(hashOfEvent(previous, event));
    must(previous.toString('hex') === event['hash'], `event ${id}: its hash`);
    const milliseconds = Number(`0x${id?.replaceAll('-', '').slice(0, 12)}`);
    must(new Date(milliseconds).toISOString() === at, `event ${id}: its time`);
    must(at === chainedAt || READS.includes(action ?? ''), `event ${id}: when it took its place`);
  }
  for (const event of rows) {
    const outside = event['seq'] === null;
    must(!outside || READS.includes(event['action'] ?? ''), `event ${event['id']}: outside the chain`);
  }
  const head = await db('change_counter').first<{ events: string; events_hash: Buffer }>();
  must(Number(head.events) === chain.length, 'the number of events');
  must(head.events_hash.equals(previous), 'the last hash of the events');
  const { boot, day } = ADMINISTRATION;
  return chain.map((event) => ({ ...event, boot, day }));
}

const clockOf = async (db: Knex): Promise<string> =>
  (await db.raw<{ rows: [{ now: Date }] }>('select clock_timestamp() as now')).rows[0].now.toISOString();

/** No record is more than two minutes older than the checkpoint before the one in which it first appears. */
function checkTimes(lines: readonly FileLine[], rows: readonly Row[], now: string): void {
  const inOrder = lines.toSorted((a, b) => a.number - b.number);
  const all: Pick<FileLine, 'at' | 'heads'>[] = [...inOrder, { at: now, heads: [] }];
  for (const row of rows) {
    const counts = ({ boot, day, records }: FileHead): boolean =>
      boot === row['boot'] && day === row['day'] && records >= Number(row['seq']);
    const found = all.findIndex(({ heads }) => heads.some(counts));
    const index = found === -1 ? all.length - 1 : found;
    const [before, first] = [all[index - 1], all[index]].map((one) => Date.parse(one?.at ?? ''));
    if (before === undefined || first === undefined || Number.isNaN(before) || first < before - 30_000) continue;
    must(Date.parse(row['at'] ?? '') >= before - 120_000, `${row['id']}: it was dated back`);
  }
}

function checkPersonal(row: Row, erased: readonly { subject_kind: string; subject_id: string; at: Date }[]): void {
  const { personal_salt: salt = null, ip = null, user_agent = null, id } = row;
  if (salt === null && ip === null && user_agent === null) {
    const told = erased.some(
      ({ subject_kind, subject_id, at }) =>
        (subject_kind === 'key' || subject_kind === 'user') &&
        subject_id === row[subject_kind === 'key' ? 'api_key_id' : 'user_id'] &&
        at.toISOString() >= (row['at'] ?? ''),
    );
    must(told, `${id}: erased`);
  } else {
    const bytes = Buffer.concat([
      Buffer.from('iqra-authz/personal/1\n', 'ascii'),
      Buffer.from(salt ?? '', 'hex'),
      encodeField(ip),
      encodeField(user_agent),
    ]);
    must(sha256(bytes).toString('hex') === row['personal_digest'], `${id}: personal data`);
  }
}
