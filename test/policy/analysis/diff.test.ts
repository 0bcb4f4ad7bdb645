/**
 * The semantic difference of two policies, compared with brute force over all situations of random policies. `ROUNDS=300`
 * tries more policies than the default.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { OverBound, partitionOf } from '../../../src/policy/analysis/classes.ts';
import { type Change, diffOf, Undecided } from '../../../src/policy/analysis/diff.ts';
import { tableOf } from '../../../src/policy/analysis/table.ts';
import type { Policy } from '../../../src/policy/decide.ts';
import type { Facts } from '../../../src/policy/facts.ts';
import { compilePolicy } from '../../../src/policy/policy.ts';
import { deciderOf, everySituation, type Line, lines, meaningOf, pairOfLines, policyOf } from '../brute.ts';
import { largePolicy } from '../large.ts';
import { canOccur } from '../oracle.ts';
import { edited, SEED, shippedPolicy, shippedTexts, times, withFile } from '../texts.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 8);

async function policyWith(file: string, from: string, to: string): Promise<Policy> {
  const { policy, findings } = await compilePolicy(edited(await shippedTexts(), file, from, to));
  return policy ?? expect.fail(findings[0]?.message ?? 'no policy');
}

const summary = ({ old, new: now, when, rules }: Change): unknown => [
  `${old.effect} ${old.code} -> ${now.effect} ${now.code}`,
  when,
  rules.map((pair) => `${pair.old} -> ${pair.new}`),
];

describe('the difference to the shipped policy', () => {
  it('of itself: none, proved over every situation', async () => {
    const policy = await shippedPolicy();
    const difference = diffOf(policy, policy);
    expect(difference).to.include({ equivalent: true, old: policy.digest, new: policy.digest });
    expect(difference.changes).to.deep.equal([]);
    expect(difference.situations)
      .to.equal(partitionOf([policy]).classes.length)
      .and.to.be.above(500);
  });

  it('of a row that exempts owners: one condition, with an example', async () => {
    const newer = await policyWith(
      '20-limit.csv',
      '"r.limit.exceeded"',
      '"r.limit.exceeded && r.target.role != \'owner\'"',
    );
    const { equivalent, changes } = diffOf(await shippedPolicy(), newer);
    expect(equivalent).to.equal(false);
    expect(changes[0]?.new).to.deep.equal({ effect: 'allow', code: 'OK' });
    expect(changes[0]?.rules).to.deep.equal([{ old: 'limit-exceeded', new: 'allow-on-target' }]);
    expect(changes[0]?.example.facts).to.have.nested.property('target.role', 'owner');
    expect(
      changes.every(({ when }) => when.every((condition) => condition.includes("r.target.role == 'owner'"))),
    ).to.equal(true);
  });

  it('of a misspelt action: the situations that its row loses', async () => {
    const newer = await policyWith(
      '30-permission.csv',
      'user-management-not-permitted, user:*',
      'user-management-not-permitted, users:*',
    );
    const { changes } = diffOf(await shippedPolicy(), newer);
    expect(changes.map(({ old, new: now }) => `${old.code} ${now.code}`)).to.include.members([
      'PERMISSION_DENIED OK',
      'OK PERMISSION_DENIED',
    ]);
    expect(changes[0]?.when.every((condition) => condition.includes("keyMatch(r.request.action, 'user:*')"))).to.equal(
      true,
    );
  });

  it('of a reordering without effect: none; another row with the same answer is a rule change only', async () => {
    const texts = edited(await shippedTexts(), '10-api-key.csv', 'p, user-unknown, *,', 'p, nobody, *,');
    const { policy } = await compilePolicy(texts);
    const { equivalent, changes, ruleChanges } = diffOf(await shippedPolicy(), policy ?? expect.fail());
    expect(equivalent).to.equal(true);
    expect(changes).to.deep.equal([]);
    expect(ruleChanges.map(summary)).to.deep.equal([
      [
        'deny INVALID_API_KEY -> deny INVALID_API_KEY',
        ["r.key.status == 'active' && r.user.status == 'unknown'"],
        ['user-unknown -> nobody'],
      ],
    ]);
  });

  it('of a changed code: not equivalent if a row uses it, equivalent if none does', async () => {
    const shipped = await shippedPolicy();
    const reworded = diffOf(shipped, await policyWith('codes.yaml', 'status: 429', 'status: 403'));
    expect(reworded).to.include({ equivalent: false });
    expect(reworded.changes).to.deep.equal([]);
    expect(reworded.codes).to.deep.equal([
      {
        code: 'RATE_LIMITED',
        old: shipped.codes.get('RATE_LIMITED'),
        new: { ...shipped.codes.get('RATE_LIMITED'), status: 403 },
      },
    ]);
    const unused = diffOf(
      shipped,
      await policyWith('codes.yaml', 'RATE_LIMITED:', 'NEW: { status: 403, message: new }\nRATE_LIMITED:'),
    );
    expect(unused.codes.map(({ code, old }) => [code, old])).to.deep.equal([['NEW', null]]);
    expect(unused.equivalent).to.equal(true);
  });

  it('tells situations apart by constants that only one of the two names', async () => {
    const newer = await policyWith(
      '90-allow.csv',
      'p, allow-without-target',
      "p, not-here, *, \"r.key.environment == 'staging' && r.target.id == 'b7'\", deny, PERMISSION_DENIED\np, allow-without-target",
    );
    const { changes } = diffOf(await shippedPolicy(), newer);
    expect(changes).to.have.lengthOf(1);
    expect(changes[0]?.example).to.have.nested.property('facts.target.id', 'b7');
    for (const condition of changes[0]?.when ?? []) {
      expect(condition).to.include("r.key.environment == 'staging'").and.include("r.target.id == 'b7'");
    }
  });

  it('is refused where one of the two leaves situations undecided, and says which', async () => {
    const texts = withFile(await shippedTexts(), '90-allow.csv', undefined);
    const undecided = (await compilePolicy(texts)).policy ?? expect.fail();
    const shipped = await shippedPolicy();
    expect(() => diffOf(undecided, shipped))
      .to.throw(Undecided, /no row/)
      .with.property('which', 'old');
    expect(() => diffOf(shipped, undecided))
      .to.throw(Undecided, /no row/)
      .with.property('which', 'new');
  });

  it('is refused above the bound, never sampled', async () => {
    const policy = await shippedPolicy();
    const count = partitionOf([policy]).classes.length;
    expect(partitionOf([policy], undefined, count).classes).to.have.lengthOf(count);
    expect(() => partitionOf([policy], undefined, count - 1)).to.throw(OverBound, /bound/);
  });
});

describe('the difference of two rich policies', () => {
  it('is found where the rows of few actions differ, though the others have more situations than the bound', async () => {
    const texts = largePolicy(await shippedTexts(), { rows: 100, actions: 30 });
    const older = compilePolicy(texts).policy ?? expect.fail();
    expect(() => partitionOf([older])).to.throw(OverBound, /100000 classes/);
    const edit = edited(texts, '50-large.csv', "'rare-user-1060'", "'user-5'");
    const { changes, situations } = diffOf(older, compilePolicy(edit).policy ?? expect.fail());
    expect(situations).to.be.above(100_000);
    expect(changes.map(({ old, new: now }) => `${old.code} -> ${now.code}`)).to.deep.equal([
      'PERMISSION_DENIED -> OK',
      'OK -> PERMISSION_DENIED',
    ]);
    for (const { when, rules } of changes) {
      expect(when.every((condition) => /noun\d+:create/.test(condition))).to.equal(true);
      expect(rules.some((pair) => `${pair.old} ${pair.new}`.includes('row-'))).to.equal(true);
    }
  });
});

describe(`the difference of two random policies (seed ${SEED})`, function () {
  this.timeout(600_000);

  let all: readonly Facts[];
  before(() => {
    all = everySituation();
  });

  /** The change of a situation by brute force, as `old,new`; undefined where there is none. */
  function compare(rows: readonly [readonly Line[], readonly Line[]], changes: readonly Change[], label: Label): void {
    const stated = changes.map((change) => ({ label: label.of(change), holds: change.when.map(meaningOf) }));
    expect(new Set(stated.map((one) => one.label)).size, 'each change is stated once').to.equal(stated.length);
    const seen = new Set<string>();
    for (const facts of all) {
      const wanted = label.by(deciderOf(rows[0], facts), deciderOf(rows[1], facts));
      const got = stated.filter((one) => one.holds.some((holds) => holds(facts))).map((one) => one.label);
      if (got.length !== (wanted ? 1 : 0) || got[0] !== wanted) {
        expect.fail(`wanted ${wanted}, got ${got} for ${JSON.stringify(facts)}`);
      }
      if (wanted) seen.add(wanted);
    }
    expect(stated.map((one) => one.label)).to.have.members([...seen]);
    for (const { example, situations } of changes) {
      expect(canOccur(example.facts)).to.equal(true);
      const pair = rows.map((side) => deciderOf(side, example.facts));
      expect(pair.map(({ id, code }) => `${code} ${id}`)).to.deep.equal(
        [example.old, example.new].map(({ rule, code }) => `${code} ${rule}`),
      );
      expect(situations).to.be.above(0);
    }
  }

  interface Label {
    readonly of: (change: Change) => string;
    readonly by: (older: Line, newer: Line) => string | undefined;
  }
  const CODES: Label = {
    of: (change) => `${change.old.code},${change.new.code}`,
    by: (older, newer) => (older.code === newer.code ? undefined : `${older.code},${newer.code}`),
  };
  const ROWS: Label = {
    of: ({ rules }) => rules.map((pair) => `${pair.old},${pair.new}`).join(),
    by: (older, newer) => (older.code !== newer.code || older.id === newer.id ? undefined : `${older.id},${newer.id}`),
  };

  it('is exactly what brute force finds', async () => {
    const found = { equivalent: 0, different: 0 };
    const property = fc.asyncProperty(pairOfLines, async (rows) => {
      const difference = diffOf(await policyOf(rows[0]), await policyOf(rows[1]));
      expect(difference.equivalent).to.equal(difference.changes.length === 0);
      found[difference.equivalent ? 'equivalent' : 'different'] += 1;
      compare(rows, difference.changes, CODES);
      compare(rows, difference.ruleChanges, ROWS);
    });
    await fc.assert(property, times(ROUNDS));
    console.log(
      `      ${found.different} pairs differ, ${found.equivalent} are equivalent, on ${all.length} situations each`,
    );
  });

  it('and the table agrees with brute force on which row decides each situation', async () => {
    const property = fc.asyncProperty(lines, async (rows) => {
      const table = tableOf(await policyOf(rows));
      const stated = table.rows.map((row) => ({ rule: row.rule, holds: row.when.map(meaningOf) }));
      for (const facts of all) {
        const got = stated.filter((one) => one.holds.some((holds) => holds(facts))).map((one) => one.rule);
        if (got.length !== 1 || got[0] !== deciderOf(rows, facts).id) {
          expect.fail(`${deciderOf(rows, facts).id} decides, the table says ${got} for ${JSON.stringify(facts)}`);
        }
      }
    });
    await fc.assert(property, times(ROUNDS));
  });
});
