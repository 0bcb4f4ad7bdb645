/** A replay against the evaluation of each decision by itself. */

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { replayText } from '../../src/cli/policy/replay.ts';
import { replayMarkdown } from '../../src/cli/policy/review.ts';
import { connect } from '../../src/db/connect.ts';
import { decide, type Policy } from '../../src/policy/decide.ts';
import { FACTS_VERSION } from '../../src/policy/facts.ts';
import { factsSince } from '../../src/policy/recorded-facts.ts';
import { redecider } from '../../src/policy/replay.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { compileFolder } from '../../src/rollout/folder.ts';
import { FAILS, type Period, replay, selfCheck } from '../../src/rollout/replay.ts';
import { storePolicy } from '../../src/rollout/store.ts';
import { POLICY_FOLDER, shippedPolicy, shippedTexts } from '../policy/texts.ts';
import { authz } from '../support/cli.ts';
import { factsWith, WITH_LATER_LIMIT, withoutLimit } from '../support/facts.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import { type Generated, generate, insertDecisions } from './decisions.ts';

const DECISIONS = Number(process.env['DECISIONS'] ?? amount(4_000, 20_000));
const ignore = (): void => undefined;

describe(`a replay of ${DECISIONS} decisions`, () => {
  let folder: string;
  let url: string;
  let db: Knex;
  let recorded: Policy;
  let other: Policy;
  let decisions: Generated[];
  const at = new Date();
  const period: Period = {
    from: new Date(at.getTime() - 1000).toISOString(),
    to: new Date(at.getTime() + 1000).toISOString(),
  };

  before(async function () {
    this.timeout(DECISIONS + 60_000);
    folder = await mkdtemp(path.join(tmpdir(), 'authz-replay-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
    // Members lose their access to businesses, and one key is denied everything.
    await writeFile(
      path.join(folder, '35-strict.csv'),
      "p, owners-only, *, \"r.target.status == 'active' && r.target.role == 'member'\", deny, PERMISSION_DENIED\n" +
        "p, one-key, *, \"r.key.id == 'key-7' && r.key.status == 'active' && r.user.status == 'active'\", deny, RATE_LIMITED\n",
    );
    url = await newDatabase();
    db = connect({ url, poolSize: 2 });
    recorded = await shippedPolicy();
    other = await compileFolder(folder);
    await storePolicy(db, recorded.digest, await shippedTexts());
    decisions = [...generate(recorded, DECISIONS)];
    await insertDecisions(db, recorded.digest, at, decisions);
  });

  after(async () => {
    await db.destroy();
    await rm(folder, { recursive: true });
  });

  it('reports the same changes as evaluating the decisions one by one', async () => {
    const report = await replay(db, other, period, ignore);
    const wanted = new Map<string, number>();
    let ruleChanged = 0;
    for (const { facts, code, rule } of decisions) {
      const now = decide(other, facts);
      if (now.code !== code) wanted.set(`${code} ${now.code}`, (wanted.get(`${code} ${now.code}`) ?? 0) + 1);
      else if (now.rule !== rule) ruleChanged += 1;
    }
    expect(report.replayed).to.equal(DECISIONS);
    expect(wanted.size).to.be.above(1);
    expect(new Map(report.shifts.map(({ from, to, count }) => [`${from} ${to}`, count]))).to.deep.equal(wanted);
    expect(report.changed).to.equal([...wanted.values()].reduce((a, b) => a + b));
    expect(report.ruleChanged).to.equal(ruleChanged);
    const changed = new Map(decisions.map(({ id, facts, code }) => [id, [code, decide(other, facts).code].join(' ')]));
    for (const { from, to, samples } of report.shifts) {
      for (const id of samples) expect(changed.get(id)).to.equal(`${from} ${to}`);
    }
  }).timeout(DECISIONS + 60_000);

  it('reports no change under the policy that made the decisions', async () => {
    for (const report of [await replay(db, recorded, period, ignore), await selfCheck(db, period, ignore)]) {
      expect([report.replayed, report.changed, report.ruleChanged]).to.deep.equal([DECISIONS, 0, 0]);
    }
  }).timeout(DECISIONS + 60_000);

  it('counts the affected keys, users and businesses', async () => {
    const [shift] = (await replay(db, other, period, ignore)).shifts.filter(({ to }) => to === 'RATE_LIMITED');
    expect(shift?.keys.map(({ id }) => id)).to.deep.equal(['key-7']);
    expect(shift?.keys[0]?.count).to.equal(shift?.count);
  });

  it('finds a decision that its policy would not make, and one whose policy is not stored', async () => {
    const [first, second] = decisions.filter(({ code }) => code === 'OK');
    await db('decision_records')
      .where({ id: first?.id ?? '' })
      .update({ rule: 'another' });
    await db('decision_records')
      .where({ id: second?.id ?? '' })
      .update({ policy: `sha256:${'0'.repeat(64)}` });
    const report = await selfCheck(db, period, ignore);
    expect([report.changed, report.ruleChanged]).to.deep.equal([1, 1]);
    expect(report.reasons.join()).to.contain('000000');
    expect(report.shifts[0]?.samples).to.deep.equal([second?.id]);
  });

  it('goes on where the stored texts of one policy were altered, and says so', async () => {
    const third = decisions.filter(({ code }) => code === 'OK')[2];
    const digest = `sha256:${'1'.repeat(64)}`;
    await db('policies').insert({ digest, texts: JSON.stringify({ 'model.conf': 1 }) });
    await db('decision_records')
      .where({ id: third?.id ?? '' })
      .update({ policy: digest });
    const report = await selfCheck(db, period, ignore);
    expect(report.replayed).to.equal(DECISIONS);
    expect(report.reasons.join()).to.contain('111111');
  });

  it('reports contradictory facts as a failure', async () => {
    const [first] = decisions;
    const redecide = redecider(recorded);
    expect(redecide(JSON.stringify(first?.facts), FACTS_VERSION)).to.include({ code: first?.code });
    for (const bad of [null, {}, { ...first?.facts, limit: { exceeded: 'no' } }, { ...first?.facts, limit: {} }]) {
      expect(() => BUILT_IN.read(bad)).to.throw();
      expect(redecide(JSON.stringify(bad), FACTS_VERSION)).to.be.instanceOf(Error);
    }
  });

  it('reads records by their version of the facts: assumes the default of what came later, and refuses what is newer', async () => {
    const redecide = redecider(recorded, WITH_LATER_LIMIT);
    const allowed = decisions.find(({ code }) => code === 'OK');
    const older = withoutLimit(allowed?.facts ?? BUILT_IN.nothingKnown);
    const text = JSON.stringify(older);
    expect(redecide(text, FACTS_VERSION)).to.include({ code: 'OK', rule: allowed?.rule });
    // The same text under the newer version lacks a fact: what was remembered of the older one is not taken for it.
    expect(redecide(text, FACTS_VERSION + 1)).to.be.instanceOf(Error);
    expect(
      redecide(JSON.stringify(factsWith({ limit: { exceeded: true } }, allowed?.facts)), FACTS_VERSION + 1),
    ).to.include({
      code: 'RATE_LIMITED',
    });
    expect(factsSince(FACTS_VERSION, WITH_LATER_LIMIT)).to.deep.equal(['r.limit.exceeded']);
    expect(factsSince(FACTS_VERSION + 1, WITH_LATER_LIMIT)).to.deep.equal([]);

    // A record that holds a fact which its version did not have was altered.
    expect(redecide(JSON.stringify(allowed?.facts), FACTS_VERSION)).to.be.instanceOf(TypeError);

    const [first] = decisions;
    await db('decision_records')
      .where({ id: first?.id ?? '' })
      .update({ facts_version: FACTS_VERSION + 1 });
    const report = await replay(db, recorded, period, ignore);
    expect(report.shifts.find(({ to }) => to === FAILS)?.samples).to.deep.equal([first?.id]);
    expect(report.reasons.join()).to.include('upgrade');
    expect(report.assumed).to.deep.equal([]);
    await db('decision_records')
      .where({ id: first?.id ?? '' })
      .update({ facts_version: FACTS_VERSION });
  }).timeout(DECISIONS + 60_000);

  it('names the facts that it assumed, in the report, its text and its Markdown', async () => {
    const newer = await replay(db, recorded, period, ignore);
    expect(newer.assumed).to.deep.equal([]);
    for (const text of [replayText(newer), replayMarkdown(newer)]) expect(text).not.to.include('assumed');
    const older = await replay(db, recorded, period, ignore, WITH_LATER_LIMIT);
    expect(older.assumed).to.deep.equal(['r.limit.exceeded']);
    for (const text of [replayText(older), replayMarkdown(older)])
      expect(text).to.include(
        'some records have no r.limit.exceeded, or a value that is not declared: the defaults were assumed',
      );
  }).timeout(DECISIONS + 60_000);

  it('is a command, with text and JSON output and exit codes', async () => {
    const env = { DATABASE_URL: url, KEY_PEPPERS: `t:${Buffer.alloc(32, 1).toString('base64')}` };
    const json = await authz(['policy', 'replay', '--policy', folder, '--from', '1h', '--json'], env);
    expect(json.code, json.stderr).to.equal(0);
    expect(JSON.parse(json.stdout).replayed).to.equal(DECISIONS);
    const text = await authz(['policy', 'replay', '--policy', folder, '--fail-on-change'], env);
    expect(text.code).to.equal(1);
    expect(text.stdout).to.match(/OK -> PERMISSION_DENIED: [\d,]+\n {2}keys: /);
    const same = await authz(['policy', 'replay', '--policy', POLICY_FOLDER, '--fail-on-change', '--to', '30m'], env);
    expect(same.code).to.equal(0);
    const neither = await authz(['policy', 'replay'], env);
    expect(neither.code).to.equal(2);
    expect(neither.stderr).to.contain('error: give --policy DIR, or --self-check');
  }).timeout(60_000);
});
