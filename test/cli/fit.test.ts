/** Tables on a terminal: no line is wider than it, whatever is in them; what was left out is said; programs get all of it. */

import { randomBytes } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import stringWidth from 'string-width';
import { tableFor } from '../../src/cli/terminal/output.ts';
import { screenOf } from '../../src/cli/terminal/screen.ts';
import { connect } from '../../src/db/connect.ts';
import { runCli } from '../../src/run-cli.ts';
import { drawer, insertRecords, makeRecord } from '../audit/records.ts';
import { SEED, times } from '../policy/texts.ts';
import { newDatabase } from '../support/postgres.ts';

const UTF8 = { LANG: 'de_DE.UTF-8' };
const terminalOf = (columns: number) => Object.assign(new PassThrough(), { isTTY: true, columns });
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one.
const ESCAPE = /\u001b\[\d+m/g;

describe(`a table on a terminal (seed ${SEED})`, () => {
  const cell = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.uuid(),
    fc.constantFrom(
      '',
      'OK',
      'PERMISSION_DENIED',
      '日本語のとても長い名前です',
      'e\u0301'.repeat(30),
      '👩‍👩‍👧‍👦'.repeat(9),
    ),
  );
  const tables = fc
    .integer({ min: 1, max: 11 })
    .chain((width) => fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 8 }))
    .map((rows) => rows.map((cells) => Object.fromEntries(cells.map((value, index) => [`heading${index}`, value]))));

  it('has no line that is wider, and its most important columns', () => {
    fc.assert(
      fc.property(tables, fc.integer({ min: 40, max: 200 }), fc.boolean(), (rows, columns, coloured) => {
        const env = { ...UTF8, ...(coloured ? {} : { NO_COLOR: '1' }) };
        const printed = tableFor(screenOf({ stdout: terminalOf(columns), env }), rows);
        for (const line of printed.split('\n')) expect(stringWidth(line), line).to.be.at.most(columns);
        expect(printed.split('\n')[0]).to.include('heading0');
        const [, hidden = ''] = /not shown: (.*?)(?:;|…|$)/.exec(printed) ?? [];
        const all = Object.keys(rows[0] ?? {});
        const shown = all.filter((name) => printed.split('\n')[0]?.split(/ +/).includes(name));
        if (!printed.includes('…')) expect([...shown, ...(hidden ? hidden.split(', ') : [])]).to.have.members(all);
        if (!coloured) expect(printed).to.not.match(ESCAPE);
      }),
      times(200),
    );
  });

  it('is whole with --wide, and where standard output is no terminal', () => {
    fc.assert(
      fc.property(tables, (rows) => {
        const [whole, piped] = [
          tableFor(screenOf({ stdout: terminalOf(40), env: { ...UTF8, NO_COLOR: '1' } }), rows, { wide: true }),
          tableFor(screenOf({ stdout: new PassThrough(), env: UTF8 }), rows),
        ];
        expect(whole).to.equal(piped);
        expect(whole).to.not.include('not shown').and.not.match(ESCAPE);
      }),
      times(50),
    );
  });

  it('leaves out the least important first, and shortens ids so that both of their ends are seen', () => {
    const row = {
      at: '2030-01-31T12:00:00.000Z',
      id: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
      code: 'OK',
      rule: 'x'.repeat(30),
    };
    const seen = screenOf({ stdout: terminalOf(50), env: UTF8 });
    const printed = tableFor(seen, [row], { importance: ['at', 'code', 'id', 'rule'] }).replace(ESCAPE, '');
    expect(printed).to.include('019ac3f0…2d3e').and.include('not shown: rule; --wide shows all of it');
    const ascii = tableFor(screenOf({ stdout: terminalOf(50), env: {} }), [row]);
    expect(ascii.replace(ESCAPE, '')).to.match(/^[\x20-\x7e\n]*$/);
  });

  for (const [env, isTTY, coloured] of [
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ TERM: 'dumb' }, true, false],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, true, false],
  ] as const)
    it(`is ${coloured ? '' : 'not '}in colour with ${JSON.stringify(env)} on ${isTTY ? 'a terminal' : 'a pipe'}`, () => {
      const stdout = Object.assign(new PassThrough(), { isTTY });
      expect(ESCAPE.test(tableFor(screenOf({ stdout, env }), [{ code: 'OK' }]))).to.equal(coloured);
      ESCAPE.lastIndex = 0;
    });
});

