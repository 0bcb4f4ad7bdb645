/**
 * The record that follows the one before as it was written, which nearly all do: proven from the bytes of its row, by hash and digest,
 * without reading it field by field. What is not proven here is read in full elsewhere, and judged there.
 */

import { hash as digestOf } from 'node:crypto';
import { FORMAT } from '../format/record-hash.ts';
import type { Fields } from './binary-row.ts';
import { factsWriter } from './plain-facts.ts';
import { putAscii, putBytes, putDigits, putHex, putJson, putLength, putUuid } from './put.ts';
import type { Situations } from './situations.ts';
import { AT } from './stored-columns.ts';

/** One chain, as far as it is proven. */
export interface ProvenChain {
  readonly boot: string;
  readonly day: string;
  /** The number of the last record. */
  seq: number;
  /** Its time, in milliseconds. */
  ms: number;
  /** Whether its personal data are gone. */
  erased: boolean;
  /** Its hash; the opening before the first. Written anew with each. */
  readonly hash: Buffer;
}

/** Whether the row is the next record of the chain, with hash, time, facts and personal data as they were written; then it is taken. */
export type TakeNext = (chain: ProvenChain, fields: Fields) => boolean;

const LABEL = Buffer.from(`iqra-authz/decision/${FORMAT}\n`);
const HASH_BYTES = 32;
/** Behind label, previous hash, boot and day. */
const SEQ_AT = LABEL.length + HASH_BYTES + (4 + 36) + (4 + 10);
/** Of 8 KB in UTF-16 at most, and its policy. */
const LONGEST_SITUATION = 32 * 1024;
const DAY_MS = 86_400_000;
const EPOCH_MS = Date.UTC(2000);

export function createProver(situations: Situations): TakeNext {
  const isPersonal = personalProver();
  const ownFacts = factsWriter();
  const startHashed = hashedStart();

  return (chain, fields) => {
    const { bytes, start, length } = fields;
    for (let column = 0; column <= AT.personal_digest; column += 1)
      if (length[column] !== FIXED_BYTES[column]) return false;
    for (const column of NOT_NULL) if ((length[column] ?? -1) < 0) return false;
    const seqAt = of(start, AT.seq);
    const atAt = of(start, AT.at);
    const idAt = of(start, AT.id);
    const hashAt = of(start, AT.hash);
    const digestAt = of(start, AT.personal_digest);
    const seq = int32(bytes, seqAt) * 2 ** 32 + (int32(bytes, seqAt + 4) >>> 0);
    const micros = int32(bytes, atAt) * 2 ** 32 + (int32(bytes, atAt + 4) >>> 0);
    const ms = (int32(bytes, idAt) >>> 0) * 2 ** 16 + (bytes[idAt + 4] as number) * 256 + (bytes[idAt + 5] as number);
    // The id is a UUIDv7: its first 48 bits are the time.
    if (seq !== chain.seq + 1 || micros !== (ms - EPOCH_MS) * 1000 || (bytes[idAt + 6] as number) >> 4 !== 7)
      return false;

    const size = 6 * (of(start, AT.user_agent) - of(start, AT.boot)) + LONGEST_SITUATION;
    const inDay = startHashed(chain, size, ms);
    if (inDay === undefined) return false;
    const { to } = inDay;
    putBytes(to, LABEL.length, chain.hash, 0, HASH_BYTES);
    let at = putAscii(to, SEQ_AT, String(seq));
    at = putUuid(to, at, bytes, idAt);
    at = putBytes(to, at, inDay.instant, 0, inDay.instant.length);
    const end = putFacts(fields, to, at);
    if (end < 0) return false;
    at = putLength(to, end, 2 * HASH_BYTES);
    at = putHex(to, at, bytes, digestAt, digestAt + HASH_BYTES);
    at = copy(fields, AT.request_id, AT.trace_id, to, at);
    at = putAscii(to, at, String(int32(bytes, of(start, AT.duration_us))));
    at = copy(fields, AT.fingerprint, AT.shadow_rule, to, at);
    if (digestOf('sha256', to.subarray(0, at), 'hex') !== bytes.toString('hex', hashAt, hashAt + HASH_BYTES))
      return false;

    const erased = length[AT.personal_salt] === -1 && length[AT.ip] === -1 && length[AT.user_agent] === -1;
    if (!erased && !isPersonal(fields)) return false;
    putBytes(chain.hash, 0, bytes, hashAt, hashAt + HASH_BYTES);
    chain.seq = seq;
    chain.ms = ms;
    chain.erased = erased;
    return true;
  };

  /** The fields from caller_id to facts. @returns where they end; -1: nothing is known of them */
  function putFacts(fields: Fields, to: Buffer, at: number): number {
    const { bytes, start, length } = fields;
    if (length[AT.situation] === -1) {
      if (length[AT.policy] === -1 || length[AT.facts_version] !== 2 || (length[AT.facts] ?? -1) < 1) return -1;
      const behind = copy(fields, AT.caller_id, AT.policy, to, at);
      return ownFacts(fields, to, putAscii(to, behind, String(bytes.readInt16BE(of(start, AT.facts_version)))));
    }
    const from = of(start, AT.situation);
    const situation = situations.get(bytes.toString('latin1', from, from + Math.max(0, of(length, AT.situation))));
    if (situation === undefined) return -1;
    const { before, pieces } = situation;
    const factsAt = putBytes(to, copy(fields, AT.caller_id, AT.rule, to, at), before, 0, before.length);
    let end = putBytes(to, factsAt + 4, pieces[0], 0, pieces[0].length);
    end = putId(fields, AT.api_key_id, to, end);
    end = putBytes(to, end, pieces[1], 0, pieces[1].length);
    end = putId(fields, AT.business_id, to, end);
    end = putBytes(to, end, pieces[2], 0, pieces[2].length);
    end = putId(fields, AT.user_id, to, end);
    end = putBytes(to, end, pieces[3], 0, pieces[3].length);
    putLength(to, factsAt, end - factsAt - 4);
    return end;
  }
}

