/** Terminal output: text from outside is escaped, tables are aligned by display width; --json stays exact. */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { markdown } from '../../src/cli/policy/diff.ts';
import { replayText } from '../../src/cli/policy/replay.ts';
import { replayMarkdown } from '../../src/cli/policy/review.ts';
import { explanationText } from '../../src/cli/terminal/explanation.ts';
import { escaped, escapedLines, table } from '../../src/cli/terminal/output.ts';
import { connect } from '../../src/db/connect.ts';
import { explain } from '../../src/policy/explain.ts';
import { drawer, insertRecords, makeRecord } from '../audit/records.ts';
import { POLICY_FOLDER, shippedPolicy } from '../policy/texts.ts';
import { authz, type Outcome, outputWith, startAuthz } from '../support/cli.ts';
import { ACTIVE, factsWith } from '../support/facts.ts';
import { newDatabase } from '../support/postgres.ts';

const RAW = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

/** What a terminal acts on or hides -> its escape. */
const DANGEROUS: Readonly<Record<string, string>> = {
  '\u001b[2J': '\\u{1b}[2J',
  '\u001b]0;title\u0007': '\\u{1b}]0;title\\u{7}',
  '\u009b2J': '\\u{9b}2J',
  '\r': '\\u{d}',
  '\n': '\\u{a}',
  '\t': '\\u{9}',
  '\b': '\\u{8}',
  '\u0000': '\\u{0}',
  '\u007f': '\\u{7f}',
  '\u202e': '\\u{202e}',
  '\u2066': '\\u{2066}',
  '\u200b': '\\u{200b}',
  '\ufeff': '\\u{feff}',
  '\u2028': '\\u{2028}',
  '\u2029': '\\u{2029}',
  '\u{e0041}': '\\u{e0041}',
  '\ud800': '\\u{d800}',
  '\udc00\ud800': '\\u{dc00}\\u{d800}',
};

describe('text for a terminal', () => {
  it('has control, format and separator characters and lone surrogates escaped', () => {
    for (const [raw, shown] of Object.entries(DANGEROUS)) expect(escaped(`a${raw}z`)).to.equal(`a${shown}z`);
  });

  it('keeps every other text as it is: wide, combining, joined, right to left', () => {
    for (const text of ['Bäckerei', 'e\u0301', '日本語', '👩\u200d🍳', 'می\u200cخواهم', 'שלום', '\\u{1b}', '😀'])
      expect(escaped(text)).to.equal(text);
  });

  it('keeps line ends and tabs where several lines are meant, and escapes the rest of each line', () => {
    expect(escapedLines('one\n\ttwo\u001b[2J\r\nthree\u202e\n')).to.equal('one\n\ttwo\\u{1b}[2J\r\nthree\\u{202e}\n');
    expect(escapedLines('covered\rby this')).to.equal('covered\\u{d}by this');
  });
});

describe('a table', () => {
  it('aligns by display width: two columns for wide characters and emoji, none for combining marks', () => {
    const names = ['plain', '日本語', '👩\u200d🍳', 'e\u0301a', '가나'];
    const lines = table(names.map((name) => ({ name, next: '|' }))).split('\n');
    expect(lines).to.deep.equal([
      'name    next',
      'plain   |',
      '日本語  |',
      '👩\u200d🍳      |',
      'e\u0301a      |',
      '가나    |',
    ]);
  });

  it('has one line for each row, whatever its cells hold, aligned by what is shown', () => {
    for (const [raw, shown] of Object.entries(DANGEROUS)) {
      const lines = table([{ name: `a${raw}z`, next: '|' }]).split('\n');
      expect(lines).to.deep.equal([`name${' '.repeat(shown.length)}next`, `a${shown}z  |`]);
    }
  });

  it('shows empty cells as -, and nothing of no rows', () => {
    expect(table([{ name: '', next: null }])).to.equal('name  next\n-     -');
    expect(table([])).to.equal('');
  });
});

