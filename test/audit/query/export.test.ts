/** Exports: every record of the filter once, in a form that programs read back, and that no spreadsheet runs. */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { COLUMN_NAMES } from '../../../src/audit/columns.ts';
import { getDecision } from '../../../src/audit/query/decisions.ts';
import { type ExportFormat, exportDecisions, headingOf } from '../../../src/audit/query/export.ts';
import type { DecisionFilter } from '../../../src/audit/query/filters.ts';
import { connect } from '../../../src/db/connect.ts';
import { authz, ROOT } from '../../support/cli.ts';
import { newDatabase } from '../../support/postgres.ts';
import { drawer, insertRecords, makeRecord, type TestRecord } from '../records.ts';

const HOUR = 3_600_000;
const START = Date.now() - 30 * HOUR;
const EVER = { from: new Date(START - HOUR).toISOString(), to: new Date(Date.now() + HOUR).toISOString() };

const HOSTILE = [
  '=cmd|" /C calc"!A0',
  '+1+1',
  '-2+3',
  '@SUM(1)',
  '\t=1',
  '\r=1',
  '\n=1',
  'a,b',
  'say "hi"',
  'two\r\nlines',
  'back\\slash\\n',
  '\\N',
  '\\.',
  'tab\there',
  '\u0001\u0008\u000b\u000c\u001f',
  'ünïcode 😀 \u2028',
  "'quoted'",
  '  =1',
  '',
];

