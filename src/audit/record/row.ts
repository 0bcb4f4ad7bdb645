/**
 * A record as bytes: those that its hash covers, and its row in the binary format of COPY. Both have a field as its length and its UTF-8, with -1
 * for null (docs/audit.md, "The encoding"), so one encoding serves both; and what is the same from one record to the next
 * is encoded once.
 */

import { hash, randomFillSync } from 'node:crypto';
import { FACTS_VERSION } from '../../policy/facts.ts';
import type { ColumnName } from '../columns.ts';
import { FORMAT, field, NULL } from '../format/record-hash.ts';
import { type Bytes, newBytes, putBytes, putHex, putInt16, putInt32, putLatin1, reserve, written } from './bytes.ts';
import { canonicalFacts, type Entry } from './entry.ts';
import { factsField, lengthOf, type Situation } from './situation.ts';

/** The columns of a row in their order, which is ours: what differs in each, texts that many lack, and what is the same of many. */
export const ROW_COLUMNS = [
  ...(['id', 'at', 'boot', 'seq', 'hash', 'personal_salt', 'personal_digest', 'duration_us'] as const),
  ...([
    'request_id',
    'caller_request_id',
    'trace_id',
    'fingerprint',
    'shadow_policy',
    'shadow_code',
    'shadow_rule',
  ] as const),
  ...(['ip', 'user_agent', 'api_key_id', 'user_id', 'business_id'] as const),
  ...(['caller_id', 'action', 'effect', 'code', 'rule', 'situation', 'policy', 'facts_version', 'facts'] as const),
] satisfies readonly (ColumnName | 'situation')[];

/** What names a chain, as the hash covers it, and the column boot. */
export interface ChainName {
  readonly fields: string;
  readonly row: string;
}

/** Of the chain of a process on a day: YYYY-MM-DD, UTC. */
export function chainName(boot: string, day: string): ChainName {
  const bytes = newBytes(UUID_BYTES);
  putUuid(bytes, boot);
  return { fields: field(boot) + field(day), row: written(bytes).toString('latin1') };
}

/** Of a decision. */
export interface Time {
  /** Milliseconds since 1970. */
  readonly ms: number;
  /** YYYY-MM-DD, UTC. */
  readonly day: string;
  /** ISO 8601 in UTC, as the hash covers it. */
  readonly field: string;
  /** The column at. */
  readonly row: string;
}

/** @param ms since 1970 */
export function timeAt(ms: number): Time {
  const text = new Date(ms).toISOString();
  return { ms, day: text.slice(0, 10), field: field(text), row: int64((ms - EPOCH_MS) * 1000) };
}

/** The place of a record in its chain. */
export interface Place {
  readonly chain: ChainName;
  readonly seq: number;
  /** Of the record before, or the opening of the chain: 32 bytes as the characters of a text. */
  readonly previous: string;
}

const START = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const LABEL = Buffer.from(`iqra-authz/decision/${FORMAT}\n`);
/** Room for all of a record that is of a fixed size, and the lengths of its texts. */
const FIXED_BYTES = 512;
/** Of a row. */
const USUAL_BYTES = 768;
/** PostgreSQL counts from 2000. */
const EPOCH_MS = Date.UTC(2000);
/** With its length. */
const UUID_BYTES = 20;
/** The length of a UUID as a text. */
const UUID_LENGTH = '\0\0\0\x24';

/** For so many rows. */
export function startRows(count: number): Bytes {
  const rows = newBytes(START.length + count * USUAL_BYTES);
  putBytes(rows, START);
  return rows;
}

export function endRows(rows: Bytes): Buffer {
  reserve(rows, 2);
  putInt16(rows, -1);
  return written(rows);
}

/**
 * Adds the row of an entry at its place, and returns its hash as `previous` of the next. Salts the personal data anew. `shared`: the situation of the
 * entry, where the row is to name it; undefined: the row has facts and policy itself.
 */
export function putRow(
  rows: Bytes,
  entry: Entry,
  at: Time,
  { chain, seq, previous }: Place,
  shared: Situation | undefined,
): string {
  const { context, shadow, durationUs, fingerprint = null, callerRequestId = null, traceId = null } = entry;
  const { ip = null, userAgent = null, requestId = null } = context;
  const requests = textOf(requestId) + textOf(callerRequestId) + textOf(traceId);
  const rest =
    textOf(fingerprint) + (shadow ? textOf(shadow.policy) + textOf(shadow.code) + textOf(shadow.rule) : NO_SHADOW);
  const personal = textOf(ip) + textOf(userAgent);
  const constant = decided(entry, shared);
  const salted = ip === null && userAgent === null ? NOTHING_TOLD : salt(personal);

  const places = chain.fields + field(String(seq)) + UUID_LENGTH + entry.id + at.field;
  const after = salted.field + requests + field(String(durationUs)) + rest;
  hashed.at = LABEL.length;
  reserve(hashed, FIXED_BYTES + places.length + constant.hashed.length + after.length);
  putLatin1(hashed, previous + places + constant.hashed + after);
  const digest = hash('sha256', written(hashed), 'binary');

  reserve(rows, FIXED_BYTES + requests.length + rest.length + personal.length + constant.row.length);
  putInt16(rows, ROW_COLUMNS.length);
  putUuid(rows, entry.id);
  const place = `${at.row}${chain.row}${int64(seq)}\0\0\0\x20${digest}`;
  // All the rest as one text: to write each part by itself takes longer than to join them.
  putLatin1(rows, place + salted.row + int32(durationUs) + requests + rest + personal + constant.row);
  return digest;
}

