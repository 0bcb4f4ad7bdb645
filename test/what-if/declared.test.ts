/** `policy explain` on live facts, under a policy that declares networks, schedules, and what is asked: what comes of --ip, --at and --set. */

import { appendFile, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { LiveExplanation } from '../../src/what-if/explain-live.ts';
import { ROOT } from '../support/cli.ts';
import { type Client, clientOf, type MadeKey } from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

const FACTS = `
networks:
  office: [203.0.113.0/24]
  berlin: [203.0.113.0/25]
schedules:
  open: { days: mon-fri, from: "08:00", to: "18:00", zone: Europe/Berlin }
  early: { days: daily, from: "08:00", to: "08:30", zone: Asia/Singapore }
  late: { days: daily, from: "00:30", to: "01:00", zone: UTC }
asked: { soft: boolean, kind: [call, text] }
`;

const ROWS = `
p, outside, door:open, "!r.network.office", deny, NOT_NOW
p, closed, door:open, "!r.schedule.open && !r.asked.soft", deny, NOT_NOW
p, kind, door:open, "r.asked.kind != 'call'", deny, NOT_NOW
`;

const MONDAY = '2030-01-07T12:00:00Z';
const SUNDAY = '2030-01-06T12:00:00Z';

describe('an explanation under declared facts', function () {
  this.timeout(60_000);

  let folder: string;
  let service: TestService;
  let client: Client;
  let key: MadeKey;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-what-if-'));
    await cp(path.join(ROOT, 'policies'), folder, { recursive: true });
    await appendFile(path.join(folder, 'facts.yaml'), FACTS);
    await appendFile(path.join(folder, 'codes.yaml'), 'NOT_NOW:\n  status: 403\n  message: Not now.\n');
    await writeFile(path.join(folder, '80-now.csv'), ROWS.trimStart());
    service = await startService({ POLICY_DIR: folder });
    client = clientOf(service);
    await client.newUser('ann', 'bakery');
    key = await client.newKey('ann');
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const ask = async (more: object): Promise<LiveExplanation> =>
    (await client.data('POST', '/policy/explain', {
      apiKeyId: key.id,
      action: 'door:open',
      businessId: 'bakery',
      ...more,
    })) as unknown as LiveExplanation;

  const paths = ({ smallestChanges }: LiveExplanation): string[] =>
    smallestChanges.map(({ changes }) =>
      changes.map(({ path: of, to }) => `${of} ${'anyOf' in to ? to.anyOf.join('|') : to.noneOf.join('|')}`).join('; '),
    );

  it('says where the address would have to lie, and when, and what would have to be stated', async () => {
    const far = await ask({ at: SUNDAY });
    expect(far.decision.rule).to.equal('outside');
    expect(far.facts).to.deep.include({
      network: { office: false, berlin: false },
      schedule: { open: false, early: false, late: false },
      asked: { soft: false, kind: 'unknown' },
    });
    expect(paths(far)).to.deep.equal([
      'r.network.office true; r.schedule.open true; r.asked.kind call',
      'r.network.office true; r.asked.soft true; r.asked.kind call',
    ]);
    expect(far.smallestChanges[0]?.advice).to.deep.equal([
      { says: 'ask for a client whose address (context.ip) lies in office', command: null },
      { says: 'ask during open', command: null },
      { says: "state kind in context.attributes: 'call'", command: null },
    ]);
  });

  it('takes the address, the moment and what is asked, each in place of a change', async () => {
    const near = await ask({ at: SUNDAY, context: { ip: '203.0.113.200' } });
    expect(near.facts).to.deep.include({ network: { office: true, berlin: false } });
    expect(paths(near)).to.deep.equal([
      'r.schedule.open true; r.asked.kind call',
      'r.asked.soft true; r.asked.kind call',
    ]);
    const then = await ask({ at: MONDAY, context: { ip: '::ffff:203.0.113.1', attributes: { soft: false } } });
    expect(then.facts).to.deep.include({
      network: { office: true, berlin: true },
      schedule: { open: true, early: false, late: false },
    });
    expect(paths(then)).to.deep.equal(['r.asked.kind call']);
    const all = await ask({ at: MONDAY, context: { ip: '203.0.113.1', attributes: { kind: 'call' } } });
    expect(all.decision.code).to.equal('OK');
  });

  it('takes facts that are set, of combinations that occur', async () => {
    const set = {
      'r.network.office': true,
      'r.schedule.open': true,
      'r.asked.kind': 'call',
      'r.request.addressed': true,
    };
    expect((await ask({ at: MONDAY, set })).decision.code).to.equal('OK');
    const refuses = (more: object, says: string): Promise<void> =>
      client.refuses([400, 'INVALID_REQUEST', says], 'POST', '/policy/explain', {
        apiKeyId: key.id,
        action: 'door:open',
        ...more,
      });
    await refuses({ set: { 'r.network.office': true } }, 'what has no address lies in no network');
    await refuses({ set: { 'r.asked.kind': 'fax' } }, 'must be one of call, text, unknown');
    await refuses({ set: { 'r.network.vpn': true } }, 'no such fact');
    await refuses({ set: { 'r.schedule.early': true, 'r.schedule.late': true } }, 'no moment lies in just these');
    // Until 1982 the clocks of Singapore were half an hour behind what they are since.
    await refuses({ at: '1981-05-01T00:45:00Z' }, 'name a time of these years');
    // Berlin lies in the office.
    await refuses(
      { context: { ip: '203.0.113.1' }, set: { 'r.network.office': false } },
      'no address lies in just these networks',
    );
    await refuses({ context: { attributes: { kind: 'fax' } } }, 'context.attributes.kind');
  });

  it('agrees with what is decided and recorded, of the same question', async () => {
    for (const context of [{}, { ip: '203.0.113.7', attributes: { kind: 'call', soft: true } }, { ip: '192.0.2.1' }]) {
      const question = { action: 'door:open', businessId: 'bakery', context };
      const reply = await client.call('POST', '/authorize', { ...question, apiKey: key.apiKey });
      const { decision, facts } = await ask(question);
      expect(decision).to.include({ code: reply.body.Code, rule: reply.body.Data?.['rule'] });
      const recorded = await client.data('GET', `/audit/decisions/${reply.body.Data?.['decisionId']}`);
      expect(facts).to.deep.equal(recorded['facts']);
    }
  });
});
