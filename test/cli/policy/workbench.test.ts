/** `authz policy test`, `explain`, `table` and `diff`: what they print, and how they end. */

import { execFileSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { timeOf } from '../../../src/audit/record/entry.ts';
import { connect } from '../../../src/db/connect.ts';
import { FACTS_VERSION } from '../../../src/policy/facts.ts';
import { assemblePolicy } from '../../../src/policy/policy.ts';
import { readPolicyFolder } from '../../../src/rollout/folder.ts';
import { storePolicy } from '../../../src/rollout/store.ts';
import { POLICY_FOLDER, shippedPolicy } from '../../policy/texts.ts';
import { authz, type Outcome } from '../../support/cli.ts';
import { ACTIVE } from '../../support/facts.ts';
import { newDatabase } from '../../support/postgres.ts';

describe('authz policy', function () {
  this.timeout(60_000);
  let root: string;

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'authz-policy-'));
  });
  after(() => rm(root, { recursive: true, force: true }));

  let folders = 0;

  /** A copy of the shipped folder with `from` in `file` replaced by `to`. */
  async function folder(file?: string, from = '', to = ''): Promise<string> {
    folders += 1;
    const copy = path.join(root, `policy-${folders}`);
    await cp(POLICY_FOLDER, copy, { recursive: true });
    if (file) await edit(copy, file, from, to);
    return copy;
  }

  async function edit(copy: string, file: string, from: string, to: string): Promise<void> {
    const text = await readFile(path.join(copy, file), 'utf8');
    expect(text.split(from), from).to.have.lengthOf(2);
    await writeFile(
      path.join(copy, file),
      text.replace(from, () => to),
    );
  }

  const run = (args: readonly string[], input = '', env: Record<string, string> = {}): Promise<Outcome> =>
    authz(['policy', ...args], env, input);

  const ended = ({ code, stdout, stderr }: Outcome, wanted: number): string => {
    expect(code, stdout + stderr).to.equal(wanted);
    return wanted === 0 || (wanted === 1 && stderr === '') ? stdout : stderr;
  };

  it('has an example with each verb, and ends with 2 when it is misused', async () => {
    for (const verb of ['test', 'explain', 'table', 'diff']) {
      expect(ended(await run([verb, '--help']), 0)).to.match(new RegExp(`Example:\n {2}authz policy ${verb} `));
    }
    for (const args of [
      ['explain'],
      ['explain', randomUUID(), '--facts', '-'],
      ['diff', 'a', 'b', '--format', 'text', '--json'],
      ['test', '--min-coverage', '101'],
    ]) {
      expect((await run(args)).code, args.join(' ')).to.equal(2);
    }
  });

  describe('test', () => {
    it('ends with 0 where all cases hold', async () => {
      const text = ended(await run(['test', POLICY_FOLDER, '--min-coverage', '100']), 0);
      expect(text).to.match(/\d+ cases: \d+ hold, 0 fail\nrow coverage: (\d+) of \1 sides, 100\.0 %\n$/);
    });

    it('shows what a failing case wanted, what it got, and its facts', async () => {
      const copy = await folder(
        '20-limit.csv',
        '"r.limit.exceeded"',
        '"r.limit.exceeded && r.target.role != \'owner\'"',
      );
      const text = ended(await run(['test', copy]), 1);
      expect(text).to.include(`: the limit of an owner
  - wanted deny RATE_LIMITED by limit-exceeded
  + got    allow OK by allow-on-target
    r.target.role is "owner" (base: "member")
    r.limit.exceeded is true (base: false)
`);
      const report = JSON.parse(ended(await run(['test', copy, '--json']), 1));
      expect(
        report.cases.filter((one: { holds: boolean }) => !one.holds).map((one: { name: string }) => one.name),
      ).to.include('the limit of an owner');
    });

    it('ends with 1 below the coverage that is asked for, and shows which side is missing', async () => {
      const copy = await folder(
        '20-limit.csv',
        'p, limit-exceeded',
        'p, new, call:*, "r.key.id == \'k9\'", deny, RATE_LIMITED\np, limit-exceeded',
      );
      expect(ended(await run(['test', copy]), 0)).to.match(/^new +20-limit\.csv:2 +0 +\d+$/m);
      expect(ended(await run(['test', copy, '--min-coverage', '100']), 1)).to.include('less than 100 %');
    });

    it('names what is wrong with a policy that cannot be read', async () => {
      const copy = await folder('20-limit.csv', 'r.limit.exceeded', 'r.limit.exceded');
      expect(ended(await run(['test', copy]), 1))
        .to.include('20-limit.csv:2:')
        .and.include('[unknown-fact]');
    });
  });

  describe('explain', () => {
    it('explains facts from a file, in YAML and in JSON, and from standard input', async () => {
      const file = path.join(root, 'facts.yaml');
      await writeFile(
        file,
        Object.entries(ACTIVE)
          .map(([group, facts]) => `${group}: ${JSON.stringify(facts)}\n`)
          .join(''),
      );
      const texts = [
        await run(['explain', '--facts', file]),
        await run(['explain', '--facts', '-'], JSON.stringify(ACTIVE, null, '\t')),
      ].map((outcome) => ended(outcome, 0));
      expect(texts[0])
        .to.equal(texts[1])
        .and.to.match(/^allow OK by the row allow-on-target\n/);
      const { decision, tried } = JSON.parse(ended(await run(['explain', '--facts', file, '--json']), 0));
      expect(decision).to.deep.equal({ effect: 'allow', code: 'OK', rule: 'allow-on-target' });
      expect(tried).to.have.lengthOf((await shippedPolicy()).rows.length);
    });

    it('explains under the folder that is named, and a denial ends with 0 too', async () => {
      const copy = await folder(
        '90-allow.csv',
        'p, allow-without',
        'p, stop, *, "true", deny, PERMISSION_DENIED\np, allow-without',
      );
      const text = ended(await run(['explain', '--facts', '-', '--policy', copy], JSON.stringify(ACTIVE)), 0);
      expect(text)
        .to.match(/^deny PERMISSION_DENIED by the row stop\n/)
        .and.include('true is true');
    });

    it('refuses malformed facts, and says why', async () => {
      const wrong: Readonly<Record<string, RegExp>> = {
        '{}': /must hold exactly: key, user/,
        [JSON.stringify({ ...ACTIVE, key: { ...ACTIVE.key, status: 'unknown' } })]: /contradict each other/,
        '{"key": {}, "key": {}}': /unique/,
      };
      for (const [text, message] of Object.entries(wrong)) {
        expect(ended(await run(['explain', '--facts', '-'], text), 1)).to.match(message);
      }
      expect(ended(await run(['explain', '--facts', path.join(root, 'none.yaml')]), 1)).to.include('none.yaml');
    });

    describe('of a recorded decision', () => {
      let db: Knex;
      let env: Record<string, string>;

      before(async () => {
        const url = await newDatabase();
        env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
        db = connect({ url, poolSize: 1 });
      });
      after(() => db?.destroy());

      async function recorded(policy: string, decision: object = {}): Promise<string> {
        const id = uuidv7();
        const allowed = { effect: 'allow', code: 'OK', rule: 'allow-on-target', ...decision };
        await db('decision_records').insert({
          id,
          at: timeOf(id),
          caller_id: 'c',
          action: 'call:create',
          boot: randomUUID(),
          seq: 1,
          personal_digest: Buffer.alloc(32),
          hash: Buffer.alloc(32),
          policy,
          facts_version: FACTS_VERSION,
          facts: ACTIVE,
          ...allowed,
        });
        return id;
      }

      it('says that it is the policy that decided, and explains', async () => {
        const id = await recorded((await shippedPolicy()).digest);
        const text = ended(await run(['explain', id], '', env), 0);
        expect(text).to.include(`decision ${id}`).and.include('This is the policy that decided');
        expect(text).to.include('\nallow OK by the row allow-on-target\n');
        const { verdict, recorded: record } = JSON.parse(ended(await run(['explain', id, '--json'], '', env), 0));
        expect(verdict).to.equal('same policy, same decision');
        expect(record).to.include({ id, rule: 'allow-on-target' });
      });

      it('says plainly that another policy decided', async () => {
        const id = await recorded('sha256:of-old');
        const text = ended(await run(['explain', id], '', env), 0);
        expect(text).to.include('decided under another policy, sha256:of-old').and.include('THIS folder');
        expect(text).to.include('The policy that decided is not at hand: ');
      });

      it('explains under the policy of its time, whatever the folder says today, and under another with --policy', async () => {
        const copy = await folder('90-allow.csv', 'p, allow-on-target', 'p, allow-of-old');
        const { digest } = await assemblePolicy(await readPolicyFolder(copy));
        await storePolicy(db, digest, await readPolicyFolder(copy));
        const id = await recorded(digest, { rule: 'allow-of-old' });
        const text = ended(await run(['explain', id], '', env), 0);
        expect(text).to.include('This is the policy that decided').and.include('allow OK by the row allow-of-old');
        const today = ended(await run(['explain', id, '--policy', POLICY_FOLDER], '', env), 0);
        expect(today).to.include('decided under another policy').and.include('allow OK by the row allow-on-target');
        const events = await db('admin_events').where({ action: 'audit.show', subject_id: id });
        expect(events).to.have.length(2);
        const forged = await recorded(digest, { rule: 'allow-on-target' });
        expect(ended(await run(['explain', forged], '', env), 1)).to.include('THE RECORD CONTRADICTS ITS POLICY');
      });

      it('ends with 3 where the policy of its time does not decide, and with 1 where its facts cannot be read', async () => {
        const copy = await folder('90-allow.csv', 'p, allow-on-target', '# p, allow-on-target');
        const texts = await readPolicyFolder(copy);
        const { digest } = await assemblePolicy(texts);
        await storePolicy(db, digest, texts);
        const undecided = await recorded(digest);
        expect(ended(await run(['explain', undecided], '', env), 3)).to.include('no row of the policy matches');
        const newer = await recorded(digest, { facts_version: FACTS_VERSION + 1 });
        expect(ended(await run(['explain', newer], '', env), 1)).to.include('upgrade');
      });

      it('takes the id in capital letters, too', async () => {
        const id = await recorded((await shippedPolicy()).digest);
        const text = ended(await run(['explain', id.toUpperCase()], '', env), 0);
        expect(text).to.include(`decision ${id} of`);
        expect(await db('admin_events').where({ action: 'audit.show', subject_id: id })).to.have.length(1);
      });

      it('ends with 1 where the record contradicts the policy that it names', async () => {
        const id = await recorded((await shippedPolicy()).digest, {
          effect: 'deny',
          code: 'RATE_LIMITED',
          rule: 'limit-exceeded',
        });
        expect(ended(await run(['explain', id], '', env), 1)).to.include('THE RECORD CONTRADICTS ITS POLICY');
      });

      it('refuses an id that the log does not have', async () => {
        for (const id of [uuidv7(), randomUUID(), "' or 1=1"]) {
          expect(ended(await run(['explain', id], '', env), 1)).to.include('There is no decision');
        }
      });
    });
  });

  describe('table', () => {
    it('prints the conditions of each row, as text, JSON and Markdown', async () => {
      const text = ended(await run(['table', POLICY_FOLDER]), 0);
      expect(text).to.match(
        /^user-disabled: deny USER_DISABLED \(\d+ of \d+ situations\)\n {2}when r\.key\.status == 'active' && r\.user\.status == 'disabled'$/m,
      );
      const { rows, situations } = JSON.parse(ended(await run(['table', '--json']), 0));
      expect(rows.reduce((sum: number, row: { situations: number }) => sum + row.situations, 0)).to.equal(situations);
      const { rows: shipped } = await shippedPolicy();
      expect(rows.map((row: { rule: string }) => row.rule)).to.deep.equal(shipped.map((row) => row.id));
      const markdown = ended(await run(['table', '--format', 'markdown']), 0).split('\n');
      expect(markdown.filter((line) => /^\| [a-z-]+ \| (?:allow|deny) [A-Z_]+ \| `/.test(line))).to.have.lengthOf(
        shipped.length,
      );
    });

    it('shows a row that decides no situation', async () => {
      const copy = await folder(
        '10-api-key.csv',
        'p, user-unknown',
        'p, hidden, *, "r.key.status == \'revoked\'", deny, INVALID_API_KEY\np, user-unknown',
      );
      expect(ended(await run(['table', copy]), 0)).to.match(
        /^hidden: deny INVALID_API_KEY \(0 of \d+ situations\)\n {2}when never/m,
      );
    });
  });

  describe('diff', () => {
    it('ends with 0 where two folders are equivalent, and with 1 where they differ', async () => {
      expect(ended(await run(['diff', POLICY_FOLDER, await folder()]), 0)).to.match(/^equivalent: .*all \d+ classes/);
      const copy = await folder(
        '10-api-key.csv',
        "r.user.status == 'disabled'",
        "r.user.status == 'disabled' && !r.limit.exceeded",
      );
      expect(ended(await run(['diff', POLICY_FOLDER, copy]), 0)).to.match(/^equivalent/);
      const changed = await folder('20-limit.csv', '"r.limit.exceeded"', '"false"');
      const text = ended(await run(['diff', POLICY_FOLDER, changed]), 1);
      expect(text).to.match(/^different: /);
      expect(text).to.match(/for example key\.id='\w+' key\.status='active'/);
    });

    it('prints JSON and Markdown', async () => {
      const copy = await folder('codes.yaml', 'status: 429', 'status: 403');
      const args = ['diff', POLICY_FOLDER, copy];
      const difference = JSON.parse(ended(await run([...args, '--json']), 1));
      expect(difference).to.deep.include({ equivalent: false, changes: [], ruleChanges: [] });
      expect(difference.codes).to.have.lengthOf(1);
      expect(ended(await run([...args, '--format', 'markdown']), 1)).to.include('### codes.yaml: RATE_LIMITED');
    });

    it('ends with 1 where only what may be asked was taken away, and says what', async () => {
      const more = await folder('facts.yaml', 'actions:', 'asked: { soft: boolean }\nactions:');
      expect(ended(await run(['diff', POLICY_FOLDER, more]), 0)).to.match(/^equivalent/);
      expect(ended(await run(['diff', more, POLICY_FOLDER]), 1)).to.match(
        /^different: the same effect and code everywhere, but questions are refused that were not .*asked soft: .*\(400\)\n {2}- true, false\n {2}\+ none/s,
      );
    });

    it('ends with 3 where one of the two cannot be read, and says which and why', async () => {
      const broken = await folder('20-limit.csv', 'r.limit.exceeded', 'r.limit.exceded');
      const pairs = [
        [['diff', broken, POLICY_FOLDER], 'the old policy'],
        [['diff', POLICY_FOLDER, broken], 'the new policy'],
      ] as const;
      for (const [args, which] of pairs) {
        expect(ended(await run(args), 3))
          .to.include(which)
          .and.include('20-limit.csv:2:')
          .and.include('[unknown-fact]');
      }
      const undecided = await folder('90-allow.csv', 'p, allow-without-target', '# p, allow-without-target');
      expect(ended(await run(['diff', POLICY_FOLDER, undecided]), 3))
        .to.include('the new policy')
        .and.include('no row');
    });

    it('ends with 3 above its bound', async () => {
      const names = Array.from({ length: 25 }, (_, index) => `a${index}`);
      const much = await folder(
        '90-allow.csv',
        'p, allow-without',
        `p, much, *, "${names.map((name) => `r.user.${name} == 'x'`).join(' && ')}", deny, PERMISSION_DENIED\np, allow-without`,
      );
      const declared = `attributes: { user: { ${names.map((name) => `${name}: [x]`).join(', ')} } }\nactions:\n  strict`;
      await edit(much, 'facts.yaml', 'actions:\n  strict', declared);
      expect(ended(await run(['diff', POLICY_FOLDER, much]), 3)).to.match(
        /^authz: 90-allow\.csv:2: .* more situations apart than can be gone through/,
      );
    });

    it('reads git revisions of the policy folder, and passes no name to git as an option', async () => {
      const policies = await folder();
      const git = (...args: readonly string[]): void =>
        void execFileSync('git', ['-C', policies, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args]);
      git('init', '-q', '-b', 'main');
      git('add', '-A');
      git('commit', '-qm', 'the shipped policy');
      await edit(policies, '20-limit.csv', '"r.limit.exceeded"', '"false"');
      const text = ended(await run(['diff', 'main', policies], '', { POLICY_DIR: policies }), 1);
      expect(text).to.include('deny RATE_LIMITED -> allow OK');
      const refused = await run(['diff', '--policy', policies, '--', '--help', 'main']);
      expect(ended(refused, 3)).to.include('the old policy').and.include('neither a folder nor a git revision');
    });
  });
});
