/** Whatever the clocks of the machines say, and when the database's is set: records have its time, and the log verifies. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { makeSigningKey } from '../../../src/audit/format/signatures.ts';
import { verifyLog } from '../../../src/audit/verify/verify.ts';
import { readClock } from '../../../src/db/clock.ts';
import { connect } from '../../../src/db/connect.ts';
import {
  eventually,
  killProcesses,
  type Served,
  type ServiceProcess,
  serve,
  startProcess,
} from '../../http/process.ts';
import { ROOT } from '../../support/cli.ts';
import { type DatabaseClock, databaseClock } from '../../support/database-clock.ts';
import { newDatabase } from '../../support/postgres.ts';
import { verifyIndependently } from '../verify/independent.ts';

const HOUR_MS = 3_600_000;
const TOKEN = randomBytes(16).toString('hex');
/** What docs/audit.md states: behind by the time that a reading took, which counts for a second; ahead not at all. */
const BEHIND_MS = 1100;

const timeOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

describe('the time of a record', () => {
  let db: Knex;
  let clock: DatabaseClock;
  let folder: string;
  let file: string;
  let environment: Record<string, string>;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    file = path.join(folder, 'checkpoints.jsonl');
    const key = path.join(folder, 'key.pem');
    await writeFile(key, makeSigningKey(), { mode: 0o600 });
    const url = await newDatabase();
    db = connect({ url, poolSize: 4 });
    clock = await databaseClock(db);
    environment = {
      DATABASE_URL: url,
      KEY_PEPPERS: `test:${randomBytes(32).toString('base64')}`,
      BOOTSTRAP_TOKEN: TOKEN,
      AUDIT_CHECKPOINTS: file,
      AUDIT_SIGNING_KEY: key,
      AUDIT_CHECKPOINT_SECONDS: '1',
      DECISION_DEADLINE_MS: '5000',
      LOG_LEVEL: 'info',
    };
  });
  afterEach(async () => {
    killProcesses();
    await db.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const startAhead = (milliseconds: number): Promise<ServiceProcess> =>
    startProcess({
      ...environment,
      MOVED_CLOCK_MS: String(milliseconds),
      NODE_OPTIONS: `--import=${path.join(ROOT, 'test', 'support', 'moved-clock.mjs')}`,
    });

  /** The id of a decision; undefined where there was none. */
  const ask = async ({ address }: Pick<Served, 'address'>): Promise<string | undefined> => {
    const response = await fetch(`${address}/authorize`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ apiKey: 'none', action: 'call:create', context: { ip: '203.0.113.7' } }),
    });
    const body = (await response.json()) as { Data?: { decisionId?: string } };
    expect(response.status).to.be.oneOf([200, 503]);
    return body.Data?.decisionId;
  };
  const expectClean = async () => {
    const report = await verifyLog(db, { files: [file] });
    expect(report.findings).to.deep.equal([]);
    expect(report.uncovered).to.equal(0);
    const [publicKey = ''] = report.checkpoints.publicKeys;
    expect(await verifyIndependently(db, file, publicKey)).to.equal(undefined);
    return report;
  };

  it('is the database’s, though the clocks of the machines are an hour apart and processes are killed', async () => {
    const offsets = [0, HOUR_MS, -HOUR_MS];
    const processes = await Promise.all(offsets.map(startAhead));
    const askTimed = async (one: ServiceProcess): Promise<void> => {
      const before = await readClock(db);
      const id = await ask(one);
      expect(timeOf(id ?? '')).to.be.within(before - BEHIND_MS, await readClock(db));
    };
    for (let round = 0; round < 15; round += 1) await Promise.all(processes.map(askTimed));
    for (const { address } of processes) expect((await fetch(`${address}/readyz`)).status).to.equal(200);
    await eventually(async () => (await readFile(file, 'utf8')).split('\n').length > 6);
    processes[1]?.child.kill('SIGKILL');
    await processes[1]?.exit;
    processes[1] = await startAhead(-HOUR_MS);
    for (let round = 0; round < 15; round += 1) await Promise.all(processes.map(askTimed));
    for (const { child } of processes) child.kill('SIGTERM');
    for (const { exit } of processes) expect(await exit).to.equal(0);
    const report = await expectClean();
    expect(report).to.deep.include({ records: 90, clockSteps: [] });
  });

  for (const hours of [-1, 1]) {
    it(`follows the database’s clock, when that is set ${hours < 0 ? 'back' : 'forward'} by an hour, without an alarm`, async () => {
      const services = await Promise.all([serve(environment), serve(environment)]);
      let going = true;
      const ids: string[] = [];
      const asking = services.map(async (one) => {
        while (going) {
          const id = await ask(one);
          if (id !== undefined) ids.push(id);
          await sleep(15);
        }
      });
      await eventually(async () => (await readFile(file, 'utf8')).split('\n').length > 4);
      await clock.shiftBy(hours * HOUR_MS);
      const since = ids.length;
      // All of them: the last ones are of the new time.
      await eventually(() => ids.length > since + 100);
      await eventually(() =>
        ids.slice(-40).every((id) => Math.abs(timeOf(id) - Date.now() - hours * HOUR_MS) < 60_000),
      );
      await sleep(1500);
      going = false;
      await Promise.all(asking);
      for (const { stop } of services) stop();
      for (const { exit } of services) expect(await exit).to.equal(0);
      const { clockSteps, records } = await expectClean();
      expect(records).to.be.at.least(ids.length);
      expect(clockSteps).to.have.length(hours < 0 ? 1 : 0);
      for (const { log } of services) expect(log()).to.include('the clock of the database was set');
    });
  }
});
