/**
 * The bytes that the decision log is hashed over. docs/audit.md describes them for whoever verifies without this code, so
 * nothing here may ever change: another encoding would be another version, beside this one.
 */

import { hash } from 'node:crypto';

/** A row of `decisions` without its hash, under the names of its columns. */
export interface LogRecord {
  /** Of the process that wrote it: a random UUID in lower case. Together with the day it names the chain. */
  readonly boot: string;
  /** The UTC day of `at`, YYYY-MM-DD. */
  readonly day: string;
  /** The place in the chain, from 1 and without a gap. */
  readonly seq: number;
  /** A UUIDv7 in lower case. */
  readonly id: string;
  /** ISO 8601 in UTC, with milliseconds: 2026-01-02T03:04:05.678Z. */
  readonly at: string;
  readonly caller_id: string;
  readonly api_key_id: string | null;
  readonly user_id: string | null;
  readonly business_id: string | null;
  readonly action: string;
  readonly effect: string;
  readonly code: string;
  readonly rule: string;
  readonly policy: string;
  /** The RFC 8785 JSON of the value. */
  readonly facts: string;
  /** Lower-case hex, as `personalDigest` makes it. It stays when the three that it covers are erased. */
  readonly personal_digest: string;
  readonly request_id: string | null;
  /** Microseconds. */
  readonly duration_us: number | null;
  /** Of a credential that no key was found for. */
  readonly fingerprint: string | null;
  readonly shadow_policy: string | null;
  readonly shadow_code: string | null;
  readonly shadow_rule: string | null;
}

/** The personal data of a record, which its hash covers by `personal_digest` alone. All three are null once erased. */
export interface Personal {
  readonly ip: string | null;
  readonly user_agent: string | null;
  /** Lower-case hex of 16 random bytes. */
  readonly personal_salt: string | null;
}

/** What the first chain of a process opens with: 32 zero bytes. */
export const FIRST_OPENING: Buffer = Buffer.alloc(32);

const NULL = '\xff\xff\xff\xff';

/**
 * The hash of a record that stands after one with the hash `previous`, or after the opening of its chain.
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
    field(record.facts) +
    field(record.personal_digest) +
    field(record.request_id) +
    field(record.duration_us === null ? null : String(record.duration_us)) +
    field(record.fingerprint) +
    field(record.shadow_policy) +
    field(record.shadow_code) +
    field(record.shadow_rule);
  return sha256(bytes);
}

/** The digest that stands for ip and user agent in the hash of their record. `salt` is 16 random bytes. */
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