/** Of the columns up to personal_digest, all of which have one length. */
const FIXED_BYTES = [16, 8, 16, 8, HASH_BYTES, 4, HASH_BYTES];
const NOT_NULL = [AT.caller_id, AT.action, AT.effect, AT.code, AT.rule];

const of = (numbers: Int32Array, column: number): number => numbers[column] as number;

const int32 = (bytes: Buffer, at: number): number =>
  ((bytes[at] as number) << 24) |
  ((bytes[at + 1] as number) << 16) |
  ((bytes[at + 2] as number) << 8) |
  (bytes[at + 3] as number);

/** Copies the fields of the columns from `first` to `last`, with their lengths, as they stand in the row. */
function copy({ bytes, start, length }: Fields, first: number, last: number, to: Buffer, at: number): number {
  return putBytes(to, at, bytes, of(start, first) - 4, of(start, last) + Math.max(0, of(length, last)));
}

function putId({ bytes, start, length }: Fields, column: number, to: Buffer, at: number): number {
  const from = of(start, column);
  return putJson(to, at, bytes, from, from + Math.max(0, of(length, column)));
}

interface Start {
  /** With label, boot and day written. */
  to: Buffer;
  /** The field `at`. */
  readonly instant: Buffer;
}

/** Writes what is the same for all records of a chain once. Undefined where a time is not of its day. */
function hashedStart(): (chain: ProvenChain, size: number, ms: number) => Start | undefined {
  const start: Start = { to: Buffer.alloc(0), instant: Buffer.alloc(4 + 24) };
  let last: ProvenChain | undefined;
  let midnight = 0;
  return (chain, size, ms) => {
    if (chain !== last || start.to.length < size) {
      if (start.to.length < size) start.to = Buffer.alloc(2 * size);
      LABEL.copy(start.to);
      putAscii(start.to, putAscii(start.to, LABEL.length + HASH_BYTES, chain.boot), chain.day);
      putAscii(start.instant, 0, `${chain.day}T00:00:00.000Z`);
      midnight = Date.parse(chain.day);
      last = chain;
    }
    const inDay = ms - midnight;
    if (!(inDay >= 0 && inDay < DAY_MS)) return undefined;
    const { instant } = start;
    const seconds = Math.floor(inDay / 1000);
    const minutes = Math.floor(seconds / 60);
    const hours = Math.floor(minutes / 60);
    putDigits(instant, 15, hours, 2);
    putDigits(instant, 18, minutes - 60 * hours, 2);
    putDigits(instant, 21, seconds - 60 * minutes, 2);
    putDigits(instant, 24, inDay - 1000 * seconds, 3);
    return start;
  };
}

const PERSONAL = Buffer.from('iqra-authz/personal/1\n');
const SALT_BYTES = 16;

/** Whether the digest of a row is that of its personal data. Those of who told nothing have one salt for a process. */
function personalProver(): (fields: Fields) => boolean {
  let hashed = Buffer.alloc(4096);
  PERSONAL.copy(hashed);
  let saltOfNothing = '';
  let digestOfNothing = '';
  return ({ bytes, start, length }) => {
    if (length[AT.personal_salt] !== SALT_BYTES) return false;
    const from = of(start, AT.personal_salt);
    const end = of(start, AT.user_agent) + Math.max(0, of(length, AT.user_agent));
    const digestAt = of(start, AT.personal_digest);
    const digest = bytes.toString('hex', digestAt, digestAt + HASH_BYTES);
    const nothing = length[AT.ip] === -1 && length[AT.user_agent] === -1;
    const salt = nothing ? bytes.toString('hex', from, from + SALT_BYTES) : '';
    if (nothing && salt === saltOfNothing) return digest === digestOfNothing;
    if (hashed.length < PERSONAL.length + end - from) {
      hashed = Buffer.alloc(2 * (PERSONAL.length + end - from));
      PERSONAL.copy(hashed);
    }
    const size = putBytes(hashed, PERSONAL.length, bytes, from, end);
    if (digestOf('sha256', hashed.subarray(0, size), 'hex') !== digest) return false;
    if (nothing) [saltOfNothing, digestOfNothing] = [salt, digest];
    return true;
  };
}
