/** The hash of a record: frozen for each format, over just the columns that the table calls hashed. */

import { expect } from 'chai';
import { COLUMN_NAMES, COLUMNS, type Column } from '../../../src/audit/columns.ts';
import { FIRST_OPENING, FORMAT, RECORD_HASHES, recordHash } from '../../../src/audit/format/record-hash.ts';
import { hashOfRecord } from '../verify/independent.ts';
import { exampleRecord } from '../written-log.ts';

/** Something in every column. */
const RECORD = {
  boot: '6f1c2b1e-0d52-4a7e-9f0e-3c5a8d2b7e41',
  day: '2026-01-02',
  seq: 7,
  id: '019b7ca9-8f2e-7abc-8def-0123456789ab',
  at: '2026-01-02T03:04:05.678Z',
  caller_id: 'billing',
  api_key_id: 'key-1',
  user_id: 'ada',
  business_id: 'bäckerei',
  action: 'call:create',
  effect: 'deny',
  code: 'USER_DISABLED',
  rule: 'user-disabled',
  policy: `sha256:${'0'.repeat(64)}`,
  facts_version: 1,
  facts: '{"key":{"id":"key-1"}}',
  personal_digest: '11'.repeat(32),
  request_id: 'r-1',
  caller_request_id: 'c-1',
  trace_id: '22'.repeat(16),
  duration_us: 812,
  fingerprint: '00112233445566aa',
  shadow_policy: `sha256:${'1'.repeat(64)}`,
  shadow_code: 'OK',
  shadow_rule: 'allow-on-target',
};

type Values = Record<string, string | number | null>;

describe('the hash of a record', () => {
  it('of format 1 is this one, for ever', () => {
    expect(FORMAT).to.equal(1);
    expect(RECORD_HASHES.get(1)).to.equal(recordHash);
    const hash = recordHash(Buffer.alloc(32, 7), RECORD).toString('hex');
    expect(hash).to.equal('812d2f3339a378d1a1e92dc4a3ac9b5047fcbac2f42d6d893dac0991cdb293a5');
    const texts = Object.fromEntries(Object.entries(RECORD).map(([name, value]) => [name, String(value)]));
    expect(hashOfRecord(Buffer.alloc(32, 7), texts).toString('hex')).to.equal(hash);
  });

  const record: Values = { ...exampleRecord(RECORD.boot, RECORD.day, 7), ...RECORD, hash: '22'.repeat(32) };
  const hashWith = (values: Values): string => recordHash(FIRST_OPENING, values as never).toString('hex');
  const hash = hashWith(record);
  const others = (value: string | number | null | undefined, { nullable }: Column): (string | number | null)[] => [
    typeof value === 'number' ? value + 1 : `${value}x`,
    ...(nullable ? [null] : []),
    ...(nullable && typeof value === 'string' ? [''] : []),
  ];

  for (const name of COLUMN_NAMES) {
    const column: Column = COLUMNS[name];
    it(`${column.hashed ? 'covers' : 'does not cover'} ${name}`, () => {
      const hashes = others(record[name], column).map((value) => hashWith({ ...record, [name]: value }));
      if (column.hashed) expect(new Set([hash, ...hashes])).to.have.property('size', hashes.length + 1);
      else expect(new Set([hash, ...hashes])).to.have.property('size', 1);
    });
  }

  it('covers the day of the chain, and the hash before', () => {
    expect(hashWith({ ...record, day: '2026-01-03' })).to.not.equal(hash);
    expect(recordHash(Buffer.alloc(32, 1), RECORD).toString('hex')).to.not.equal(hash);
  });
});