/** A column integer. @throws RangeError: the number is none; its bytes would be another's, which the hash does not cover */
function int32(value: number): string {
  if ((value | 0) !== value) throw new RangeError('not an integer of 4 bytes');
  return `\0\0\0\x04${lengthOf(value)}`;
}

/** A column bigint, of a safe integer. */
const int64 = (value: number): string => {
  const high = Math.floor(value / 2 ** 32);
  return `\0\0\0\x08${lengthOf(high)}${lengthOf(value - high * 2 ** 32)}`;
};

const NO_SHADOW = NULL.repeat(3);

/** What the hash of a record covers, written anew for each. */
const hashed = newBytes(8 * 1024);
putBytes(hashed, LABEL);

/** A field. @throws Error: the text has half a surrogate pair, which UTF-8 cannot say */
function textOf(text: string | null): string {
  if (text !== null && !text.isWellFormed()) throw new Error('a text has half of a surrogate pair');
  return field(text);
}

function putUuid(bytes: Bytes, uuid: string): void {
  putInt32(bytes, 16);
  const [a, b, c, d, e] = [uuid.slice(0, 8), uuid.slice(9, 13), uuid.slice(14, 18), uuid.slice(19, 23), uuid.slice(24)];
  putHex(bytes, a + b + c + d + e, 16);
}

/** What the hash and the row of a record have of the salt and the digest of its personal data. */
interface Salted {
  readonly field: string;
  /** The columns personal_salt and personal_digest. */
  readonly row: string;
}

const SALT_BYTES = 16;
const salts = Buffer.alloc(256 * SALT_BYTES);
let usedSalts = salts.length;

const PERSONAL_LABEL = Buffer.from('iqra-authz/personal/1\n');
/** What the digest of personal data covers, written anew for each. */
const covered = newBytes(1024);
putBytes(covered, PERSONAL_LABEL);
const digestBytes = newBytes(32);

/** The salted digest (`personalDigest`) of the fields ip and user_agent. With 16 random bytes, drawn many at a time: a draw costs more than all the rest of a record. */
function salt(personal: string): Salted {
  if (usedSalts === salts.length) {
    randomFillSync(salts);
    usedSalts = 0;
  }
  const random = salts.toString('latin1', usedSalts, usedSalts + SALT_BYTES);
  usedSalts += SALT_BYTES;
  covered.at = PERSONAL_LABEL.length;
  reserve(covered, SALT_BYTES + personal.length);
  putLatin1(covered, random + personal);
  const digest = hash('sha256', written(covered), 'binary');
  digestBytes.at = 0;
  putLatin1(digestBytes, digest);
  return { field: field(digestBytes.buffer.toString('hex')), row: `\0\0\0\x10${random}\0\0\0\x20${digest}` };
}

/** One for all records of the process whose caller told nothing of its client: there is nothing to hide. */
const NOTHING_TOLD = salt(NULL + NULL);

/** What is the same in all records of a caller, a situation and a decision: texts of the bytes. */
interface Constant extends Pick<Entry, 'callerId'> {
  readonly effect: string;
  readonly code: string;
  readonly rule: string;
  /** The fields before and behind those of the ids, as the hash covers them, up to facts_version. */
  readonly before: string;
  readonly behind: string;
  /** The columns behind the ids. */
  readonly row: string;
}

const constants = new WeakMap<Situation, Constant[]>();
/** Of one situation: its callers, mostly, as what is decided follows from it, unless a row of the policy reads an id. */
const MOST_CONSTANTS = 16;

/** What the hash of a record covers from caller_id to facts, and the columns of the same. @throws Error: half of a surrogate pair */
function decided(entry: Entry, shared: Situation | undefined): { readonly hashed: string; readonly row: string } {
  const { key, user, target } = entry.facts;
  const ids = textOf(key.id || null) + textOf(user.id || null) + textOf(target.id || null);
  if (shared === undefined) {
    const { before, behind, row } = encode(entry, undefined);
    return { hashed: before + ids + behind + textOf(canonicalFacts(entry.facts)), row: ids + row };
  }
  const { before, behind, row } = constantOf(entry, shared);
  return { hashed: before + ids + behind + factsField(shared, key.id, target.id, user.id), row: ids + row };
}

function constantOf(entry: Entry, situation: Situation): Constant {
  const known = constants.get(situation) ?? [];
  const { callerId, decision } = entry;
  for (const one of known)
    if (
      one.callerId === callerId &&
      one.rule === decision.rule &&
      one.code === decision.code &&
      one.effect === decision.effect
    )
      return one;
  const constant = encode(entry, situation);
  constants.set(situation, known.length < MOST_CONSTANTS ? [...known, constant] : [constant]);
  return constant;
}

function encode({ callerId, facts, decision, policy }: Entry, situation: Situation | undefined): Constant {
  const { effect, code, rule } = decision;
  const caller = textOf(callerId);
  const outcome = [facts.request.action, effect, code, rule].map(textOf).join('');
  const behind = outcome + textOf(policy) + field(String(FACTS_VERSION));
  if (situation) {
    const row = `${caller}${outcome}\0\0\0\x20${situation.digest}${NULL.repeat(3)}`;
    return { callerId, effect, code, rule, before: caller, behind, row };
  }
  const json = textOf(canonicalFacts(facts)).slice(4);
  // smallint: two bytes. jsonb: the number of its format, and the text.
  const version = `\0\0\0\x02\0${String.fromCharCode(FACTS_VERSION)}`;
  const row = `${caller + outcome + NULL + textOf(policy) + version + lengthOf(json.length + 1)}\x01${json}`;
  return { callerId, effect, code, rule, before: caller, behind, row };
}
