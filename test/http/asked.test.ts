/**
 * What a calling service states in `context.attributes`: it decides, it is recorded as facts and verified with them, and what the live
 * policy does not declare is refused before anything is counted.
 */

import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { ownFacts } from '../audit/own-facts.ts';
import { type Client, clientOf, type MadeKey } from '../support/client.ts';
import { shippedFolderWith } from '../support/declaring.ts';
import { startService, type TestService } from '../support/service.ts';

const FACTS = `
attributes:
  user: { plan: [free, pro] }
asked: { soft: boolean, resource_status: [active, archived] }
`;
const ROWS = `
p, hard, record:delete, "!r.asked.soft", deny, NOT_GRANTED
p, in-use, record:delete, "r.asked.resource_status != 'archived'", deny, NOT_GRANTED
`;
const CASES = `
base:
  key: { id: k1, status: active, userManagement: false, environment: production }
  user: { id: u1, status: active, businesses: active }
  target: { id: b1, status: active, role: member, inRestriction: true }
  limit: { exceeded: false }
  request: { action: 'record:delete' }
  asked: { soft: true, resource_status: archived }
cases:
  - { name: all of it, given: {}, want: { effect: allow, code: OK, rule: allow-on-target } }
  - { name: hard, given: { asked: { soft: false } }, want: { effect: deny, code: NOT_GRANTED, rule: hard } }
  - { name: in use, given: { asked: { resource_status: active } }, want: { effect: deny, code: NOT_GRANTED, rule: in-use } }
`;
const ALLOWED = { soft: true, resource_status: 'archived' };

