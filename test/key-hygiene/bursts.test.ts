/** Bursts: over made-up logs, the queries find what an oracle finds that counts in TypeScript; and what they read is bounded. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { findingsOf, thresholdsOf } from '../../src/key-hygiene/findings.ts';
import { HYGIENE_KINDS } from '../../src/key-hygiene/rules.ts';
import { NOTHING_DECLARED } from '../../src/policy/declared/declaration.ts';
import { drawer, insertRecords, makeRecord } from '../audit/records.ts';
import { pepper } from '../directory/imports.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey } from '../support/service.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const KEYS = ['k0', 'k1', 'k2'];
/** k0 and k1 are of ann, k2 is of bob. */
const USER_OF: Readonly<Record<string, string>> = { k0: 'ann', k1: 'ann', k2: 'bob' };
const THRESHOLDS = { ...thresholdsOf(), burstMinutes: 10, burstUses: 8, burstFactor: 3, usualDays: 1 };

/** So many decisions with a key, in the middle of the window that ended `windows` windows ago. */
interface Batch {
  readonly key: string;
  readonly windows: number;
  readonly uses: number;
}

/** Who made more than the factor times what it made in any window before. */
function expected(batches: readonly Batch[], subjectOf: (key: string) => string): string[] {
  const counts = new Map<string, Map<number, number>>();
  for (const { key, windows, uses } of batches) {
    const of = counts.get(subjectOf(key)) ?? new Map<number, number>();
    counts.set(subjectOf(key), of.set(windows, (of.get(windows) ?? 0) + uses));
  }
  return [...counts]
    .filter(([, of]) => {
      const now = of.get(0) ?? 0;
      // A day has 144 windows of ten minutes.
      const usual = Math.max(
        0,
        ...[...of].filter(([windows]) => windows >= 1 && windows <= 144).map(([, uses]) => uses),
      );
      return now >= THRESHOLDS.burstUses && now > THRESHOLDS.burstFactor * usual;
    })
    .map(([subject]) => subject)
    .sort();
}

