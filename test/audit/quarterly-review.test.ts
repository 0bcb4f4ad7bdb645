/** docs/quarterly-review.md, command for command, with an auditor's role and without a pepper, on a service with a history. */

import { expect } from 'chai';
import { storePolicy } from '../../src/rollout/store.ts';
import { authz } from '../support/cli.ts';
import { commandsOf, expectInOrder, runGuide } from '../support/guide.ts';
import { type GuideWorld, makeGuideWorld } from './guide-world.ts';

describe('docs/quarterly-review.md', function () {
  this.timeout(120_000);
  let world: GuideWorld;

  before(async () => {
    world = await makeGuideWorld();
  });
  after(() => world?.close());

  it('is what its commands say, in their order', async () => {
    const { client, owner, folder, operator, auditor } = world;
    await client.newUser('ada', 'bakery');
    const kept = await client.newKey('ada', { friendlyName: 'Kept' });
    const gone = await client.newKey('ada', { friendlyName: 'Gone' });
    for (const key of [kept, gone]) expect(await client.decide(key.apiKey, 'bakery')).to.equal('OK');
    await client.data('POST', `/keys/${gone.id}/revoke`, {});
    expect(await client.decide(gone.apiKey, 'bakery')).to.equal('INVALID_API_KEY');
    expect(await client.decide(kept.apiKey, 'elsewhere')).to.equal('PERMISSION_DENIED');
    for (const args of [
      ['caller', 'create', '--name', 'billing', '--scope', 'authorize'],
      ['freeze', '--action', 'x:y', '--for', '1h', '--reason', 'A try.'],
    ])
      expect((await authz(args, operator)).code).to.equal(0);
    // A younger policy, which has no cases, and decides as the live one does.
    const [live] = await owner('policies').select('texts', 'digest');
    const newer = `sha256:${'f'.repeat(64)}`;
    await storePolicy(owner, newer, new Map(Object.entries(live.texts as Record<string, string>)));
    await world.attested();

    const page = await commandsOf('quarterly-review.md', '# The quarterly review');
    expect(page.match(/npx authz/g)?.length).to.be.above(20);
    const [from, to] = [new Date(Date.now() - 86_400_000), new Date(Date.now() + 60_000)].map((at) => at.toISOString());
    const script = page.replace(/^FROM=.*/m, `FROM=${from}`).replace(/^TO=.*/m, `TO=${to}`);
    expect(auditor).to.have.all.keys('DATABASE_URL', 'AUDIT_CHECKPOINTS');
    const { stdout } = await runGuide(script, folder, auditor);
    expectInOrder(stdout, [
      /clean: the log is what was recorded/,
      new RegExp(`${kept.id} +ada +Kept`),
      new RegExp(`${gone.id} +ada +Gone .*revoked`),
      /billing +authorize/,
      /key\.revoke +key/,
      /key\.create +key/,
      /caller\.create +caller/,
      /user\.create +user/,
      /member\.create +member +bakery\/ada/,
      /none\n/,
      new RegExp(`${newer}`),
      new RegExp(`yes +${live.digest}`),
      /equivalent/,
      /4 decisions from/,
      /0 would get another code/,
      /INVALID_API_KEY +1 +50\.0 %/,
      new RegExp(`${kept.id} \\(Kept\\) +1`),
      /recorded as deny PERMISSION_DENIED/,
      /This is the policy that decided, and it decides the same again/,
      /recorded as allow OK/,
      /in force +x:y/,
      /none\n\nfrom .*\nnone\n/,
      /audit\.query/,
    ]);
    const events = await owner('admin_events').where({ login: world.auditorLogin }).pluck('action');
    expect(events.length).to.be.within(15, 59);
  });
});
