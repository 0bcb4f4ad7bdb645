/** Days are proven from the rows as they are stored, as long as the view shows them so. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { COLUMNS, type ColumnType } from '../../../src/audit/columns.ts';
import { chainOf } from '../../../src/audit/format/heads.ts';
import { readHeads } from '../../../src/audit/verify/heads.ts';
import { createProof, type ProvenDay } from '../../../src/audit/verify/proof.ts';
import { dayRanges } from '../../../src/audit/verify/ranges.ts';
import { isShownAsStored } from '../../../src/audit/verify/shown.ts';
import { connect } from '../../../src/db/connect.ts';
import { newDatabase, POSTGRES } from '../../support/postgres.ts';
import { createRoles, loginOf } from '../../support/roles.ts';
import { createWriter, exampleRecord, makeDays } from '../written-log.ts';
import { canonicalJson } from './independent.ts';

/** Another value of each type, which every constraint allows. */
const OTHER: Readonly<Record<ColumnType, string>> = {
  uuid: `'01900000-0000-7000-8000-000000000000'`,
  text: `'deny'`,
  'timestamptz(3)': `at + interval '1 ms'`,
  bigint: '7',
  integer: '1',
  smallint: '2',
  jsonb: `jsonb_set(facts, '{key,more}', '"x"')`,
  bytea: `substr(sha256('other'), 1, octet_length($))`,
};

for (const postgres of POSTGRES) {
  describe(`the proof of a day (${postgres})`, () => {
    const opened: Knex[] = [];
    let url: string;
    let db: Knex;
    let day: string;

    const open = (address: string): Knex => {
      const opening = connect({ url: address, poolSize: 1 });
      opened.push(opening);
      return opening;
    };

    beforeEach(async () => {
      url = await newDatabase(postgres);
      db = open(url);
      [day = ''] = await makeDays(db, 0);
    });

    afterEach(async () => {
      await Promise.all(opened.splice(0).map((each) => each.destroy()));
    });

    /** In a transaction that is rolled back. */
    async function inVain(change: (trx: Knex) => Promise<void>): Promise<void> {
      const trx = await db.transaction();
      try {
        await change(trx);
      } finally {
        await trx.rollback();
      }
    }

    it('is for the owner and for auditors, and not where the view shows something else', async () => {
      await createRoles(db);
      expect(await isShownAsStored(db)).to.equal(true);
      expect(await isShownAsStored(open(await loginOf(db, url, 'authz_auditor')))).to.equal(true);
      const viewOnly = await loginOf(db, url);
      await db.raw(`grant select on decisions to ${new URL(viewOnly).username}`);
      expect(await isShownAsStored(open(viewOnly))).to.equal(false);
      const { rows } = await db.raw(`select pg_get_viewdef('decisions'::regclass) as text`);
      const [{ text }] = rows as [{ text: string }];
      const others = {
        'another value': text.replace('r.rule', `coalesce('x', r.rule) collate "C" as rule`),
        'a row less': text.replace(/;\s*$/, ` where r.code <> 'KEY_UNKNOWN'`),
        'the value of one moment': text.replace(
          'r.effect',
          `case when r.at = '2026-01-01' then 'deny' else r.effect end collate "C" as effect`,
        ),
        'one column for another': text.replace('r.user_id', 'r.api_key_id as user_id'),
      };
      for (const [what, other] of Object.entries(others)) {
        expect(other, what).not.to.equal(text);
        await db.raw(`create or replace view decisions as ${other}`);
        expect(await isShownAsStored(db), what).to.equal(false);
      }
      await db.raw(`create or replace view decisions as ${text}`);
      expect(await isShownAsStored(db)).to.equal(true);
    });

    /** What is proven of the day, against its heads alone. */
    async function prove(trx: Knex): Promise<ProvenDay | undefined> {
      const proveDay = await createProof(trx, {
        heads: await readHeads(trx),
        state: { chains: new Map() },
        times: { floorOf: () => null, steps: [] },
        erasureRecorded: () => false,
        seen: () => undefined,
        onProgress: () => undefined,
      });
      const range = dayRanges([day], day, day).find((one) => one.day === day);
      return range && proveDay(range);
    }

    it('is of all that is written: with ids of any characters, with situations and without, of many chains', async () => {
      const writers = [createWriter(db), createWriter(db), createWriter(db)];
      for (const writer of writers) await writer.append(day, 20);
      const ids = ['plain', 'quo"te', 'back\\slash', 'line\nbreak', 'naïve ✓ 😀', '@0@', '\u2028', ''];
      for (const [n, id] of ids.entries()) {
        const [key, user, business] = [id, ids[(n + 1) % ids.length] ?? '', ids[(n + 2) % ids.length] ?? ''];
        const facts = canonicalJson({
          key: { id: key, status: 'active', name: 'a"b' },
          user: { id: user, big: '€'.repeat(2000) },
          target: { id: business, role: 'owner' },
          limit: { exceeded: false },
        });
        const about = { api_key_id: key || null, user_id: user || null, business_id: business || null };
        // Every fourth has its facts itself.
        await writers[0]?.append(day, 4, { ...about, facts });
      }
      const proven = await prove(db);
      expect(proven).to.deep.include({ records: 60 + 4 * ids.length, erased: 0 });
      expect(proven?.chains).to.have.members(writers.map(({ boot }) => chainOf({ boot, day })));
    });

    it('fails wherever anything is not as it was written', async () => {
      await createWriter(db).append(day, 12);
      for (const [name, { type }] of Object.entries(COLUMNS)) {
        const shared = ['policy', 'facts', 'facts_version'].includes(name);
        const table = shared ? 'situations' : 'decision_records';
        await inVain(async (trx) => {
          await trx.raw(
            `update ${table} set ${name} = ${OTHER[type].replace('$', name)} ${shared ? '' : 'where seq = 6'}`,
          );
          expect(await prove(trx), name).to.equal(undefined);
        });
      }
      expect(await prove(db)).to.deep.include({ records: 12 });
      for (const change of [
        'delete from decision_records where seq = 12',
        'delete from decision_records where seq = 3',
        'delete from situations',
        'delete from chain_heads',
        'update chain_heads set records = records + 1',
        'update chain_heads set format = 2',
        `update chain_heads set opening = sha256('x')`,
        `update chain_heads set hash = sha256('x')`,
        'update decision_records set situation = null where seq = 5',
        `update situations set facts = facts #- '{user}'`,
        `update decision_records set ip = null, user_agent = null, personal_salt = null where seq = 5`,
      ])
        await inVain(async (trx) => {
          await trx.raw('alter table decision_records drop constraint one_situation');
          await trx.raw(change);
          expect(await prove(trx), change).to.equal(undefined);
        });
    });

    it('fails for what was hashed as it stands, and yet cannot be so', async () => {
      const writer = createWriter(db);
      const facts = canonicalJson({ key: { id: 'k', n: 0.1 }, user: { id: 'u' }, target: { id: '' } });
      await writer.append(day, 2, { api_key_id: 'k', user_id: 'u', business_id: null, facts });
      expect(await prove(db)).to.deep.include({ records: 2 });
      await inVain(async (trx) => {
        await trx.raw(`update situations set facts = jsonb_set(facts, '{key,n}', '0.1000000000000000000001')`);
        expect(await prove(trx), 'a number that JSON readers round').to.equal(undefined);
      });
      const time = exampleRecord(writer.boot, day, 3).id.slice(0, 14);
      await writer.append(day, 1, { id: `${time}4000-8000-000000000000` });
      expect(await prove(db), 'an id of another version').to.equal(undefined);
    });
  });
}
