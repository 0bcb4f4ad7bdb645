/** `authz audit events`: a file that is continued, follows, and is of one history. */

import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { putUser } from '../../src/directory/users.ts';
import { eventually } from '../http/process.ts';
import { authz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';
import { exportOf } from './world.ts';

const STATE = { disabled: false, disabledReason: null, businessesDisabled: false, rateLimit: null, attributes: {} };

describe('authz audit events', () => {
  let folder: string;
  let file: string;
  let env: { DATABASE_URL: string };
  let db: Knex;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-events-'));
    file = path.join(folder, 'events.jsonl');
    env = { DATABASE_URL: await newDatabase() };
    db = connect({ url: env.DATABASE_URL, poolSize: 1 });
  });
  after(async () => {
    await db?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const make = (id: string) => putUser(db, { id: 'test' }, id, STATE);
  const write = (signal?: AbortSignal, ...options: string[]) =>
    authz(['audit', 'events', '--out', file, ...options], env, '', signal);

  it('continues a file where it ends, also where a crash cut off the last line', async () => {
    await make('ann');
    const first = await write();
    expect([first.code, first.stdout]).to.deep.equal([0, `1 event written to ${file}, up to number 1\n`]);
    await appendFile(file, '{"seq":2,"id":"01');
    await make('ben');
    await make('cleo');
    expect(JSON.parse((await write(undefined, '--json')).stdout)).to.deep.equal({ written: 2, last: 3 });
    expect(await readFile(file, 'utf8')).to.equal(await exportOf(db));
  });

  it('follows, and ends with what there was', async () => {
    const stop = new AbortController();
    const following = write(stop.signal, '--follow');
    await make('dora');
    await eventually(async () => (await readFile(file, 'utf8')) === (await exportOf(db)));
    stop.abort('SIGTERM');
    expect((await following).code).to.equal(0);
  });

  it('leaves a file of another history as it is', async () => {
    const before = await readFile(file, 'utf8');
    const other = { DATABASE_URL: await newDatabase() };
    const { code, stderr } = await authz(['audit', 'events', '--out', file], other);
    expect([code, await readFile(file, 'utf8')]).to.deep.equal([1, before]);
    expect(stderr).to.include('an older copy was restored, or it is another database');
    await writeFile(file, 'something else\n');
    expect((await write()).stderr).to.include('does not end with an event');
    expect(await readFile(file, 'utf8')).to.equal('something else\n');
  });
});