describe('context.attributes', () => {
  let folder: string;
  let service: TestService;
  let client: Client;
  let key: MadeKey;

  before(async () => {
    folder = await shippedFolderWith({ facts: FACTS, rows: ROWS, cases: CASES });
    service = await startService({ POLICY_DIR: folder });
    client = clientOf(service);
    await client.newUser('ann', 'b1');
    key = await client.newKey('ann', { rateLimit: { requests: 1000, windowSeconds: 3600 } });
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true });
  });

  const question = (attributes: unknown, action = 'record:delete') => ({
    apiKey: key.apiKey,
    action,
    businessId: 'b1',
    context: { ip: '203.0.113.7', attributes },
  });
  const ask = (attributes: unknown, action?: string) => service.ask('/authorize', question(attributes, action));
  const codeOf = async (attributes: unknown) => (await ask(attributes)).body.Code;
  const count = async (): Promise<number> => Number((await service.db('decisions').count({ n: '*' }).first())?.['n']);
  const remaining = async (): Promise<number> => {
    const { rateLimit } = (await ask(ALLOWED)).body.Data as { rateLimit: { remaining: number } };
    return rateLimit.remaining;
  };

  it('decide, and what is left out is unknown or false', async () => {
    expect(await codeOf(ALLOWED)).to.equal('OK');
    expect(await codeOf({ ...ALLOWED, soft: false })).to.equal('NOT_GRANTED');
    expect(await codeOf({ ...ALLOWED, resource_status: 'active' })).to.equal('NOT_GRANTED');
    expect(await codeOf(ALLOWED)).to.equal('OK');
    for (const attributes of [{ soft: true }, { resource_status: 'archived' }, {}, undefined])
      expect(await codeOf(attributes)).to.equal('NOT_GRANTED');
  });

  it('that the policy does not declare are refused, each with its place, and neither counted nor recorded', async () => {
    const before = { left: await remaining(), records: await count() };
    const refused: readonly (readonly [attributes: unknown, path: string, says: RegExp])[] = [
      [{ hard: true }, 'context.attributes.hard', /declares only soft and resource_status/],
      [{ soft: 'yes' }, 'context.attributes.soft', /must be true or false/],
      [{ soft: 'true' }, 'context.attributes.soft', /must be true or false/],
      [{ resource_status: 'gone' }, 'context.attributes.resource_status', /must be active or archived/],
      [{ resource_status: 'unknown' }, 'context.attributes.resource_status', /must be active or archived/],
      [{ resource_status: true }, 'context.attributes.resource_status', /must be active or archived/],
      [JSON.parse('{"__proto__": true}'), 'context.attributes.__proto__', /declares only/],
      [{ constructor: 'x' }, 'context.attributes.constructor', /declares only/],
      [{ soft: null }, 'context.attributes', /must be an object/],
      [{ soft: [true] }, 'context.attributes', /must be an object/],
      [{ soft: 1 }, 'context.attributes', /must be an object/],
      [{ resource_status: 'x'.repeat(65) }, 'context.attributes', /must be an object/],
      [Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`n${n}`, true])), 'context.attributes', /at most 64/],
      [['soft'], 'context.attributes', /must be an object/],
      ['soft', 'context.attributes', /must be an object/],
      [{ resource_status: key.apiKey.slice(0, 30) }, 'context.attributes', /API key/],
    ];
    for (const [attributes, path, says] of refused) {
      const { status, body } = await ask(attributes);
      expect([status, body.Code], path).to.deep.equal([400, 'INVALID_REQUEST']);
      const [issue] = (body.Data as { issues: { path: string; message: string }[] }).issues;
      expect(issue?.path).to.equal(path);
      expect(issue?.message).to.match(says);
      expect(JSON.stringify(body)).to.not.include(key.apiKey.slice(0, 30));
    }
    for (const twice of ['"soft": true, "soft": false', '"soft": true, "s\\u006fft": false']) {
      const body = JSON.stringify(question({})).replace('"attributes":{}', `"attributes":{${twice}}`);
      const reply = await service.ask('/authorize', body);
      expect([reply.status, reply.body.Data]).to.deep.equal([
        400,
        { issues: [{ path: 'context.attributes.soft', message: 'this key stands here twice' }] },
      ]);
    }
    expect(await count()).to.equal(before.records);
    expect(await remaining()).to.equal(before.left - 1);
  });

  it('of a batch are refused as a whole, each with its place', async () => {
    const before = await count();
    const requests = [question(ALLOWED), question({ soft: 'x' }), question({}), question({ a: true, b: false })];
    const { status, body } = await service.ask('/authorize/batch', { requests });
    expect(status).to.equal(400);
    const { issues } = body.Data as { issues: { path: string }[] };
    expect(issues.map(({ path }) => path)).to.deep.equal([
      'requests[1].context.attributes.soft',
      'requests[3].context.attributes.a',
      'requests[3].context.attributes.b',
    ]);
    expect(await count()).to.equal(before);
    const decided = await service.ask('/authorize/batch', { requests: [question(ALLOWED), question({})] });
    const { decisions } = decided.body.Data as { decisions: { Code: string }[] };
    expect(decisions.map(({ Code }) => Code)).to.deep.equal(['OK', 'NOT_GRANTED']);
  });

  it('of a batch, of which thousands are not declared, are answered by the first hundred', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 64 }, (_, n) => [`n_${'x'.repeat(n % 8)}${'y'.repeat(n >> 3)}`, true]),
    );
    const requests = Array.from({ length: 100 }, () => question(many));
    const { status, body } = await service.ask('/authorize/batch', { requests });
    expect(status).to.equal(400);
    const { issues } = body.Data as { issues: { path: string; message: string }[] };
    expect(issues.map(({ path }) => path.split('.')[0])).to.deep.equal([
      ...Array<string>(64).fill('requests[0]'),
      ...Array<string>(36).fill('requests[1]'),
    ]);
    expect(new Set(issues.map(({ message }) => message)).size).to.equal(1);
  });

  it('are recorded as facts, which verify, and an edit of one is found', async () => {
    await client.data('PUT', '/users/ann', { attributes: { plan: 'pro' } });
    const { body } = await ask(ALLOWED);
    const id = String(body.Data?.['decisionId']);
    const { facts } = await service.db('decisions').where({ id }).first('facts');
    expect(facts).to.deep.include({ asked: ALLOWED });
    expect(facts.user).to.include({ id: 'ann', plan: 'pro' });
    expect(facts.request).to.deep.equal({ action: 'record:delete', registered: false, addressed: true, byId: false });
    const shown = await client.data('GET', `/audit/decisions/${id}`);
    expect(shown).to.deep.include({ note: null, facts });
    expect((shown['explanation'] as { facts: object }).facts).to.deep.equal(facts);
    expect((await verifyLog(service.db, {})).findings).to.deep.equal([]);

    await ownFacts(service.db, id);
    const edit = (path: string, value: string) =>
      service.db.raw(`update decision_records set facts = jsonb_set(facts, ?, ?::jsonb) where id = ?`, [
        path,
        value,
        id,
      ]);
    await edit('{asked,soft}', 'false');
    expect((await verifyLog(service.db, {})).findings.map(({ code }) => code)).to.deep.equal(['altered']);
    await edit('{asked,soft}', 'true');
    expect((await verifyLog(service.db, {})).findings).to.deep.equal([]);
    await edit('{user,plan}', '"free"');
    expect((await verifyLog(service.db, {})).findings.map(({ code }) => code)).to.deep.equal(['altered']);
    await edit('{user,plan}', '"pro"');
  });
});
