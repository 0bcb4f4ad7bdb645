/**
 * The record that follows the one before as it was written, which nearly all do: proven from its bytes, by hash and digest, without
 * reading it field by field. What is not proven here is read in full, and judged there.
 */

import { hash as digestOf } from 'node:crypto';
import { FORMAT } from '../format/record-hash.ts';
import type { Fields } from './binary-row.ts';
import type { ChainRecord } from './chain.ts';
import { AT, uuidText } from './columns-read.ts';
import { factsWriter } from './plain-facts.ts';

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
  const facts = factsWriter();
  const instant = instantWriter();
  const isBoot = bootComparer();

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
    for (let column = 0; column <= AT.caller_id; column += 1) if ((length[column] ?? -1) < 0) return undefined;
    if (length[AT.policy] === -1 || after.links[0]?.length !== 32) return undefined;
    const seq = bytes.readUInt32BE(of(start, AT.seq)) * 2 ** 32 + bytes.readUInt32BE(of(start, AT.seq) + 4);
    const micros = bytes.readInt32BE(of(start, AT.at)) * 2 ** 32 + bytes.readUInt32BE(of(start, AT.at) + 4);
    const ms = bytes.readUIntBE(of(start, AT.id), 6);
    // The id is a UUIDv7: its first 48 bits are the time.
    if (seq !== after.seq + 1 || micros !== (ms - EPOCH_MS) * 1000 || (bytes[of(start, AT.id) + 6] ?? 0) >> 4 !== 7)
      return undefined;
    const at = instant(ms);
    if (!at.startsWith(after.day) || !isBoot(bytes, of(start, AT.boot), after.boot) || length[AT.hash] !== 32)
      return undefined;
    if (!isPersonal(fields)) return undefined;

    const room = 2 * (of(start, AT.user_agent) - of(start, AT.boot)) + 1024;
    if (scratch.length < room) scratch = Buffer.alloc(2 * room);
    const from = putPlace(scratch, after);
    const id = uuidText(bytes, of(start, AT.id));
    let to = text(scratch, ID_AT, id);
    to = text(scratch, to, at);
    to = copy(fields, AT.caller_id, AT.policy, scratch, to);
    to = text(scratch, to, String(bytes.readInt16BE(of(start, AT.facts_version))));
    to = facts(fields, scratch, to);
    if (to < 0) return undefined;
    to = text(scratch, to, bytes.toString('hex', of(start, AT.personal_digest), of(start, AT.personal_digest) + 32));
    to = copy(fields, AT.request_id, AT.caller_request_id, scratch, to);
    to = text(scratch, to, String(bytes.readInt32BE(of(start, AT.duration_us))));
    to = copy(fields, AT.fingerprint, AT.shadow_rule, scratch, to);
    const hex = digestOf('sha256', scratch.subarray(from, to), 'hex');
    if (hex !== bytes.toString('hex', of(start, AT.hash), of(start, AT.hash) + 32)) return undefined;
    return { seq, id, at, hash: Buffer.from(hex, 'hex'), timeFault: null, factsFault: null };
  };
}

/** Copies the fields of the columns from `first` to `last`, with their lengths, as they stand in the row. */
function copy({ bytes, start, length }: Fields, first: number, last: number, to: Buffer, at: number): number {
  const from = (start[first] ?? 0) - 4;
  const end = (start[last] ?? 0) + Math.max(0, length[last] ?? 0);
  return at + bytes.copy(to, at, from, end);
}

const of = (start: Int32Array, column: number): number => start[column] ?? 0;

/** A field of ASCII text. */
function text(to: Buffer, at: number, ascii: string): number {
  to.writeInt32BE(ascii.length, at);
  return at + 4 + to.write(ascii, at + 4, 'latin1');
}

/** Writes label, previous hash, boot, day and number so that they end where the id begins. @returns where they begin */
function putPlace(to: Buffer, { boot, day, seq, links: [previous = NONE] }: After): number {
  const digits = String(seq + 1);
  const from = ID_AT - (LABEL.length + 32 + 4 + boot.length + 4 + day.length + 4 + digits.length);
  LABEL.copy(to, from);
  previous.copy(to, from + LABEL.length);
  text(to, text(to, text(to, from + LABEL.length + 32, boot), day), digits);
  return from;
}

/** Whether 16 bytes are those of a UUID, which is the same for as long as a chain. */
function bootComparer(): (bytes: Buffer, start: number, uuid: string) => boolean {
  let last = '';
  let own = Buffer.alloc(16);
  return (bytes, start, uuid) => {
    if (uuid !== last) own = Buffer.from(uuid.replaceAll('-', ''), 'hex');
    last = uuid;
    for (let index = 0; index < 16; index += 1) if (own[index] !== bytes[start + index]) return false;
    return true;
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
