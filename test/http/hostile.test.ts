/**
 * A client that has a token, beside those that have none and mean harm: no question of it fails, and the service stays small.
 * How much slower its answers are, `make bench` measures.
 */

import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { attacks } from '../support/attacks.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';
import { killProcesses, type ServiceProcess, settingsOf, startProcess } from './process.ts';

/** As many as leave the other tests of this machine their descriptors; the bench opens 10,000. */
const IDLE = 1500;
const QUESTIONS = amount(12, 40);
/** Far more than the service needs, and far less than what it took before anything was bounded. */
const MOST_MB = 100;

describe('a client beside hostile ones', () => {
  let service: TestService;
  let attacked: ServiceProcess;
  let apiKey: string;
  let atFirst: number;

  before(async () => {
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { user_id: 'ann' });
    // Nothing is late on a machine that is busy with other tests.
    attacked = await startProcess({ ...settingsOf(service, url), DECISION_DEADLINE_MS: '30000' });
    await askAll();
    atFirst = await residentMB();
  });
  after(async () => {
    killProcesses();
    await service?.close();
  });

  /** Asks one after the other, over a connection that is kept and over new ones. */
  async function askAll(): Promise<void> {
    for (let n = 0; n < QUESTIONS; n += 1) {
      const response = await fetch(`${attacked.address}/authorize`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${service.token}`,
          'content-type': 'application/json',
          ...(n % 4 === 0 && { connection: 'close' }),
        },
        body: JSON.stringify({ apiKey, action: 'account:read' }),
      });
      const { Code } = (await response.json()) as { Code: string };
      expect([response.status, Code]).to.deep.equal([200, 'OK']);
      await sleep(10);
    }
  }

  const residentMB = async (): Promise<number> => {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(attacked.child.pid)]);
    return Number(stdout) / 1024;
  };

  for (const [name, attack] of Object.entries(attacks(IDLE))) {
    it(`is served beside ${name}`, async () => {
      const over = new AbortController();
      let attacking: Promise<void> | undefined;
      try {
        await new Promise<void>((underWay) => {
          attacking = attack(attacked.address, over.signal, underWay);
        });
        await askAll();
        expect((await residentMB()) - atFirst).to.be.below(MOST_MB);
      } finally {
        over.abort();
        await attacking;
      }
    });
  }

  it('finds the service as small as before, and its log readable', async () => {
    await askAll();
    expect((await residentMB()) - atFirst).to.be.below(MOST_MB);
    expect(attacked.log().split('\n')).to.have.length.below(100);
  });
});
