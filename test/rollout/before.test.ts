/**
 * Decisions that were made and recorded by older versions of this program (before/*.json, which before/record.ts wrote there): under the policy of
 * their time, each is replayed and explained with the code and the row that it had then.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { getDecision } from '../../src/audit/query/decisions.ts';
import { explainRecorded } from '../../src/audit/query/explanation.ts';
import { connect } from '../../src/db/connect.ts';
import { versionOf } from '../../src/policy/facts.ts';
import { factsSince } from '../../src/policy/recorded-facts.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { type Period, replay, selfCheck } from '../../src/rollout/replay.ts';
import { storePolicy } from '../../src/rollout/store.ts';
import { shippedPolicy } from '../policy/texts.ts';
import { authz } from '../support/cli.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertDecisions } from './decisions.ts';

interface Made {
  /** Of the facts. */
  readonly version: number;
  readonly digest: string;
  /** The policy files that decide, by name. */
  readonly texts: Readonly<Record<string, string>>;
  /** The values of each group of facts. */
  readonly groups: Readonly<Record<string, readonly Readonly<Record<string, string | boolean>>[]>>;
  /** By rule. */
  readonly codes: Readonly<Record<string, string>>;
  /** For each group the index of its value, then the rule. */
  readonly records: readonly string[];
}

interface Recorded {
  readonly id: string;
  readonly facts: object;
  readonly code: string;
  readonly rule: string;
}

/** With ids that say, as those of every record do, when it was made. */
function recordsOf({ groups, codes, records }: Made, at: number): Recorded[] {
  return records.map((record) => {
    const words = record.split(' ');
    const rule = words.at(-1) ?? '';
    const facts = Object.fromEntries(
      Object.entries(groups).map(([group, values], index) => [group, values[Number(words[index])]]),
    );
    return { id: uuidv7({ msecs: at }), facts, code: codes[rule] ?? '', rule };
  });
}

const ignore = (): void => undefined;

for (const name of ['facts-1.json', 'facts-2.json']) {
  const made: Made = JSON.parse(readFileSync(path.join(import.meta.dirname, 'before', name), 'utf8'));
  const now = Date.now();
  const records = recordsOf(made, now);
  describe(`${records.length} decisions on version ${made.version} of the facts`, () => {
    let url: string;
    let db: Knex;
    const period: Period = { from: new Date(now - 1000).toISOString(), to: new Date(now + 1000).toISOString() };

    before(async () => {
      url = await newDatabase();
      db = connect({ url, poolSize: 2 });
      await storePolicy(db, made.digest, new Map(Object.entries(made.texts)));
      await insertDecisions(db, made.digest, new Date(now), records, made.version);
    });
    after(() => db.destroy());

    it('are older than the facts of today, and of every row of their policy', () => {
      expect(made.version).to.be.below(versionOf(BUILT_IN.table));
      expect(records.length).to.be.above(300);
      const rows = Object.values(made.texts)
        .join('\n')
        .match(/^p, ([a-z-]+)/gm)
        ?.map((row) => row.slice(3));
      expect(Object.keys(made.codes)).to.have.members(rows ?? []);
    });

    it('are replayed with the same code and row under their own policy', async () => {
      expect(await selfCheck(db, period, ignore)).to.deep.equal({
        ...period,
        replayed: records.length,
        changed: 0,
        ruleChanged: 0,
        shifts: [],
        reasons: [],
        assumed: factsSince(made.version, BUILT_IN),
      });
    });

    it('are explained with the same code and row, and with what was assumed', async () => {
      for (const { id, code, rule } of records.filter((_, index) => index % amount(7, 1) === 0)) {
        const record = await getDecision(db, id);
        const account = await explainRecorded(db, record);
        expect(account.verdict, account.note ?? '').to.equal('same policy, same decision');
        expect(account.explanation?.decision).to.include({ code, rule });
        expect(account.explanation?.policy).to.equal(made.digest);
        expect(account.note)
          .to.include(`recorded under version ${made.version} of the facts`)
          .and.include('r.request.addressed');
      }
    });

    it('have the same code and row under the policy that is shipped today', async () => {
      const report = await replay(db, await shippedPolicy(), period, ignore);
      expect([report.replayed, report.shifts, report.ruleChanged]).to.deep.equal([records.length, [], 0]);
    });

    it('are reported as different when one says what its policy did not', async () => {
      const [first, second] = records.filter(({ code }) => code === 'OK');
      await db('decision_records')
        .where({ id: first?.id ?? '' })
        .update({ rule: 'another' });
      await db('decision_records')
        .where({ id: second?.id ?? '' })
        .update({ code: 'RATE_LIMITED' });
      const { changed, ruleChanged } = await selfCheck(db, period, ignore);
      expect([changed, ruleChanged]).to.deep.equal([1, 1]);
      for (const { id = '', code, rule } of [first ?? {}, second ?? {}] as Partial<Recorded>[])
        await db('decision_records').where({ id }).update({ code, rule });
    });

    it('are replayed and explained by the commands', async () => {
      const env = { DATABASE_URL: url, KEY_PEPPERS: `t:${Buffer.alloc(32, 1).toString('base64')}` };
      const replayed = await authz(['policy', 'replay', '--self-check', '--from', '1h', '--json'], env);
      expect(replayed.code, replayed.stderr + replayed.stdout).to.equal(0);
      expect(JSON.parse(replayed.stdout)).to.include({ replayed: records.length, changed: 0, ruleChanged: 0 });
      const last = records.at(-1);
      const explained = await authz(['policy', 'explain', last?.id ?? ''], env);
      expect(explained.code, explained.stderr).to.equal(0);
      expect(explained.stdout).to.include(last?.rule).and.include(last?.code).and.not.include('CONTRADICTS');
    });
  });
}
