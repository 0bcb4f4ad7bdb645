/** The report of a month: its figures are those of a plain count, it shows what is hostile as text, loads nothing, and says first whether the log verifies. */

import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { gatherFigures } from '../../src/audit/report/figures.ts';
import { connect } from '../../src/db/connect.ts';
import { authz, type Outcome } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';
import { createRoles, loginOf } from '../support/roles.ts';
import { drawer, insertRecords, makeRecord, type TestRecord } from './records.ts';
import { createWriter, makeDays, type Writer } from './written-log.ts';

const DAY = 86_400_000;
const HOSTILE = '"><script>alert(1)</script><svg onload=x> & ‹bdi›';

describe('the report of a month', function () {
  this.timeout(60_000);
  let db: Knex;
  let env: Record<string, string>;
  let auditor: Record<string, string>;
  let folder: string;
  let writer: Writer;
  let days: string[];

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-report-'));
    const url = await newDatabase();
    db = connect({ url, poolSize: 2 });
    await createRoles(db);
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
    auditor = { DATABASE_URL: await loginOf(db, url, 'authz_auditor') };
    days = await makeDays(db, 4);
    writer = createWriter(db);
    for (const day of days.slice(0, 4)) await writer.append(day, 12, { rule: HOSTILE });
    for (const args of [
      ['user', 'put', 'ada'],
      ['key', 'create', '--user', 'ada', '--name', HOSTILE.slice(0, 60)],
      ['freeze', '--user', 'ada', '--for', '1h', '--reason', HOSTILE],
      ['user', 'update', 'ada', '--disabled', '--reason', HOSTILE],
    ])
      expect((await authz(args, env)).code).to.equal(0);
  });
  after(async () => {
    await db?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const file = (name: string): string => path.join(folder, name);
  const make = (name: string, ...args: string[]): Promise<Outcome> =>
    authz(['audit', 'report', '--from', days[1] ?? '', '--out', file(name), ...args], auditor);

  it('is one file that loads nothing, runs nothing, and shows as text whatever others wrote', async () => {
    const { code, stdout, stderr } = await make('report.html');
    expect([code, stderr]).to.deep.equal([0, '']);
    expect(stdout).to.include('written to');
    const page = await readFile(file('report.html'), 'utf8');
    expect((await stat(file('report.html'))).mode & 0o777).to.equal(0o600);
    expect(await readdir(folder)).to.deep.equal(['report.html']);
    expect(page).to.not.match(/<script|<link|<img|<iframe|onload=x>|https?:|url\(|src=|href=|javascript:/i);
    const [, style = ''] = /<style>([\s\S]*?)<\/style>/.exec(page) ?? [];
    const hash = createHash('sha256').update(style).digest('base64');
    expect(page.replaceAll('&#39;', "'")).to.include(`content="default-src 'none'; style-src 'sha256-${hash}'"`);
    expect(page).to.not.match(/ style="/);
    for (const text of ['The log verifies', 'user.update', 'key.create', 'disabled false -&#62; true', 'freeze.create'])
      expect(page, text).to.include(text);
    expect(page.match(/&#60;script&#62;alert/g)?.length).to.be.at.least(3);
  });

  it('has the same figures for whoever makes it again, and is never written over unasked', async () => {
    const json = async (): Promise<{ digest: string; figures: { total: number } }> => {
      const { code, stdout } = await authz(
        ['audit', 'report', '--from', days[1] ?? '', '--to', days[4] ?? '', '--json'],
        auditor,
      );
      expect(code).to.equal(0);
      return JSON.parse(stdout);
    };
    const [first, second] = [await json(), await json()];
    expect(second.digest).to.equal(first.digest);
    expect(first.figures.total).to.equal(36);
    await writeFile(file('mine.html'), 'mine');
    const refused = await make('mine.html');
    expect([refused.code, refused.stderr]).to.deep.equal([
      1,
      `authz: ${file('mine.html')} is there already; name another with --out, or write over it with --force\n`,
    ]);
    expect(await readFile(file('mine.html'), 'utf8')).to.equal('mine');
    expect((await make('mine.html', '--force')).code).to.equal(0);
    expect(await readFile(file('mine.html'), 'utf8')).to.include('The log verifies');
    expect((await make('none/here.html')).stderr).to.include('cannot be written (ENOENT)');
  });

  it('leaves its event, and takes a month or a time', async () => {
    const [event] = await db('admin_events').where({ action: 'audit.report' }).orderBy('id', 'desc');
    expect(event.after.from).to.equal(`${days[1]}T00:00:00.000Z`);
    for (const [args, says] of [
      [[], 'name the time of the report'],
      [['--month', '2026-13'], 'is no month'],
      [['--month', '2026-01', '--from', '7d'], 'name the time of the report'],
      [['--month', '2999-01'], 'still to come'],
    ] as const) {
      const { code, stderr } = await authz(['audit', 'report', ...args], auditor);
      expect([code, stderr.includes(says)], stderr).to.deep.equal([1, true]);
    }
    const month = days[2]?.slice(0, 7) ?? '';
    const { code } = await authz(['audit', 'report', '--month', month, '--out', file('month.html')], auditor);
    expect(code).to.equal(0);
    expect(await readFile(file('month.html'), 'utf8')).to.include(`Authorization report, ${month}`);
  });

  it('says first that the log does not verify, and exits with 1', async () => {
    await db.raw('alter table decision_records disable trigger user');
    const [record] = await db('decision_records')
      .where('at', '>=', days[2] ?? '')
      .orderBy('at')
      .limit(1);
    await db('decision_records').where({ id: record.id }).update({ caller_id: 'another' });
    const { code, stdout } = await make('altered.html');
    expect([code, stdout.includes('does not verify')]).to.deep.equal([1, true]);
    const page = await readFile(file('altered.html'), 'utf8');
    expect(page).to.include('class="verdict bad"').and.include('The log does not verify: 1 found');
    expect(page.indexOf('verdict bad')).to.be.below(page.indexOf('questions'));
  });

  it('counts what a plain count counts', async () => {
    const draw = drawer(8);
    const start = Math.floor(Date.now() / DAY) * DAY - 20 * DAY;
    const records = Array.from({ length: 900 }, () => makeRecord(start + draw(6 * DAY), draw));
    await insertRecords(db, records);
    const span = { from: new Date(start + 3 * DAY).toISOString(), to: new Date(start + 6 * DAY).toISOString() };
    const figures = await gatherFigures(db, span, () => undefined);
    const now = records.filter(({ at }) => at >= span.from);
    const sums = (of: readonly TestRecord[], value: (record: TestRecord) => string | null) => {
      const counts = new Map<string | null, number>();
      for (const record of of) counts.set(value(record), (counts.get(value(record)) ?? 0) + 1);
      return counts;
    };
    const asMap = ({ groups }: { groups: readonly { value: string | null; count: number }[] }) =>
      new Map(groups.map(({ value, count }) => [value, count]));
    const before = sums(
      records.filter(({ at }) => at < span.from),
      ({ code }) => code,
    );
    const codes = sums(now, ({ code }) => code);
    expect([figures.total, figures.totalBefore]).to.deep.equal([now.length, records.length - now.length]);
    expect(new Map(figures.codes.map(({ code, count, before: was }) => [code, [count, was]]))).to.deep.equal(
      new Map([...codes].map(([code, count]) => [code, [count, before.get(code)]])),
    );
    const denied = now.filter(({ effect }) => effect === 'deny');
    expect(figures.days.map(({ day, allowed, denied: no }) => [day, allowed + no, no])).to.deep.equal(
      [3, 4, 5].map((offset) => {
        const day = new Date(start + offset * DAY).toISOString().slice(0, 10);
        const of = (some: readonly TestRecord[]) => some.filter(({ at }) => at.startsWith(day)).length;
        return [day, of(now), of(denied)];
      }),
    );
    expect(asMap(figures.largest.user)).to.deep.equal(sums(now, ({ user_id }) => user_id));
    expect(asMap(figures.largest.caller)).to.deep.equal(sums(now, ({ caller_id }) => caller_id));
    expect(asMap(figures.denied.rule)).to.deep.equal(sums(denied, ({ rule }) => rule));
    const policies = sums(now, ({ policy }) => policy);
    expect(new Map(figures.policies.map(({ policy, decisions }) => [policy, decisions]))).to.deep.equal(policies);
    expect(figures.hours.reduce((sum, { count }) => sum + count, 0)).to.equal(now.length);
  });
});
