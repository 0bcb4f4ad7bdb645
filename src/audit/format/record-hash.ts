/**
 * The bytes that the decision log is hashed over. docs/audit.md describes them for whoever verifies without this code, so
 * nothing here may ever change once it was released: another encoding is another format, beside this one.
 */

import { hash } from 'node:crypto';
import type { ColumnValue, HashedColumn } from '../columns.ts';

/**
 * A row of `decisions` as far as its hash covers it, under the names of its columns, and the UTC day of `at` (YYYY-MM-DD):
 * with `boot`, a random UUID of the process that wrote it, the day names the chain, and `seq` is the place in it, from 1
 * without a gap. UUIDs are in lower case.
 */
export type LogRecord = { readonly [C in HashedColumn]: ColumnValue<C> } & { readonly day: string };

/**
 * The personal data of a record and their salt (16 random bytes), which its hash covers by `personal_digest` alone. All
 * three are null once erased.
 */
export type Personal = { readonly [C in 'ip' | 'user_agent' | 'personal_salt']: ColumnValue<C> };

/** The format that this version writes: it stands in the head of each chain, and in the label of each of its records. */
export const FORMAT = 1;

/** The hash of a record that stands after one with the hash `previous`, or after the opening of its chain. */
export type RecordHash = (previous: Buffer, record: LogRecord) => Buffer;

/** What the first chain of a process opens with: 32 zero bytes. */
export const FIRST_OPENING: Buffer = Buffer.alloc(32);

/** The field of null. */
export const NULL = '\xff\xff\xff\xff';

/**
 * The RecordHash of format 1. Spelled out rather than derived from the columns: a column that is added later is another format.
 * INVARIANT: no two different records have the same bytes: each field carries its length, and null is no length.
 */
export function recordHash(previous: Buffer, record: LogRecord): Buffer {
  const bytes =
    'iqra-authz/decision/1\n' +
    previous.toString('latin1') +
    field(record.boot) +
    field(record.day) +
    field(String(record.seq)) +
    field(record.id) +
    field(record.at) +
    field(record.caller_id) +
    field(record.api_key_id) +
    field(record.user_id) +
    field(record.business_id) +
    field(record.action) +
    field(record.effect) +
    field(record.code) +
    field(record.rule) +
    field(record.policy) +
    field(String(record.facts_version)) +
    field(record.facts) +
    field(record.personal_digest) +
    field(record.request_id) +
    field(record.caller_request_id) +
    field(record.trace_id) +
    field(record.duration_us === null ? null : String(record.duration_us)) +
    field(record.fingerprint) +
    field(record.shadow_policy) +
    field(record.shadow_code) +
    field(record.shadow_rule);
  return sha256(bytes);
}

/** By format: all that this version can verify. */
export const RECORD_HASHES: ReadonlyMap<number, RecordHash> = new Map([[FORMAT, recordHash]]);

/** The salted digest by which the hash of a record covers ip and user agent. `salt` is 16 random bytes. */
export function personalDigest(salt: Buffer, ip: string | null, userAgent: string | null): Buffer {
  return sha256(`iqra-authz/personal/1\n${salt.toString('latin1')}${field(ip)}${field(userAgent)}`);
}

/**
 * A field as it enters a hash: 4 bytes of length, big-endian, and its UTF-8; or FF FF FF FF for null. One character of
 * the result is one byte: strings are joined faster than buffers, and this runs for every decision.
 */
export function field(value: string | null): string {
  if (value === null) return NULL;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are one byte of UTF-8.
  const bytes = /^[\x00-\x7f]*$/.test(value) ? value : Buffer.from(value).toString('latin1');
  const { length } = bytes;
  return String.fromCharCode(length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255) + bytes;
}

/** Of a text whose characters are the bytes. By way of hex, because Node takes three times as long to return a buffer. */
export const sha256 = (bytes: string): Buffer => Buffer.from(hash('sha256', Buffer.from(bytes, 'latin1')), 'hex');
