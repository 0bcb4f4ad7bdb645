/**
 * The record that follows the one before as it was written, which nearly all do: proven from its bytes, by hash and digest, without
 * reading it field by field. What is not proven here is read in full, and judged there.
 */

import { hash as digestOf } from 'node:crypto';
import canonicalizer from 'canonicalize';
import { FORMAT } from '../format/record-hash.ts';
import type { Fields } from './binary-row.ts';
import type { ChainRecord } from './chain.ts';
import { AT, uuidText } from './columns-read.ts';
import { hasRoundedNumber } from './row.ts';

const canonicalize = canonicalizer as unknown as (value: unknown) => string | undefined;

/** A chain up to a record: its number, and the only hash that the next one may be hashed behind. */
export interface After {
  readonly boot: string;
  readonly day: string;
  readonly seq: number;
  readonly links: readonly Buffer[];
}

/** The record, where it is of the same chain, has the next number, and hash, time, facts and personal data are as they were written. */
export type ProveNext = (fields: Fields, after: After) => ChainRecord | undefined;

const LABEL = Buffer.from(`iqra-authz/decision/${FORMAT}\n`);
const PERSONAL = Buffer.from('iqra-authz/personal/1\n');
/** What stands before the id is at most so long, and is written up to here. */
const ID_AT = 256;

const EPOCH_MS = Date.UTC(2000);
const NONE = Buffer.alloc(0);

export function createProver(): ProveNext {
  let scratch = Buffer.alloc(16 * 1024);
  const personal = Buffer.alloc(16 * 1024);
  PERSONAL.copy(personal);
  const canonical = factsWriter();
  const place = placeWriter();
  const instant = instantWriter();

  /** Copies the fields of the columns from `first` to `last`, with their lengths, as they stand in the row. */
  const copy = ({ bytes, start, length }: Fields, first: number, last: number, to: Buffer, at: number): number => {
    const from = (start[first] ?? 0) - 4;
    const end = (start[last] ?? 0) + Math.max(0, length[last] ?? 0);
    return at + bytes.copy(to, at, from, end);
  };

  const isPersonal = (fields: Fields): boolean => {
    const { bytes, start, length } = fields;
    if (length[AT.personal_salt] !== 16 || length[AT.personal_digest] !== 32) return false;
    const [salt = 0, digest = 0] = [start[AT.personal_salt], start[AT.personal_digest]];
    const end = (start[AT.user_agent] ?? 0) + Math.max(0, length[AT.user_agent] ?? 0);
    const size = PERSONAL.length + 16 + end - (salt + 16);
    if (size > personal.length) return false;
    bytes.copy(personal, PERSONAL.length, salt, end);
    return digestOf('sha256', personal.subarray(0, size), 'hex') === bytes.toString('hex', digest, digest + 32);
  };

  return (fields, after) => {
    const { bytes, start, length } = fields;
    const of = (column: number): number => start[column] ?? 0;
    for (let column = 0; column <= AT.caller_id; column += 1) if ((length[column] ?? -1) < 0) return undefined;
    if (length[AT.policy] === -1) return undefined;
    const seq = bytes.readUInt32BE(of(AT.seq)) * 2 ** 32 + bytes.readUInt32BE(of(AT.seq) + 4);
    const micros = bytes.readInt32BE(of(AT.at)) * 2 ** 32 + bytes.readUInt32BE(of(AT.at) + 4);
    const ms = bytes.readUIntBE(of(AT.id), 6);
    // The id is a UUIDv7: its first 48 bits are the time.
    if (seq !== after.seq + 1 || micros !== (ms - EPOCH_MS) * 1000 || (bytes[of(AT.id) + 6] ?? 0) >> 4 !== 7)
      return undefined;
    const at = instant(ms);
    if (at.slice(0, 10) !== after.day || uuidText(bytes, of(AT.boot)) !== after.boot || length[AT.hash] !== 32)
      return undefined;
    const facts = canonical(fields);
    if (facts === undefined || !isPersonal(fields)) return undefined;

    const room = of(AT.user_agent) - of(AT.boot) + facts.length + 1024;
    if (scratch.length < room) scratch = Buffer.alloc(2 * room);
    const from = place(scratch, after);
    const id = uuidText(bytes, of(AT.id));
    let to = text(scratch, ID_AT, id);
    to = text(scratch, to, at);
    to = copy(fields, AT.caller_id, AT.policy, scratch, to);
    to = text(scratch, to, String(bytes.readInt16BE(of(AT.facts_version))));
    to += facts.copy(scratch, to);
    to = text(scratch, to, bytes.toString('hex', of(AT.personal_digest), of(AT.personal_digest) + 32));
    to = copy(fields, AT.request_id, AT.caller_request_id, scratch, to);
    to = text(scratch, to, String(bytes.readInt32BE(of(AT.duration_us))));
    to = copy(fields, AT.fingerprint, AT.shadow_rule, scratch, to);
    const hex = digestOf('sha256', scratch.subarray(from, to), 'hex');
    if (hex !== bytes.toString('hex', of(AT.hash), of(AT.hash) + 32)) return undefined;
    return { seq, id, at, hash: Buffer.from(hex, 'hex'), timeFault: null, factsFault: null };
  };
}

/** A field of ASCII text. */
function text(to: Buffer, at: number, ascii: string): number {
  to.writeInt32BE(ascii.length, at);
  return at + 4 + to.write(ascii, at + 4, 'latin1');
}

/** Writes label, previous hash, boot, day and number so that they end where the id begins. @returns where they begin */
function placeWriter(): (to: Buffer, after: After) => number {
  return (to, { boot, day, seq, links: [previous = NONE] }) => {
    const digits = String(seq + 1);
    const from = ID_AT - (LABEL.length + 32 + 4 + boot.length + 4 + day.length + 4 + digits.length);
    LABEL.copy(to, from);
    previous.copy(to, from + LABEL.length);
    text(to, text(to, text(to, from + LABEL.length + 32, boot), day), digits);
    return from;
  };
}

/** Most records are of the millisecond of the one before. */
function instantWriter(): (ms: number) => string {
  let last = Number.NaN;
  let iso = '';
  return (ms) => {
    if (ms !== last) iso = new Date(ms).toISOString();
    last = ms;
    return iso;
  };
}

const MOST_KEPT = 10_000;

/**
 * jsonb as a field of its RFC 8785 text; undefined where that would round. Kept, since the same facts come again and again.
 */
function factsWriter(): (fields: Fields) => Buffer | undefined {
  const kept = new Map<string, Buffer | undefined>();
  return ({ bytes, start, length }) => {
    const from = (start[AT.facts] ?? 0) + 1;
    const jsonb = bytes.toString('latin1', from, from + (length[AT.facts] ?? 0) - 1);
    if (kept.has(jsonb)) return kept.get(jsonb);
    const json = Buffer.from(jsonb, 'latin1').toString('utf8');
    const canonical = hasRoundedNumber(json) ? undefined : canonicalize(JSON.parse(json));
    const field = canonical === undefined ? undefined : fieldOf(Buffer.from(canonical));
    if (kept.size === MOST_KEPT) kept.clear();
    kept.set(jsonb, field);
    return field;
  };
}

function fieldOf(utf8: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(utf8.length);
  return Buffer.concat([length, utf8]);
}