describe('a number with its noun', () => {
  it('is in the singular where it is one', () => {
    const one = {
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-01-02T00:00:00.000Z',
      replayed: 1,
      changed: 1,
      ruleChanged: 0,
      shifts: [],
      reasons: [],
      assumed: [],
    };
    expect(replayText(one)).to.match(/^1 decision from/);
    expect(replayMarkdown(one)).to.match(/^1 decision since/);
    const old = { effect: 'deny' as const, code: 'OK', rule: 'x' };
    const change = { old, new: old, rules: [], when: [], situations: 1, example: { facts: ACTIVE, old, new: old } };
    const difference = {
      old: '',
      new: '',
      facts: [],
      equivalent: true,
      situations: 9,
      changes: [],
      ruleChanges: [change],
      codes: [],
      asked: [],
      names: [],
      gateway: [],
    };
    expect(markdown(difference)).to.include('\n1 class of situations, when\n');
    const asked = [{ name: 'soft', old: [true, false], new: null }];
    expect(markdown({ ...difference, equivalent: false, asked })).to.match(
      /everywhere, but questions are refused that were not \(.*### asked: soft\n.*refused \(400\)\.\n\n- old: true, false\n- new: none/s,
    );
  });
});

describe('an explanation', () => {
  it('is printed as sentences, with facts escaped', async () => {
    const facts = factsWith({ key: { id: 'k\u001b[2J\n\u202e' } }, ACTIVE);
    const text = explanationText(explain(await shippedPolicy(), facts));
    expect(text).to.match(/^allow OK by the row allow-on-target\npolicy sha256:/);
    expect(text).to.include("r.key.status != 'active' is false: r.key.status is 'active'");
    expect(text).to.include("key.id='k\\u{1b}[2J\\u{a}\\u{202e}' key.status='active'");
    expect(RAW.test(text)).to.equal(false);
  });
});

describe('a command', function () {
  this.timeout(60_000);
  const all = Object.keys(DANGEROUS).join('').replaceAll('\u0000', '').toWellFormed();
  let root: string;
  let db: Knex;
  let env: Record<string, string>;

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'authz-terminal-'));
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
    db = connect({ url, poolSize: 1 });
  });
  after(async () => {
    await db?.destroy();
    await rm(root, { recursive: true, force: true });
  });

  /** All output, which must have no raw control or format character. */
  function shown({ stdout, stderr }: Outcome): string {
    expect(
      RAW.exec(stdout + stderr)?.[0]
        .codePointAt(0)
        ?.toString(16),
    ).to.equal(undefined);
    return stdout + stderr;
  }

  it('shows names and reasons of the database on one line each, and prints them exactly as JSON', async () => {
    for (const args of ['user put ada', 'key create --user ada --name plain'])
      expect((await authz(args.split(' '), env)).code).to.equal(0);
    // The service refuses such texts; whoever writes to the database need not.
    await db('api_keys').update({ friendly_name: `key${all}` });
    await db('users').update({ disabled_at: new Date(), disabled_reason: `why${all}` });

    const list = shown(await authz(['key', 'list'], env));
    expect(list.trimEnd().split('\n')).to.have.length(2);
    expect(list).to.include('key\\u{1b}[2J').and.include('\\u{202e}');
    expect(shown(await authz(['user', 'show', 'ada'], env))).to.match(/^disabledReason +why\\u\{1b\}\[2J/m);

    const { items } = JSON.parse((await authz(['key', 'list', '--json'], env)).stdout);
    expect(items[0]).to.include({ friendlyName: `key${all}` });
  });

  it('shows hygiene findings about such names', async () => {
    await db('api_keys').update({ created_at: new Date('2020-01-01T00:00:00Z'), last_used_at: null });
    const text = shown(await authz(['audit', 'findings', '--finding', 'key-unused'], env));
    expect(text).to.include('key-unused: The key ').and.include('\\u{202e}');
  });

  it('shows what a client said on the lines of its own record, and prints it exactly as JSON', async () => {
    const requestId = `a\nOK  forged  row${all}`;
    const record = makeRecord(Date.now() - 1000, drawer(1), { request_id: requestId, rule: `row${all}` });
    await insertRecords(db, [record]);
    const one = shown(await authz(['audit', 'show', record.id], env));
    expect(one)
      .to.match(/^requestId +a\\u\{a\}OK {2}forged/m)
      .and.not.match(/^OK/m);
    expect(shown(await authz(['audit', 'query'], env))).to.include('row\\u{1b}[2J');
    const json = await authz(['audit', 'show', record.id, '--json'], env);
    expect(JSON.parse(json.stdout)).to.include({ requestId });
  });

  it('shows case names and file names of a policy folder on one line each, and prints them exactly as JSON', async () => {
    const folder = path.join(root, 'policy\u001b[2J\u202e');
    await cp(POLICY_FOLDER, folder, { recursive: true });
    const name = `odd ${all}`;
    const base = `{ key: { id: k, status: active, userManagement: false, environment: '' },
      user: { id: u, status: active, businesses: active }, limit: { exceeded: false },
      target: { id: b, status: active, role: owner, inRestriction: true }, request: { action: 'call:create' } }`;
    const want = '{ effect: deny, code: RATE_LIMITED, rule: limit-exceeded }';
    const cases = `base: ${base}\ncases:\n  - { name: ${JSON.stringify(name)}, want: ${want} }\n`;
    await writeFile(
      path.join(folder, 'cases', 'odd.yaml'),
      // JSON leaves some as they are; a policy folder may not hold them unescaped.
      cases.replace(/[^\n\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    );

    const test = await authz(['policy', 'test', folder]);
    expect(test.code).to.equal(1);
    expect(shown(test)).to.match(/^cases\/odd\.yaml:5:5: odd \\u\{1b\}\[2J.*\n {2}- wanted deny RATE_LIMITED/m);
    const { cases: outcomes } = JSON.parse((await authz(['policy', 'test', folder, '--json'])).stdout);
    expect(outcomes.map((one: { name: string }) => one.name)).to.include(name);

    expect(shown(await authz(['policy', 'check', folder]))).to.include('policy\\u{1b}[2J\\u{202e}: 1 finding');
    const review = shown(await authz(['policy', 'review', POLICY_FOLDER, folder]));
    expect(review).to.include('**added**: "odd \\u001b[2J').and.include('\\u{202e}');
  });

  it('follows the log with a line for each decision, whatever its texts', async () => {
    const child = startAuthz(['audit', 'tail'], env);
    try {
      await outputWith(child, 'following the decision log');
      const output = outputWith(child, 'tail-of-it');
      const rule = `odd${all}tail-of-it`;
      await insertRecords(db, [makeRecord(Date.now(), drawer(5), { rule })]);
      expect(await output).to.match(/^at +code .*\n.*\S +odd\\u\{1b\}\[2J.*tail-of-it/);
      expect(RAW.test(await output)).to.equal(false);
    } finally {
      child.kill('SIGINT');
      await once(child, 'close');
    }
  });

  it('shows errors that quote its input', async () => {
    const nowhere = path.join(root, 'none\u001b[2J\u202e');
    expect(shown(await authz(['policy', 'test', nowhere]))).to.include('none\\u{1b}[2J\\u{202e}');
    expect(shown(await authz(['policy', `--odd\u001b[2J`]))).to.include('\\u{1b}[2J');
    const document = path.join(root, 'directory\u001b[2J\u202e.json');
    await writeFile(document, '{"users": [{"id": ""}]}');
    const refused = await authz(['import', document], env);
    expect(refused.code).to.equal(1);
    expect(shown(refused)).to.include('directory\\u{1b}[2J\\u{202e}.json has 1 fault');
  });
});
