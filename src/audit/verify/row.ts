/** A row of the log as text, the way PostgreSQL sends it: nothing is rounded on the way, and little is parsed. */

import canonicalizer from 'canonicalize';
import type { LogRecord, Personal } from '../format/record-hash.ts';

// It is CommonJS, and its types say that its function is `default` once more.
const canonicalize = canonicalizer as unknown as (value: unknown) => string | undefined;

/** The session's settings that the texts below rely on. */
export const SESSION = `set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local bytea_output = 'hex'; set local work_mem = '64MB'`;

export const COLUMNS = [
  'boot',
  'seq',
  'id',
  'at',
  'caller_id',
  'api_key_id',
  'user_id',
  'business_id',
  'action',
  'effect',
  'code',
  'rule',
  'policy',
  'facts',
  'ip',
  'user_agent',
  'personal_salt',
  'personal_digest',
  'request_id',
  'duration_us',
  'fingerprint',
  'shadow_policy',
  'shadow_code',
  'shadow_rule',
  'hash',
] as const;

/** The values of COLUMNS. */
export type Row = readonly (string | null)[];

export interface StoredRecord extends LogRecord, Personal {
  readonly hash: Buffer;
  /** Such as a value that our log never holds; null when there is none. */
  readonly fault: string | null;
}

export function createRowReader(): (row: Row) => StoredRecord {
  const canonicalFacts = factsReader();
  return (row) => {
    const text = (index: number): string => row[index] ?? '';
    const or = (index: number): string | null => row[index] ?? null;
    const at = readInstant(text(3));
    const facts = canonicalFacts(text(13));
    const id = text(2);
    return {
      boot: text(0),
      day: at.slice(0, 10),
      seq: Number(row[1]),
      id,
      at,
      caller_id: text(4),
      api_key_id: or(5),
      user_id: or(6),
      business_id: or(7),
      action: text(8),
      effect: text(9),
      code: text(10),
      rule: text(11),
      policy: text(12),
      facts: facts ?? '',
      ip: or(14),
      user_agent: or(15),
      personal_salt: row[16]?.slice(2) ?? null,
      personal_digest: text(17).slice(2),
      request_id: or(18),
      duration_us: row[19] == null ? null : Number(row[19]),
      fingerprint: or(20),
      shadow_policy: or(21),
      shadow_code: or(22),
      shadow_rule: or(23),
      hash: Buffer.from(text(24).slice(2), 'hex'),
      fault: facts === null ? 'its facts hold a number that JSON readers round' : timeFault(id, at),
    };
  };
}

/** `2026-01-02 03:04:05.67+00` in ISO 8601 with milliseconds; what is none, and so no time that the log writes, as it is. */
function readInstant(text: string): string {
  if (!text.endsWith('+00') || text.length < 22 || text.length > 26 || text[10] !== ' ') return text;
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${text.slice(20, -3).padEnd(3, '0')}Z`;
}

/** The id is a UUIDv7: its first 48 bits are the time. */
function timeFault(id: string, at: string): string | null {
  const milliseconds = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  return id[14] === '7' && milliseconds === Date.parse(at) ? null : 'its time is not the one in its id';
}

const MOST_KEPT = 10_000;

/**
 * jsonb as RFC 8785; null where that would round. The same facts come again and again, so what was worked out is kept.
 * jsonb keeps any digits of a number, and JSON.parse the first 17: an edit behind them would go unseen.
 */
function factsReader(): (jsonb: string) => string | null {
  const kept = new Map<string, string | null>();
  return (jsonb) => {
    const known = kept.get(jsonb);
    if (known !== undefined) return known;
    const canonical = hasRoundedNumber(jsonb) ? null : (canonicalize(JSON.parse(jsonb)) ?? null);
    if (kept.size === MOST_KEPT) kept.clear();
    kept.set(jsonb, canonical);
    return canonical;
  };
}

function hasRoundedNumber(json: string): boolean {
  if (!/(?:^|[ [])-?\d/.test(json)) return false;
  const numbers = json.replace(/"(?:[^"\\]|\\.)*"/g, '').match(/-?\d[^\s,\]}]*/g) ?? [];
  return numbers.some((number) => String(Number(number)) !== number);
}
