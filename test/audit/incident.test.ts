/**
 * The walk through an incident, from the first question to the last command, on a service that was abused: docs/administration.md with the
 * service's role, then docs/audit.md with an auditor's, and without a pepper.
 */

import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { commandsOf, expectInOrder, runGuide } from '../support/guide.ts';
import { insertKey } from '../support/service.ts';
import { type GuideWorld, makeGuideWorld } from './guide-world.ts';

const USER = '203.0.113.7';
const THIEF = '198.51.100.23';

describe('the guides on a leaked key', function () {
  this.timeout(60_000);
  let world: GuideWorld;

  before(async () => {
    world = await makeGuideWorld();
  });
  after(() => world?.close());

  it('are what their commands say, in their order', async () => {
    const { client, service, owner, folder } = world;
    const ending = await commandsOf('administration.md', '## A key has leaked: end it');
    const script = await commandsOf('audit.md', '## An incident: a leaked key');
    expect(script).to.include(`ADDRESS=${THIEF}`).and.to.include('ID=ada-main');
    await client.newUser('ada', 'bakery', 'garage');
    const leaked = await insertKey({ db: owner, pepper: service.pepper }, { id: 'ada-main', user_id: 'ada' }, [
      'bakery',
    ]);
    const other = await client.newKey('ada');
    await writeFile(path.join(folder, 'leaked.txt'), `${leaked}\n`);
    const ask = async (apiKey: string, ip: string, businessId: string): Promise<string> =>
      (await service.ask('/authorize', { apiKey, action: 'call:create', businessId, context: { ip } })).body.Code;
    for (const [ip, business] of [
      [USER, 'bakery'],
      [USER, 'bakery'],
      [THIEF, 'bakery'],
      [THIEF, 'garage'],
    ] as const)
      expect(await ask(leaked, ip, business)).to.equal(business === 'bakery' ? 'OK' : 'PERMISSION_DENIED');
    expect(await ask(other.apiKey, THIEF, 'garage')).to.equal('OK');
    await world.attested();

    const ended = await runGuide(ending, folder, world.operator);
    expect(ended.stderr).to.equal('');
    expectInOrder(ended.stdout, [
      /userId +ada/,
      /status +active/,
      /status +revoked/,
      /OK +call:create/,
      /go on with ada-main/,
    ]);
    expect(await ask(leaked, THIEF, 'bakery')).to.equal('INVALID_API_KEY');

    expect(world.auditor).to.have.all.keys('DATABASE_URL', 'AUDIT_CHECKPOINTS');
    const { stdout, stderr } = await runGuide(script, folder, world.auditor);
    expectInOrder(stdout, [
      /userId +ada/,
      /status +revoked/,
      /call:create +5 +100\.0 %/,
      /bakery +3 +100\.0 %/,
      /garage +1 +50\.0 %/,
      new RegExp(`${THIEF} +- +3 +60\\.0 %`),
      new RegExp(`${USER} +- +2 +40\\.0 %`),
      new RegExp(`${other.id} \\(a key\\) +1 +25\\.0 %`),
      /Why, by the policy of its time:\n\nallow OK by the row /,
      /allow +OK call:create on bakery from 198\.51\.100\.23 with ada-main \(a key\) of ada/,
      /admin +key\.revoke key ada-main .*revokedReason null -> /,
      /deny +INVALID_API_KEY/,
      /clean: the log is what was recorded/,
    ]);
    expect(stderr).to.match(/^5 decisions written to incident\.jsonl, from 2026-01-01T00:00:00\.000Z to now\n$/);
    expect((await stat(path.join(folder, 'incident.jsonl'))).mode & 0o777).to.equal(0o600);
    for (const text of [stdout, ended.stdout, script, await readFile(path.join(folder, 'incident.jsonl'), 'utf8')])
      expect(text).to.not.include(leaked);
    const reads = await owner('admin_events').where({ login: world.auditorLogin }).orderBy('id').pluck('action');
    expect(reads).to.deep.equal([
      ...Array(7).fill('audit.stats'),
      ...['audit.show', 'audit.timeline', 'audit.export', 'audit.findings'],
    ]);
  });
});
