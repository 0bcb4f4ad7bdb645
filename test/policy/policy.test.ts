/**
 * Properties of a whole policy: every situation is decided, it allows only what is proven, and once built it is immutable.
 */

import { getLogger } from 'casbin';
import { expect } from 'chai';
import { Failure } from '../../src/errors.ts';
import { situations } from '../../src/policy/analysis/situations.ts';
import { type Decision, decide, type Policy } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { edited, findingsOf, shippedPolicy, shippedTexts, withFile } from './texts.ts';

describe('a policy', () => {
  let texts: PolicyTexts;
  let policy: Policy;
  let all: readonly Facts[];
  let allowed: Facts;
  let dead: readonly Facts[];

  before(async () => {
    texts = await shippedTexts();
    policy = await shippedPolicy();
    all = [...situations(policy.rows, BUILT_IN)];
    allowed = all.find((facts) => decide(policy, facts).effect === 'allow') as Facts;
    dead = all.filter(({ key, user, freeze }) => key.status !== 'active' || user.status !== 'active' || freeze.active);
  });

  describe('is refused', () => {
    it('where situations are left undecided, with an example', async () => {
      const gap = edited(
        texts,
        '40-business.csv',
        "r.target.status == 'disabled'",
        "r.target.status == 'disabled' && r.limit.exceeded",
      );
      const { findings } = await buildPolicy(gap);
      const finding = findings.find(({ rule }) => rule === 'undecided');
      expect(finding).to.include({ file: '90-allow.csv', line: 3, column: 1 });
      expect(finding?.message).to.contain('"status":"disabled"');
    });

    it('where a row allows a key or a user that is not active, or what is frozen, whatever the cases say', async () => {
      for (const when of [
        "r.key.status == 'expired' && r.user.status == 'active'",
        "r.key.status == 'active' && r.user.status == 'disabled'",
        "r.key.status == 'active' && r.user.status == 'active' && r.freeze.active",
      ]) {
        const folder = withFile(
          texts,
          '05-grace.csv',
          `p, grace, *, "${when} && r.key.environment == 'test'", allow, OK\n`,
        );
        expect(await findingsOf(folder), when).to.include('05-grace.csv:1:1 forbidden-allow');
      }
    });
  });

  describe('allows nothing that is not proven:', () => {
    const row = (id: string): Policy['rows'][number] =>
      policy.rows.find((one) => one.id === id) as Policy['rows'][number];
    const fails = (match: Policy['match'], facts: Facts): void => {
      let got: Decision | undefined;
      try {
        got = decide({ ...policy, match }, facts);
      } catch (error) {
        expect(error).to.be.instanceOf(Failure).and.to.include({ code: 'UNAVAILABLE' });
        return;
      }
      expect.fail(`decided ${JSON.stringify(got)}`);
    };

    it('fails where Casbin allows without a row, as it does when enforcement is disabled', () => {
      fails(() => ({ row: undefined, allowed: true }), allowed);
      fails(() => ({ row: undefined, allowed: false }), allowed);
    });

    it('fails where Casbin and the row contradict each other', () => {
      fails(() => ({ row: row('key-not-active'), allowed: true }), allowed);
      fails(() => ({ row: row('allow-on-target'), allowed: false }), allowed);
    });

    it('fails where a rule throws, or Casbin returns something else', () => {
      fails(() => {
        throw new Error('a rule throws');
      }, allowed);
      fails((() => true) as never, allowed);
      fails((() => undefined) as never, allowed);
      fails((async () => ({ row: row('allow-on-target'), allowed: true })) as never, allowed);
      fails((() => ({ row: row('allow-on-target'), allowed: 1 })) as never, allowed);
    });

    it('fails where a row allows a key or a user that is not active, or what is frozen', () => {
      for (const facts of dead) fails(() => ({ row: row('allow-on-target'), allowed: true }), facts);
    });
  });

  describe('once built', () => {
    it('has no mutators, and does not expose the enforcer', () => {
      expect(Object.keys(policy)).to.have.members([
        'digest',
        'schema',
        'rows',
        'codes',
        'names',
        'gateway',
        'match',
        'matchesAlone',
        'costOf',
      ]);
      for (const value of [
        policy,
        policy.rows,
        ...policy.rows,
        ...policy.rows.map((row) => row.when),
        ...policy.codes.values(),
      ]) {
        expect(Object.isFrozen(value)).to.equal(true);
      }
      expect(() => Object.assign(policy.rows[0] ?? {}, { effect: 'allow', code: 'OK' })).to.throw(TypeError);
    });

    it('decides alike whatever was asked before', () => {
      const first = all.map((facts) => decide(policy, facts));
      expect(
        [...all]
          .reverse()
          .map((facts) => decide(policy, facts))
          .reverse(),
      ).to.deep.equal(first);
    });

    it('is not changed by building another', async () => {
      const other = await buildPolicy(
        new Map([...texts].map(([name, text]) => [name, text.replace("r.key.status != 'active'", 'true')])),
      );
      expect(other.findings).not.to.deep.equal([]);
      expect(decide(policy, allowed).effect).to.equal('allow');
    });

    it('writes nothing to the log of Casbin; with that log on, a decision is the same or a failure', () => {
      expect(getLogger().isEnable()).to.equal(false);
      const { log } = console;
      const lines: unknown[] = [];
      console.log = (...line: unknown[]) => void lines.push(line);
      getLogger().enableLog(true);
      try {
        for (const facts of dead) {
          try {
            expect(decide(policy, facts).effect).to.equal('deny');
          } catch (error) {
            expect(error).to.be.instanceOf(Failure);
          }
        }
      } finally {
        getLogger().enableLog(false);
        console.log = log;
      }
      expect(JSON.stringify(lines)).not.to.contain('production');
    });

    it('has a digest over model, rows and codes, and nothing else', async () => {
      const digestOf = async (folder: PolicyTexts): Promise<string | undefined> =>
        (await buildPolicy(folder)).policy?.digest;
      expect(policy.digest).to.match(/^sha256:[0-9a-f]{64}$/);
      expect(await digestOf(new Map([...texts].reverse()))).to.equal(policy.digest);
      expect(await digestOf(withFile(texts, 'README.md', 'read me'))).to.equal(policy.digest);
      expect(await digestOf(edited(texts, 'cases/rows.yaml', '# For each row', '# Every row'))).to.equal(policy.digest);

      const limit = texts.get('20-limit.csv') ?? '';
      const digests = await Promise.all(
        [
          edited(texts, 'model.conf', '# The rows', '# All rows'),
          edited(texts, 'codes.yaml', 'The business is disabled.', 'This business is disabled.'),
          withFile(texts, '20-limit.csv', `${limit}\n`),
          withFile(withFile(texts, '20-limit.csv', undefined), '21-limit.csv', limit),
          withFile(texts, '21-more.csv', ''),
        ].map(digestOf),
      );
      expect(new Set([policy.digest, ...digests]).size).to.equal(6);
      expect(digests).not.to.include(undefined);

      // The same bytes when names and texts are concatenated: two files, and one.
      const rows = texts.get('30-permission.csv') ?? '';
      const two = withFile(withFile(texts, '20-limit.csv', `${limit}#`), '30-permission.csv', `\n${rows}`);
      const one = withFile(
        withFile(texts, '20-limit.csv', `${limit}#30-permission.csv\n${rows}`),
        '30-permission.csv',
        undefined,
      );
      expect(await digestOf(two))
        .to.be.a('string')
        .and.not.to.equal(await digestOf(one));
    });
  });
});
