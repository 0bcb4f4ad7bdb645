/**
 * Declared facts in the log, end to end: records of decisions that were taken on every kind of them are shown, explained, exported,
 * replayed and verified by the commands, also once the policy declares other ones.
 */

import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { authz } from '../support/cli.ts';
import { type Client, clientOf } from '../support/client.ts';
import { shippedFolderWith } from '../support/declaring.ts';
import { newDatabase } from '../support/postgres.ts';
import { startService, type TestService } from '../support/service.ts';

const FACTS = `
attributes:
  user: { plan: [free, pro] }
  key: { can: { grants: [sms, recordings] } }
roles: [viewer]
networks: { office: [203.0.113.0/24], elsewhere: ["198.51.100.0/24"] }
schedules: { always: { days: mon-sun, from: "00:00", to: "24:00", zone: UTC, except: ["2059-01-01"] } }
asked: { soft: boolean }
`;
const ROWS = `
p, may-sms, sms:send, "!r.key.can.sms", deny, NOT_GRANTED
p, plan, sms:send, "r.user.plan != 'pro'", deny, NOT_GRANTED
p, viewer, *, "r.target.role == 'viewer'", deny, NOT_GRANTED
p, in-office, sms:send, "!r.network.office", deny, NOT_GRANTED
p, in-hours, sms:send, "!r.schedule.always", deny, NOT_GRANTED
p, soft, sms:send, "!r.asked.soft", deny, NOT_GRANTED
`;
const CASES = `
base:
  key: { id: k1, status: active, userManagement: false, environment: production, can: { sms: true, recordings: false } }
  user: { id: u1, status: active, businesses: active, plan: pro }
  target: { id: b1, status: active, role: member, inRestriction: true }
  limit: { exceeded: false }
  request: { action: 'sms:send', addressed: true }
  network: { office: true, elsewhere: false }
  schedule: { always: true }
  asked: { soft: true }
cases:
  - { name: all of it, given: {}, want: { effect: allow, code: OK, rule: allow-on-target } }
`;

describe('records of decisions on declared facts', () => {
  let folder: string;
  let service: TestService;
  let client: Client;
  let env: Record<string, string>;

  before(async () => {
    folder = await shippedFolderWith({ facts: FACTS, rows: ROWS, cases: CASES });
    const url = await newDatabase();
    service = await startService({ POLICY_DIR: folder, DATABASE_URL: url });
    client = clientOf(service);
    env = { DATABASE_URL: url, KEY_PEPPERS: `${service.pepper.id}:${service.pepper.secret.toString('base64')}` };
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true });
  });

  const run = async (...line: string[]) => {
    const { code, stdout, stderr } = await authz(line, env);
    expect(code, stderr).to.equal(0);
    return stdout;
  };

  it('are shown, explained, exported, replayed and verified', async () => {
    await client.newUser('ann', 'b1');
    await client.data('PUT', '/users/ann', { attributes: { plan: 'pro' } });
    const { apiKey } = await client.newKey('ann', { attributes: { can: ['sms'] } });
    const question = { apiKey, action: 'sms:send', businessId: 'b1' };
    const context = { ip: '203.0.113.7', attributes: { soft: true } };
    const allowed = await client.data('POST', '/authorize', { ...question, context });
    const denied = await service.ask('/authorize', { ...question, context: { ...context, ip: '198.51.100.7' } });
    expect(denied.body.Data).to.include({ rule: 'in-office' });
    const [yes, no] = [String(allowed['decisionId']), String(denied.body.Data?.['decisionId'])];

    const { rows } = await service.db.raw(`select facts from decisions where id = ?`, [yes]);
    expect(rows[0].facts).to.deep.include({
      network: { elsewhere: false, office: true },
      schedule: { always: true },
      asked: { soft: true },
      request: { action: 'sms:send', registered: false, addressed: true, byId: false },
    });
    expect(rows[0].facts.key.can).to.deep.equal({ sms: true, recordings: false });

    for (const line of [
      ['audit', 'show', no],
      ['policy', 'explain', no],
    ]) {
      const text = await run(...line);
      for (const shown of ['key.can.sms=true', "user.plan='pro'", 'network.office=false', 'network.elsewhere=true'])
        expect(text, line.join(' ')).to.contain(shown);
      for (const shown of ['schedule.always=true', 'asked.soft=true', 'in-office']) expect(text).to.contain(shown);
      expect(text).to.not.match(/CONTRADICTS|cannot be explained/);
    }
    const exported = (await run('audit', 'export')).trim().split('\n');
    expect(JSON.parse(exported[1] ?? '').facts).to.deep.include({ asked: { soft: true } });
    const replayed = JSON.parse(await run('policy', 'replay', '--self-check', '--from', '1h', '--json'));
    expect(replayed).to.include({ replayed: 2, changed: 0, ruleChanged: 0 });
    // Under the shipped policy, which declares none of them.
    const shipped = JSON.parse(await run('policy', 'replay', '--policy', 'policies', '--from', '1h', '--json'));
    expect(shipped).to.include({ replayed: 2, changed: 1 });
    expect(await run('audit', 'verify')).to.contain('2 records');
  }).timeout(120_000);
});
