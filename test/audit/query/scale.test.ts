/** Pages of a log ten times as long read the same few pages of the database, also where the planner is misled. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import type { BoundSql } from '../../../src/audit/query/conditions.ts';
import type { TimeRange } from '../../../src/audit/query/filters.ts';
import { requireKnown } from '../../../src/audit/query/known-names.ts';
import { connect } from '../../../src/db/connect.ts';
import { newDatabase } from '../../support/postgres.ts';
import { rejection } from '../../support/rejection.ts';
import { costInOrder, costOfPage, FLAT_FILTERS, generateDays, placeAfter } from '../generate.ts';

const DAYS = 4;
const PER_DAY = { few: 2500, many: 25_000 };
const LIMIT = 20;
const END = new Date();

describe('a long decision log', function () {
  this.timeout(120_000);
  const dbs: Record<keyof typeof PER_DAY, Knex> = {} as never;
  let range: TimeRange;

  before(async () => {
    for (const size of ['few', 'many'] as const) {
      dbs[size] = connect({ url: await newDatabase(), poolSize: 1 });
      range = await generateDays(dbs[size], END, DAYS, PER_DAY[size]);
    }
  });
  after(() => Promise.all(Object.values(dbs).map((db) => db.destroy())));

  for (const [name, filter] of Object.entries(FLAT_FILTERS)) {
    it(`gives the first page by ${name}, and one far down, at the cost of a short one`, async () => {
      for (const depth of [0, 50 * LIMIT]) {
        const costs: number[] = [];
        for (const db of [dbs.few, dbs.many]) {
          const after = depth === 0 ? undefined : await placeAfter(db, filter, range, depth);
          const { buffers, rows, nodes } = await costOfPage(db, filter, range, after, LIMIT);
          expect(rows).to.equal(LIMIT + 1);
          expect(nodes.filter((node) => /Sort|Seq Scan|Bitmap|Merge/.test(node))).to.deep.equal([]);
          costs.push(buffers);
        }
        const [few = 0, many = 0] = costs;
        expect(many, `${few} at first, then ${many}`).to.be.at.most(1.5 * few);
      }
    });
  }

  it('is looked through for a name that it does not have at the cost of a short one', async () => {
    const unknown = { apiKeyId: 'nobody', userId: 'nobody', businessId: 'nowhere', code: 'NO_CODE' };
    for (const [property, name] of Object.entries(unknown)) {
      const costs: number[] = [];
      for (const db of [dbs.few, dbs.many]) {
        const row = { digest: 'sha256:any', texts: { '10-a.csv': 'p, door, *, "true", deny, DOOR_SHUT' } };
        await db('policies').insert(row).onConflict('digest').ignore();
        const asked: BoundSql[] = [];
        const note = (query: BoundSql) => void asked.push(query);
        db.on('query', note);
        await rejection(requireKnown(db, { id: 'test' }, 'query', { [property]: name }));
        db.removeListener('query', note);
        const looks = asked.filter(({ sql }) => sql.includes('decision_records'));
        expect(looks).to.have.length(1);
        for (const { sql, bindings } of looks) {
          const { buffers, nodes } = await costInOrder(db, { sql: sql.replace('$1', '?'), bindings });
          expect(nodes.filter((node) => /Seq Scan|Bitmap/.test(node))).to.deep.equal([]);
          costs.push(buffers);
        }
      }
      const [few = 0, many = 0] = costs;
      expect(many, `${property}: ${few} at first, then ${many}`).to.be.at.most(1.5 * few);
    }
  });

  it('is not scanned for a value that was frequent only in the past, or for two values that never occur together', async () => {
    const db = dbs.many;
    // The newest day has none of them any more, while its statistics still say that every eighth record is one.
    const day = `decisions_${END.toISOString().slice(0, 10).replaceAll('-', '')}`;
    await db.raw(`alter table ${day} set (autovacuum_enabled = false)`);
    await db.raw(`update ${day} set api_key_id = 'cold' where api_key_id = 'hot'`);
    await db.raw(`update ${day} set business_id = 'cold' where business_id = 'hot' and code = 'USER_DISABLED'`);
    await db.raw(`vacuum ${day}`);
    for (const filter of [{ apiKeyId: 'hot' }, { businessId: 'hot', code: 'USER_DISABLED' }]) {
      const cost = await costOfPage(db, filter, range, undefined, LIMIT);
      expect(cost.rows).to.equal(LIMIT + 1);
      expect(cost.buffers).to.be.below(10 * LIMIT);
    }
  });
});
