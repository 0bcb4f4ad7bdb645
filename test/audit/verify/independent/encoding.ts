/**
 * The encoding of docs/audit.md, "The encoding", written from that page alone: what is hashed, and how. It shares nothing with the
 * service, so that an error in ours is not made twice.
 */

import { createHash } from 'node:crypto';

/** A field, before it is encoded. */
export type Value = string | null;

/** What the log is found not to be. All other errors are the verifier's own, and nobody takes them for a finding. */
export class Found extends Error {}

/** Throws `Found`. */
export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Found(otherwise);
}

/** The opening of the first chain of a process, in hex. */
export const ZEROS = Buffer.alloc(32).toString('hex');

/** Of the parts, one behind the other. */
export const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash('sha256').update(Buffer.concat(parts)).digest();

/** A field: the length of its UTF-8 in 4 bytes, and that; null is FF FF FF FF. */
function encodeField(value: Value): Buffer {
  if (value === null) return Buffer.alloc(4, 0xff);
  const text = Buffer.from(value, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
}

/** `label` and a newline, and the fields behind it. */
export const encode = (label: string, ...values: readonly Value[]): Buffer =>
  Buffer.concat([Buffer.from(`${label}\n`, 'ascii'), ...values.map(encodeField)]);

/** RFC 8785: members in the order of their UTF-16 code units, numbers and strings as ECMAScript writes them. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = new Map(Object.entries(value));
  const names = [...members.keys()].sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonicalJson(members.get(name))}`).join(',')}}`;
}

/** The digits of a decimal number without zeros at its ends, and the power of ten of the last. */
function decimal(text: string): string {
  const [, sign = '', whole = '', fraction = '', power = '0'] = /^(-?)(\d+)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${Number(power) - fraction.length + digits.length - significant.length}`;
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi;

/** Of the text of a jsonb value, which may have a number that reading JSON rounds: another one was hashed then. */
export function parseExactly(text: string): unknown {
  for (const [token] of text.matchAll(STRING_OR_NUMBER))
    if (!token.startsWith('"'))
      must(decimal(token) === decimal(String(Number(token))), `${token} is no number of canonical JSON`);
  return JSON.parse(text);
}

const RECORD_FIELDS = (
  'boot day seq id at caller_id api_key_id user_id business_id action effect code rule policy ' +
  'facts_version facts personal_digest request_id caller_request_id trace_id duration_us fingerprint ' +
  'shadow_policy shadow_code shadow_rule'
).split(' ');

const EVENT_FIELDS = 'seq id at chained_at actor login action subject_kind subject_id before after request_id'.split(
  ' ',
);

const valuesOf = (texts: Readonly<Record<string, Value>>, fields: readonly string[]): Buffer[] =>
  fields.map((field) => encodeField(texts[field] ?? null));

/** Of a record of format 1, in texts. */
export const hashOfRecord = (previous: Buffer, record: Readonly<Record<string, Value>>): Buffer =>
  sha256(Buffer.from('iqra-authz/decision/1\n', 'ascii'), previous, ...valuesOf(record, RECORD_FIELDS));

/** Of an event of administration, in texts. */
export const hashOfEvent = (previous: Buffer, event: Readonly<Record<string, Value>>): Buffer =>
  sha256(Buffer.from('iqra-authz/event/1\n', 'ascii'), previous, ...valuesOf(event, EVENT_FIELDS));

/** Over the 16 bytes of the salt. */
export const personalDigest = (salt: Buffer, ip: Value, userAgent: Value): Buffer =>
  sha256(Buffer.from('iqra-authz/personal/1\n', 'ascii'), salt, encodeField(ip), encodeField(userAgent));

/** A head as the file has it: hashes in hex. */
export interface Head {
  readonly boot: string;
  readonly day: string;
  readonly format: number;
  readonly opening: string;
  readonly records: number;
  readonly hash: string;
}

/** Of a chain; in the order of these texts its head stands in the tree. */
export const nameOf = ({ boot, day }: Pick<Head, 'boot' | 'day'>): string => `${day} ${boot}`;

/** RFC 6962, 2.1: the left subtree has the largest power of two of leaves that is less than all. */
function treeHash(leaves: readonly Buffer[]): Buffer {
  const [first] = leaves;
  if (first === undefined) return sha256();
  if (leaves.length === 1) return sha256(Buffer.of(0), first);
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return sha256(Buffer.of(1), treeHash(leaves.slice(0, left)), treeHash(leaves.slice(left)));
}

/** The root over heads, in hex. */
export function rootOf(heads: Iterable<Head>): string {
  const inOrder = [...heads].sort((a, b) => Buffer.compare(Buffer.from(nameOf(a)), Buffer.from(nameOf(b))));
  const leaves = inOrder.map(({ boot, day, format, opening, records, hash }) =>
    encode('iqra-authz/head/1', boot, day, String(format), opening, String(records), hash),
  );
  return treeHash(leaves).toString('hex');
}
