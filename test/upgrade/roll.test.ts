/**
 * Three replicas are rolled from this version to the one after it, back, and on to the end, while services ask and operators revoke and
 * freeze: "Upgrade" of docs/operations.md, as it stands there.
 */

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { killProcesses, settingsOf } from '../http/process.ts';
import { authz, authzProcess, type Outcome, ROOT } from '../support/cli.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import type { TestService } from '../support/service.ts';
import { createFleet, type Fleet } from './fleet.ts';
import { type Load, startLoad } from './load.ts';
import { makeSuccessor } from './successor.ts';

const REPLICAS = 3;

describe('an upgrade', () => {
  const pepper = { id: 'test', secret: randomBytes(32) };
  const token = randomBytes(16).toString('hex');
  let url: string;
  let db: Knex;
  let fleet: Fleet;
  let load: Load;
  let successor: Awaited<ReturnType<typeof makeSuccessor>>;

  before(async () => {
    [url, successor] = await Promise.all([newDatabase(), makeSuccessor()]);
    db = connect({ url, poolSize: 2 });
    const settings = settingsOf({ pepper, token } as TestService, url);
    // Generous: what is late on a busy machine has not failed.
    fleet = createFleet({ ...settings, DECISION_DEADLINE_MS: '20000', DRAIN_DELAY_MS: '1500' }, token);
  });
  after(async () => {
    await fleet.close();
    killProcesses();
    await db.destroy();
    await successor.remove();
  });

  const DATABASE = (): Record<string, string> => ({ DATABASE_URL: url });
  /** The verbs of the section, as they stand there. */
  const documented = async (): Promise<string[][]> => {
    const page = await readFile(path.join(ROOT, 'docs', 'operations.md'), 'utf8');
    const [, section = ''] = /^## Upgrade$([\s\S]*?)^## /m.exec(page) ?? [];
    return [...section.matchAll(/^DATABASE_URL="\$OWNER_URL" npx authz (.*)$/gm)].map(([, verb = '']) =>
      verb.split(' '),
    );
  };
  const bySuccessor = (...args: string[]): Promise<Outcome> => authzProcess(args, DATABASE(), '', successor.root);

  /** Replaces `count` replicas by ones of the version in `root`, the oldest first: each new one is ready before an old one ends. */
  const roll = async (root: string, count: number): Promise<void> => {
    for (const replica of fleet.replicas.slice(0, count)) {
      await fleet.add(root);
      await fleet.end(replica);
    }
  };

  it('fails no request, loses no record and forgets no revocation, there and back; then older versions are refused', async () => {
    const [expand = [], contract = [], ...others] = await documented();
    expect([expand[0], contract[1], others]).to.deep.equal(['migrate', '--contract', []]);
    for (let n = 0; n < REPLICAS; n += 1) await fleet.add(ROOT);
    load = await startLoad(db, pepper, fleet);
    await load.honoured(ROOT, ROOT);

    const expanded = await bySuccessor(...expand);
    expect(expanded.code, expanded.stderr).to.equal(0);
    expect(expanded.stdout).to.include('applied: 002_regions').and.include('waiting: 003_without_record_change');
    await load.honoured(ROOT, ROOT);

    await roll(successor.root, 2);
    await load.honoured(ROOT, successor.root);
    await load.honoured(successor.root, ROOT);
    await roll(successor.root, 1);
    await load.honoured(successor.root, successor.root);

    await roll(ROOT, amount(1, REPLICAS));
    await load.honoured(ROOT, amount(successor.root, ROOT));
    const early = await bySuccessor(...contract);
    expect(early.code, early.stdout).to.equal(1);
    expect(early.stderr).to.include('003_without_record_change would break replicas that run: ');

    // Those of this version are the last.
    for (const replica of fleet.replicas.filter(({ root }) => root === ROOT)) {
      await fleet.add(successor.root);
      await fleet.end(replica);
    }
    const contracted = await bySuccessor(...contract);
    expect(contracted.code, contracted.stderr).to.equal(0);
    expect(contracted.stdout).to.equal(
      'applied: 003_without_record_change\nthe roles have their rights, as deploy/roles.sql says\n',
    );
    await load.honoured(successor.root, successor.root);
    await load.stop();
    expect(load.faults).to.deep.equal([]);

    const recorded = new Set(await db('decisions').pluck('id'));
    expect([...load.answered].filter((id) => !recorded.has(id))).to.deep.equal([]);
    expect(load.answered.size).to.be.greaterThan(100);
    const verified = await bySuccessor('audit', 'verify', '--json');
    expect(verified.code, verified.stdout + verified.stderr).to.equal(0);

    // This version no longer starts.
    const { code, stderr } = await authz(['serve'], {
      ...settingsOf({ pepper, token } as TestService, url),
      PORT: '0',
    });
    expect(code).to.equal(1);
    expect(stderr).to.include('003_without_record_change').and.include('Deploy a version at least as new');
  });
});