describe('exports of the decision log', function () {
  this.timeout(60_000);
  let db: Knex;
  let env: Record<string, string>;
  let folder: string;
  let records: TestRecord[];

  before(async () => {
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
    db = connect({ url, poolSize: 2 });
    folder = await mkdtemp(path.join(tmpdir(), 'authz-export-'));
    const draw = drawer(3);
    records = Array.from({ length: 400 }, (_, n) =>
      makeRecord(START + n * 250_000, draw, {
        user_agent: HOSTILE[n % HOSTILE.length] ?? null,
        request_id: HOSTILE[(n * 7) % HOSTILE.length] ?? null,
        facts: { text: HOSTILE[n % HOSTILE.length] ?? null, n },
      }),
    ).toSorted((a, b) => (a.id < b.id ? -1 : 1));
    await insertRecords(db, records);
  });
  after(async () => {
    await db?.destroy();
    if (folder) await rm(folder, { recursive: true });
  });

  async function exported(format: ExportFormat, filter: DecisionFilter = {}): Promise<string> {
    let text = headingOf(format);
    for await (const part of exportDecisions(db, { ...EVER, ...filter }, EVER, format)) text += part.text;
    return text;
  }
  const linesOf = (text: string): Record<string, unknown>[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  const rowsOf = (text: string): Record<string, string>[] => parse(text, { columns: true, record_delimiter: '\r\n' });

  it('as JSON lines are what show gives, oldest first', async () => {
    const lines = linesOf(await exported('jsonl'));
    expect(lines.map(({ id }) => id)).to.deep.equal(records.map(({ id }) => id));
    for (const [index, line] of lines.entries())
      if (index % 20 < 3) expect(line).to.deep.equal(await getDecision(db, records[index]?.id ?? ''));
    const texts = lines.map(({ userAgent, requestId, facts }) => [userAgent, requestId, facts]);
    expect(texts).to.deep.equal(records.map((record) => [record.user_agent, record.request_id, record.facts]));
  });

  it('as CSV are read back by a parser, with what looks like a formula behind an apostrophe', async () => {
    const text = await exported('csv');
    const rows = rowsOf(text);
    const harmless = (value: string | null) => (/^[=+\-@\t\r\n]/.test(value ?? '') ? `'${value}` : (value ?? ''));
    expect(rows).to.have.length(records.length);
    for (const [index, row] of rows.entries()) {
      const record = records[index] as TestRecord;
      expect(row).to.include({
        id: record.id,
        at: record.at,
        apiKeyId: record.api_key_id ?? '',
        code: record.code,
        durationUs: record.duration_us === null ? '' : String(record.duration_us),
        userAgent: harmless(record.user_agent),
        requestId: harmless(record.request_id),
      });
      expect(JSON.parse(row['facts'] ?? '')).to.deep.equal(record.facts);
      for (const value of Object.values(row)) expect(value).to.not.match(/^[=+\-@\t\r\n]/);
    }
    expect(text.replaceAll('\r\n', '')).to.include('"say ""hi"""');
  });

  it('carry any text of a client, in both forms', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 }).filter((value) => !value.includes('\0'));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 20 }), async (pairs) => {
        const caller_id = `c-${randomBytes(6).toString('hex')}`;
        const written = pairs.map(([user_agent, request_id]) =>
          makeRecord(START, drawer(1), { caller_id, user_agent, request_id }),
        );
        await insertRecords(db, written);
        const lines = linesOf(await exported('jsonl', { callerId: caller_id }));
        expect(lines.map(({ userAgent, requestId }) => [userAgent, requestId])).to.deep.equal(pairs);
        const rows = rowsOf(await exported('csv', { callerId: caller_id }));
        const plain = (value: string | undefined) => (value ?? '').replace(/^'(?=[=+\-@\t\r\n])/, '');
        expect(rows.map(({ userAgent, requestId }) => [plain(userAgent), plain(requestId)])).to.deep.equal(pairs);
        await db('decision_records').where({ caller_id }).delete();
      }),
      { numRuns: 25 },
    );
  });

  it('take filters, and the last 24 hours by default', async () => {
    const { code, stdout, stderr } = await authz(['audit', 'export', '--code', 'OK', '--business', 'b1'], env);
    expect(code, stderr).to.equal(0);
    const since = new Date(Date.now() - 24 * HOUR - 60_000).toISOString();
    const ids = linesOf(stdout).map(({ id }) => id);
    const expected = records.filter(
      (record) => record.code === 'OK' && record.business_id === 'b1' && record.at > since,
    );
    expect(ids).to.include.members(expected.slice(1).map(({ id }) => id));
    expect(ids.length).to.be.at.most(expected.length);
    const [event] = await db('admin_events').where({ action: 'audit.export' }).orderBy('id', 'desc').limit(1);
    expect(event.after).to.deep.include({ code: 'OK', businessId: 'b1', format: 'jsonl' });
  });

  it('go to a new file, which nobody else may read', async () => {
    const file = path.join(folder, 'out.csv');
    const args = ['audit', 'export', '--format', 'csv', '--from', EVER.from, '--out', file];
    const { code, stdout, stderr } = await authz(args, env);
    expect([code, stdout], stderr).to.deep.equal([0, '']);
    expect(stderr).to.include(`400 decisions written to ${file}`);
    expect(rowsOf(await readFile(file, 'utf8'))).to.have.length(400);
    expect((await stat(file)).mode & 0o777).to.equal(0o600);
    const again = await authz(args, env);
    expect(again.code).to.equal(1);
    expect(again.stderr).to.include('is there already');
    const nowhere = await authz([...args.slice(0, -1), path.join(folder, 'no', 'x')], env);
    expect([nowhere.code, nowhere.stderr]).to.satisfy(
      ([exit, says]: [number, string]) => exit === 1 && says.includes('cannot be written'),
    );
  });

  it('end with 0 and say nothing when the reader closes the pipe (EPIPE)', async () => {
    const others = COLUMN_NAMES.filter((name) => name !== 'id');
    await db.raw(`insert into decision_records (id, ${others})
      select (left(id::text, 24) || lpad(to_hex(n), 12, 'a'))::uuid, ${others} from decisions, generate_series(1, 60) n`);
    const command = `"$0" dist/src/main.js audit export --from ${EVER.from} | head -n 1 | cut -c 1-5; exit "\${PIPESTATUS[0]}"`;
    const child = spawn('bash', ['--norc', '-c', command, process.execPath], {
      cwd: ROOT,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => (output.stdout += chunk));
    child.stderr.on('data', (chunk) => (output.stderr += chunk));
    const [code] = await once(child, 'close');
    expect({ code, ...output }).to.deep.equal({ code: 0, stdout: '{"id"\n', stderr: '' });
  });
});