describe('what auditors see on a terminal', function () {
  this.timeout(60_000);
  let db: Knex;
  let env: Record<string, string>;
  before(async () => {
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}`, ...UTF8 };
    db = connect({ url, poolSize: 1 });
    const draw = drawer(3);
    await run(200, 'user', 'put', 'u1');
    const { key } = JSON.parse(await run(200, 'key', 'create', '--user', 'u1', '--name', 'The phone', '--json'));
    const records = Array.from({ length: 40 }, (_, n) =>
      makeRecord(Date.now() - 60_000 - n * 1000, draw, { ...(n % 2 === 0 && { api_key_id: key.id, user_id: 'u1' }) }),
    );
    await insertRecords(db, records);
  });
  after(() => db?.destroy());

  const run = async (columns: number, ...args: string[]): Promise<string> => (await runBoth(columns, ...args))[0];

  /** Standard output, and standard error. */
  async function runBoth(columns: number, ...args: string[]): Promise<readonly [string, string]> {
    const [stdout, stderr] = [terminalOf(columns), terminalOf(columns)];
    const printed = Promise.all([text(stdout), text(stderr)]);
    const { signal } = new AbortController();
    const code = await runCli(args, { env, stdin: Readable.from([]), stdout, stderr, signal });
    stdout.end();
    stderr.end();
    const [out, error] = await printed;
    expect(code, error).to.equal(0);
    return [out, error];
  }

  for (const columns of [80, 100])
    it(`is readable in ${columns} columns: when, what, who, and what was left out`, async () => {
      const lines = (await run(columns, 'audit', 'query')).replace(ESCAPE, '').split('\n');
      const end = lines.findIndex((line) => line.startsWith('not shown'));
      for (const line of lines.slice(0, end + 1)) expect(stringWidth(line), line).to.be.at.most(columns);
      expect(lines[0]).to.match(/^at +code +action/);
      expect(lines[0]).to.include('apiKeyId');
      expect(lines[1]).to.match(/^\d{4}-\d\d-\d\dT\S+Z +[A-Z_]+ +[a-z]+:/);
    });

  it('has names beside ids, times in the zone that was asked for, and bars', async () => {
    const wide = await run(80, 'audit', 'query', '--wide', '--zone', '+05:30');
    expect(wide)
      .to.match(/\d\d:\d\d\.\d{3}\+05:30 /)
      .and.include('(The phone)')
      .and.not.include('not shown');
    const counts = (await run(100, 'audit', 'stats', '--by', 'key', '--wide')).split('\n');
    expect(counts[0]).to.match(/^key +decisions +share +bar$/);
    expect(counts[1]).to.match(/\(The phone\) .*█{24}$/);
    const hours = await run(100, 'audit', 'stats', '--by', 'hour', '--from', '3h');
    expect(hours.split('\n').filter((line) => / 0 +0\.0 %/.test(line)).length).to.be.at.least(2);
  });

  it('is said before what no index serves is searched, and nothing of it where one does', async () => {
    for (const args of [['query'], ['stats', '--by', 'ip']]) {
      const [, slow] = await runBoth(100, 'audit', ...args, '--ip', '203.0.113.0/24');
      expect(slow).to.match(/^No index serves ip: all decisions from \S+ to now are searched/);
      expect((await runBoth(100, 'audit', ...args, '--key', 'k1'))[1]).to.equal('');
    }
  });

  it('cuts the lines of a timeline', async () => {
    const lines = (await run(80, 'audit', 'timeline', '--user', 'u1')).split('\n\n')[0]?.split('\n') ?? [];
    expect(lines.length).to.be.above(20);
    for (const line of lines) expect(stringWidth(line), line).to.be.at.most(80);
    expect(await run(80, 'audit', 'timeline', '--user', 'u1', '--wide')).to.include('(The phone) of u1, asked by');
  });

  it('is the same JSON as for a program', async () => {
    for (const args of [['query'], ['stats', '--by', 'key'], ['admin']]) {
      const narrow = JSON.parse(await run(40, 'audit', ...args, '--json', '--to', 'now'));
      expect(JSON.stringify(narrow)).to.not.include('…').and.not.include('The phone)');
    }
  });
});