describe('bursts', () => {
  let db: Knex;
  const draw = drawer(11);

  const record = (key: string, agoMs: number) =>
    makeRecord(Date.now() - agoMs, draw, { api_key_id: key, user_id: USER_OF[key] ?? key, fingerprint: null });
  const fill = async (batches: readonly Batch[]): Promise<void> => {
    await db.raw('truncate decision_records');
    const agoMs = (windows: number): number => windows * THRESHOLDS.burstMinutes * MINUTE + 5 * MINUTE;
    await insertRecords(
      db,
      batches.flatMap(({ key, windows, uses }) => Array.from({ length: uses }, () => record(key, agoMs(windows)))),
    );
  };
  const found = async (kind: 'key-burst' | 'user-burst', thresholds = THRESHOLDS): Promise<string[]> => {
    const asked = { thresholds, declaration: NOTHING_DECLARED, after: '', limit: 10 };
    return (await findingsOf(db, kind, asked)).findings.map(({ subject }) => subject);
  };

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
    await db('users').insert([{ id: 'ann' }, { id: 'bob' }]);
    const old = { created_at: new Date(Date.now() - 20 * DAY), last_used_at: new Date() };
    for (const id of KEYS) await insertKey({ db, pepper }, { id, user_id: USER_OF[id] ?? '', ...old });
  });
  after(() => db?.destroy());

  it('are what is far above its own usual', async () => {
    const batch = fc.record({
      key: fc.constantFrom(...KEYS),
      windows: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.constantFrom(1, 2, 143, 144, 145)),
      uses: fc.constantFrom(1, 2, 3, 4, 7, 8, 9, 12),
    });
    let bursts = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { maxLength: 8 }), async (batches) => {
        await fill(batches);
        const [keys, users] = [expected(batches, (key) => key), expected(batches, (key) => USER_OF[key] ?? '')];
        bursts += keys.length + users.length;
        expect(await found('key-burst')).to.deep.equal(keys);
        expect(await found('user-burst')).to.deep.equal(users);
      }),
      { numRuns: 60 },
    );
    expect(bursts, 'bursts that were found').to.be.above(10);
  });

  it('say how much it was, and are not of keys that are young, dead or idle', async () => {
    await fill([{ key: 'k0', windows: 0, uses: 9 }]);
    const asked = { thresholds: THRESHOLDS, declaration: NOTHING_DECLARED, after: '', limit: 10 };
    const [finding] = (await findingsOf(db, 'key-burst', asked)).findings;
    expect(finding?.says).to.equal(
      'The key k0 ("a key") of the user ann was used 9 times within 10 minutes, more than 3 times as often as ever in the 1 day before.',
    );
    for (const row of [
      { created_at: new Date(Date.now() - DAY + MINUTE) },
      { revoked_at: new Date() },
      { last_used_at: new Date(Date.now() - 30 * MINUTE) },
    ]) {
      const before = await db('api_keys').where({ id: 'k0' }).first('created_at', 'revoked_at', 'last_used_at');
      await db('api_keys').where({ id: 'k0' }).update(row);
      expect(await found('key-burst'), JSON.stringify(row)).to.deep.equal([]);
      await db('api_keys').where({ id: 'k0' }).update(before);
    }
    expect(await found('key-burst')).to.deep.equal(['k0']);
    // A new key of a user that is known: the rotation of a busy one.
    await db('api_keys').where({ id: 'k0' }).update({ created_at: new Date() });
    expect(await found('user-burst')).to.deep.equal(['ann']);
  });

  it('are searched for by the indexes of keys and users alone, and no further than to what is usual', async () => {
    await fill([]);
    // Of others, so that to read all of the log would be seen.
    await insertRecords(
      db,
      Array.from({ length: 20_000 }, (_, n) => record(`other${n % 50}`, (n % 700) * MINUTE)),
    );
    const steady = Array.from({ length: 60 }, (_, windows) => ({ key: 'k2', windows, uses: 40 }));
    await insertRecords(
      db,
      steady.flatMap(({ key, windows, uses }) =>
        Array.from({ length: uses }, () => record(key, windows * 10 * MINUTE + 5 * MINUTE)),
      ),
    );
    await db.raw('analyze');
    for (const kind of ['key-burst', 'user-burst'] as const) {
      const bindings = Object.fromEntries(HYGIENE_KINDS[kind].needs.map((need) => [need, THRESHOLDS[need]]));
      const { rows } = await db.raw(`explain (analyze, format json) ${HYGIENE_KINDS[kind].sql}`, bindings);
      // Partitions of days to come are empty, and read in whatever way.
      const scans = nodesOf(rows[0]['QUERY PLAN'][0].Plan).filter(
        (node) =>
          String(node['Relation Name'] ?? '').startsWith('decisions_') &&
          Number(node['Actual Rows']) + Number(node['Rows Removed by Filter'] ?? 0) > 0,
      );
      const index = kind === 'key-burst' ? 'api_key_id' : 'user_id';
      const read = scans.reduce((sum, node) => sum + Number(node['Actual Rows']) * Number(node['Actual Loops']), 0);
      expect(scans.length, kind).to.be.above(0);
      for (const node of scans) {
        expect(node['Node Type'], kind).to.match(/^(Index Scan|Index Only Scan|Bitmap Heap Scan)$/);
        expect(node['Index Name'] ?? index, kind).to.include(index);
      }
      // 40 of now, and a third of as many of the window before, which makes them usual: none of the 58 windows before that.
      expect(Math.round(read), kind).to.equal(40 + Math.ceil(40 / THRESHOLDS.burstFactor));
    }
  });
});

interface PlanNode {
  readonly Plans?: readonly PlanNode[];
  readonly [field: string]: unknown;
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];
