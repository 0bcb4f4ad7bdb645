/** Who the events of a command name: the operator as stated, or account and machine. */

import { randomBytes } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { authz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';

describe('the operator of a command', () => {
  let db: Knex;
  let env: Record<string, string>;
  before(async () => {
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
    db = connect({ url, poolSize: 1 });
  });
  after(() => db?.destroy());

  const here = `cli:${userInfo().username}@${hostname()}`;
  for (const [says, before, AUTHZ_ACTOR, actor] of [
    ['is account and machine where nothing is stated', [], undefined, here],
    ['is the one of AUTHZ_ACTOR', [], 'Jane Doe', 'as:Jane Doe'],
    ['is the one of --as, also where it is called as a verb is', ['--as', 'audit'], undefined, 'as:audit'],
    ['is the one of --as before that', ['--as', 'josé@example.com'], 'Jane Doe', 'as:josé@example.com'],
  ] as const)
    it(says, async () => {
      const setting = { ...env, ...(AUTHZ_ACTOR !== undefined && { AUTHZ_ACTOR }) };
      for (const args of [
        ['user', 'put', actor.replace(/\W/g, '-')],
        ['audit', 'query'],
      ]) {
        const { code, stderr } = await authz([...before, ...args], setting);
        expect(code, stderr).to.equal(0);
        const [event] = await db('admin_events').orderBy('id', 'desc').limit(1);
        expect(event.actor).to.equal(actor);
      }
      const { stdout } = await authz(['audit', 'admin', '--actor', actor, '--json'], env);
      expect(JSON.parse(stdout).items).to.have.length(2);
    });

  it('is a name, at its place, and no secret is left of what is none', async () => {
    for (const name of ['', ' jane', 'ja\nne', 'j'.repeat(101)]) {
      const run = await authz(['--as', name, 'user', 'put', 'x'], env);
      expect([run.code, run.stdout]).to.deep.equal([1, '']);
      expect(run.stderr).to.include('--as takes a name of 1 to 100 characters, on one line');
      expect((await authz(['user', 'put', 'x'], { ...env, AUTHZ_ACTOR: name || ' ' })).code).to.equal(1);
    }
    const late = await authz(['user', 'put', 'x', '--as', 'jane'], env);
    expect(late.code).to.equal(2);
    expect(late.stderr).to.include('write it before the verb: authz --as NAME VERB');
    expect(await db('users').where({ id: 'x' })).to.deep.equal([]);
    const token = createToken('apiKey');
    await authz(['--as', token, 'audit', 'query'], env);
    const [event] = await db('admin_events').orderBy('id', 'desc').limit(1);
    expect(event.actor).to.match(/^as:iqra_/);
    expect(JSON.stringify(event)).to.not.include(token);
  });
});
