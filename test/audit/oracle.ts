/**
 * The decision log as somebody else would verify it: read from its tables, and hashed from the description in the issue's
 * words, with none of the code that wrote it.
 */

import { createHash } from 'node:crypto';
import { expect } from 'chai';
import type { Knex } from 'knex';

export interface Row {
  readonly id: string;
  readonly at: Date;
  readonly boot: string;
  readonly seq: string;
  readonly facts: unknown;
  readonly hash: Buffer;
  readonly personal_salt: Buffer;
  readonly personal_digest: Buffer;
  readonly [column: string]: unknown;
}

interface Head {
  readonly boot: string;
  readonly day: string;
  readonly format: number;
  readonly opening: Buffer;
  readonly records: string;
  readonly hash: Buffer;
}

/** Every record, after a check that all chains are whole, and end where their heads say. */
export async function verifiedRows(db: Knex): Promise<Row[]> {
  const { rows } = await db.raw<{ rows: Row[] }>('select * from decisions order by boot, at::date, seq');
  const { rows: heads } = await db.raw<{ rows: Head[] }>('select *, day::text as day from chain_heads');
  const left = new Map(heads.map((head) => [`${head.boot} ${head.day}`, head]));
  const chains = new Map<string, Row[]>();
  for (const row of rows) {
    const name = `${row.boot} ${row.at.toISOString().slice(0, 10)}`;
    const chain = chains.get(name);
    if (chain) chain.push(row);
    else chains.set(name, [row]);
  }
  const endings = new Map<string, string>();
  for (const [name, chain] of chains) {
    const head = left.get(name);
    if (!head) throw new Error(`the chain ${name} has no head`);
    left.delete(name);
    let previous = head.opening;
    for (const [index, row] of chain.entries()) {
      expect(Number(row.seq), `the place of ${row.id} in ${name}`).to.equal(index + 1);
      expect(row.personal_digest.toString('hex'), `the personal digest of ${row.id}`).to.equal(personalOf(row));
      previous = hashOf(head.format, previous, row);
      expect(row.hash.toString('hex'), `the hash of ${row.id}`).to.equal(previous.toString('hex'));
      endings.set(row.hash.toString('hex'), head.boot);
    }
    expect(Number(head.records), name).to.equal(chain.length);
    expect(head.hash.toString('hex'), name).to.equal(previous.toString('hex'));
  }
  expect([...left.keys()], 'heads without a chain').to.deep.equal([]);
  for (const { boot, opening } of heads) {
    // A boot's first opens with zeros, the others with a record of the same boot.
    if (!opening.equals(Buffer.alloc(32))) expect(endings.get(opening.toString('hex'))).to.equal(boot);
  }
  const firsts = heads.filter(({ opening }) => opening.equals(Buffer.alloc(32))).map(({ boot }) => boot);
  expect(firsts.sort()).to.deep.equal([...new Set(heads.map(({ boot }) => boot))].sort());
  return rows;
}

const FIELDS = [
  'caller_id api_key_id user_id business_id action effect code rule policy facts_version facts personal_digest request_id',
  'caller_request_id duration_us fingerprint shadow_policy shadow_code shadow_rule',
]
  .join(' ')
  .split(' ');

function hashOf(format: number, previous: Buffer, row: Row): Buffer {
  const at = row.at.toISOString();
  const values = [row.boot, at.slice(0, 10), row.seq, row.id, at, ...FIELDS.map((name) => textOf(row, name))];
  return digest(`iqra-authz/decision/${format}\n`, previous, values);
}

function textOf(row: Row, name: string): string | null {
  const value = row[name] ?? null;
  if (value === null) return null;
  if (name === 'facts') return sorted(value);
  return Buffer.isBuffer(value) ? value.toString('hex') : String(value);
}

const personalOf = (row: Row): string =>
  digest('iqra-authz/personal/1\n', row.personal_salt, [
    row['ip'] as string | null,
    row['user_agent'] as string | null,
  ]).toString('hex');

function digest(domain: string, start: Buffer, values: readonly (string | null)[]): Buffer {
  const hash = createHash('sha256').update(domain, 'ascii').update(start);
  for (const value of values) {
    const length = Buffer.alloc(4, 0xff);
    if (value !== null) length.writeUInt32BE(Buffer.byteLength(value));
    hash.update(length).update(value ?? '', 'utf8');
  }
  return hash.digest();
}

/** RFC 8785, for what facts can hold. */
function sorted(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${sorted(member)}`)}}`;
}
