/** Hygiene findings: each kind is found in a history that has it, and not in those that are just short of it. */

import { readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { HygieneFinding } from '../../src/key-hygiene/findings.ts';
import { THRESHOLDS } from '../../src/key-hygiene/kind.ts';
import { HYGIENE_KINDS, type HygieneName } from '../../src/key-hygiene/rules.ts';
import { drawer, idAt, insertRecords, makeRecord, type TestRecord } from '../audit/records.ts';
import { POLICY_FOLDER } from '../policy/texts.ts';
import { authz, ROOT } from '../support/cli.ts';
import { type Client, clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const MINUTE = 60_000;
const ago = (ms: number): Date => new Date(Date.now() - ms);

describe('hygiene findings', () => {
  let service: TestService;
  let client: Client;
  let url: string;
  const draw = drawer(8);

  beforeEach(async () => {
    url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    client = clientOf(service);
    await service.db('users').insert([{ id: 'ada' }, { id: 'bob' }]);
    const businesses = ['b1', 'b2', 'b3', 'b4', 'b5'];
    await service.db('businesses').insert(businesses.map((id) => ({ id })));
    await service
      .db('business_members')
      .insert(businesses.map((id) => ({ business_id: id, user_id: 'ada', role: 'owner' })));
    await service.db('business_members').insert({ business_id: 'b1', user_id: 'bob', role: 'member' });
  });
  afterEach(() => service?.close());

  /** A key in daily use, made a hundred days ago: nothing is wrong with it. */
  const key = (id: string, row: Record<string, unknown> = {}, restriction?: readonly string[]): Promise<string> =>
    insertKey(
      service,
      { id, user_id: 'ada', created_at: ago(100 * DAY), last_used_at: ago(HOUR), ...row },
      restriction,
    );

  const decisions = (
    records: readonly (Omit<Partial<TestRecord>, 'effect'> & { at: string; code: string })[],
  ): Promise<void> =>
    insertRecords(
      service.db,
      records.map(({ at: moment, ...record }) => {
        const made = { fingerprint: null, ip: null, api_key_id: null, ...record };
        return makeRecord(Date.parse(moment), draw, { ...made, effect: record.code === 'OK' ? 'allow' : 'deny' });
      }),
    );
  const at = (ms: number): string => ago(ms).toISOString();

  const found = async (finding: HygieneName, query = ''): Promise<HygieneFinding[]> => {
    const data = await client.data('GET', `/audit/findings?finding=${finding}&limit=200${query}`);
    return data['items'] as HygieneFinding[];
  };
  const subjects = async (finding: HygieneName, query = ''): Promise<string[]> =>
    (await found(finding, query)).map(({ subject }) => subject);

  it('key-unused', async () => {
    await key('in-use');
    await key('new', { created_at: ago(DAY), last_used_at: null });
    await key('forgotten', { last_used_at: ago(91 * DAY), created_at: ago(200 * DAY) });
    await key('never-used', { last_used_at: null });
    await key('just-in-time', { last_used_at: ago(89 * DAY) });
    await key('forgotten-revoked', { last_used_at: null, revoked_at: ago(DAY) });
    await key('forgotten-expired', { last_used_at: null, expires_at: ago(DAY) });
    expect(await subjects('key-unused')).to.deep.equal(['forgotten', 'never-used']);
    expect(await subjects('key-unused', '&unusedDays=300')).to.deep.equal([]);
    const [first, second] = await found('key-unused');
    expect(first?.says).to.match(/^The key forgotten \("a key"\) of the user ada was last used on \d{4}-\d\d-\d\d\.$/);
    expect(second?.says).to.contain('was never used since it was made on');
    expect(first?.commands).to.deep.equal(['authz key delete forgotten --yes']);
  });

  it('key-not-rotated', async () => {
    await key('old', { created_at: ago(366 * DAY) });
    await key('young', { created_at: ago(364 * DAY) });
    await key('old-revoked', { created_at: ago(366 * DAY), revoked_at: ago(DAY) });
    await key('old-replaced', { created_at: ago(366 * DAY) });
    await key('replacement', { rotated_from: 'old-replaced' });
    expect(await subjects('key-not-rotated')).to.deep.equal(['old']);
    expect(await subjects('key-not-rotated', '&rotateDays=99')).to.deep.equal(['old', 'replacement', 'young']);
  });

  it('key-expiring', async () => {
    await key('soon', { expires_at: ago(-13 * DAY) });
    await key('later', { expires_at: ago(-15 * DAY) });
    await key('over', { expires_at: ago(MINUTE) });
    await key('never');
    await key('replaced', { expires_at: ago(-DAY) });
    await key('replacement', { rotated_from: 'replaced' });
    expect(await subjects('key-expiring')).to.deep.equal(['soon']);
  });

  it('permission-unused', async () => {
    await key('unneeded', { allow_user_management: true });
    await key('needed', { allow_user_management: true });
    await key('needed-long-ago', { allow_user_management: true, created_at: ago(300 * DAY) });
    await key('without');
    await key('new', { allow_user_management: true, created_at: ago(DAY) });
    await key('not-used-at-all', { allow_user_management: true, last_used_at: ago(95 * DAY) });
    await decisions([
      { at: at(HOUR), api_key_id: 'needed', action: 'user:read', code: 'OK' },
      { at: at(HOUR), api_key_id: 'unneeded', action: 'users:read', code: 'OK' },
      { at: at(HOUR), api_key_id: 'unneeded', action: 'call:create', code: 'OK' },
    ]);
    expect(await subjects('permission-unused')).to.deep.equal(['needed-long-ago', 'unneeded']);
    const [, finding] = await found('permission-unused');
    expect(finding?.commands).to.deep.equal(['authz key update unneeded --no-allow-user-management']);
  });

  it('key-unrestricted', async () => {
    const uses = (id: string, business: string | null, code = 'OK') => ({
      at: at(HOUR),
      api_key_id: id,
      business_id: business,
      code,
    });
    await key('two-only');
    await key('many');
    await key('restricted', {}, ['b1']);
    await key('no-choice', { user_id: 'bob' });
    await key('without-target');
    await key('denied-elsewhere');
    await key('new', { created_at: ago(DAY) });
    await decisions([
      ...['b2', 'b1', 'b2'].map((business) => uses('two-only', business)),
      ...['b1', 'b2', 'b3', 'b4'].map((business) => uses('many', business)),
      uses('restricted', 'b1'),
      uses('no-choice', 'b1'),
      uses('without-target', null),
      uses('new', 'b1'),
      uses('denied-elsewhere', 'b1'),
      ...['b2', 'b3', 'b4'].map((business) => uses('denied-elsewhere', business, 'PERMISSION_DENIED')),
    ]);
    expect(await subjects('key-unrestricted')).to.deep.equal(['denied-elsewhere', 'two-only']);
    const [, finding] = await found('key-unrestricted');
    expect(finding?.commands).to.deep.equal(['authz key update two-only --restrict b1,b2']);
    expect(finding?.says).to.contain('was used for b1, b2 alone in 90 days');
    expect(await subjects('key-unrestricted', '&fewBusinesses=1')).to.deep.equal(['denied-elsewhere']);
  });

  it('denial-burst', async () => {
    const denied = (id: string, count: number, everyMs: number, endedMs = HOUR, code = 'PERMISSION_DENIED') =>
      Array.from({ length: count }, (_, n) => ({
        at: at(endedMs + n * everyMs),
        api_key_id: id,
        user_id: 'ada',
        code,
      }));
    await decisions([
      ...denied('burst', 50, 12_000),
      ...denied('slow', 50, 13_000),
      ...denied('few', 49, 10),
      ...denied('yesterday', 60, 10, 25 * HOUR),
      ...denied('allowed', 60, 10, HOUR, 'OK'),
    ]);
    expect(await subjects('denial-burst')).to.deep.equal(['burst']);
    expect(await subjects('denial-burst', '&burstMinutes=11')).to.deep.equal(['burst', 'slow']);
    const [finding] = await found('denial-burst');
    expect(finding?.says).to.contain('50 times or more within 10 minutes, mostly PERMISSION_DENIED');
    expect(finding?.commands[0]).to.match(/^authz audit query --key burst --effect deny --from \d{4}-/);
  });

  it('credential-repeated', async () => {
    const tried = (fingerprint: string, count: number, endedMs = HOUR) =>
      Array.from({ length: count }, () => ({
        at: at(endedMs),
        fingerprint,
        ip: '203.0.113.7',
        code: 'INVALID_API_KEY',
      }));
    await decisions([...tried('aaaa', 100), ...tried('bbbb', 99), ...tried('cccc', 100, 25 * HOUR)]);
    expect(await subjects('credential-repeated')).to.deep.equal(['aaaa']);
    const [finding] = await found('credential-repeated');
    expect(finding?.evidence).to.include({ uses: 100 });
    expect(finding?.commands[0]).to.contain('authz audit query --ip 203.0.113.7 --from ');
  });

  it('address-many-credentials', async () => {
    const tried = (ip: string | null, count: number, distinct: number) =>
      Array.from({ length: count }, (_, n) => ({
        at: at(HOUR),
        fingerprint: `${ip}-${n % distinct}`,
        ip,
        code: 'INVALID_API_KEY',
      }));
    await decisions([...tried('203.0.113.7', 20, 20), ...tried('203.0.113.8', 90, 19), ...tried(null, 50, 50)]);
    expect(await subjects('address-many-credentials')).to.deep.equal(['203.0.113.7']);
  });

  it('action-unregistered', async () => {
    const asked = (action: string, id: string | null, endedMs = HOUR) => ({
      at: at(endedMs),
      action,
      api_key_id: id,
      caller_id: 'voice',
      code: 'OK',
    });
    await decisions([
      ...['k1', 'k2', 'k1'].map((id) => asked('call:craete', id)),
      asked('invoice:annul', 'k1'),
      asked('call:create', 'k1'),
      asked('call:raed', 'k1', 25 * HOUR),
      asked('call:raed', null),
    ]);
    expect(await subjects('action-unregistered')).to.deep.equal(['call:craete', 'invoice:annul']);
    const [slip, other] = await found('action-unregistered');
    expect(slip?.evidence).to.include({ uses: 3, keys: 2 });
    expect(slip?.says).to.match(
      /^3 questions with 2 keys asked for call:craete, which is not in the register .*, by voice\.$/,
    );
    expect(slip?.advice).to.equal(
      'Did it mean call:create? Correct the service that asks, or add it to actions.known.',
    );
    expect(slip?.commands[0]).to.match(/^authz audit query --action call:craete --from \d{4}-/);
    expect(other?.says).to.match(/^1 question with 1 key asked for invoice:annul/);
    expect(other?.advice).to.equal('Correct the service that asks, or add it to actions.known.');
    expect(await subjects('action-unregistered', '&watchHours=26')).to.include('call:raed');
  });

  it('caller-refused', async () => {
    const event = (id: string, kind: string, subject: string, counts: Record<string, number>) => ({
      id,
      ...{ at: new Date(), actor: 'authz', action: 'access.refused', subject_kind: kind, subject_id: subject },
      after: { seconds: 60, refused: Object.entries(counts).map(([code, count]) => ({ code, route: '/x', count })) },
    });
    await service
      .db('admin_events')
      .insert([
        event(idAt(Date.now() - HOUR), 'address', '203.0.113.7', { UNAUTHENTICATED: 60 }),
        event(idAt(Date.now() - 2 * HOUR), 'address', '203.0.113.7', { UNAUTHENTICATED: 39, TOO_MANY_REQUESTS: 1 }),
        event(idAt(Date.now() - HOUR), 'address', '203.0.113.8', { UNAUTHENTICATED: 99 }),
        event(idAt(Date.now() - 25 * HOUR), 'address', '203.0.113.9', { UNAUTHENTICATED: 500 }),
        event(idAt(Date.now() - HOUR), 'caller', 'voice', { FORBIDDEN: 100 }),
      ]);
    expect(await subjects('caller-refused')).to.deep.equal(['address:203.0.113.7', 'caller:voice']);
    const [address] = await found('caller-refused');
    expect(address?.says).to.match(
      /^100 requests of the address 203\.0\.113\.7 were refused \(TOO_MANY_REQUESTS, UNAUTHENTICATED\), last at /,
    );
    expect(address?.commands).to.deep.equal([
      "authz audit admin --action access.refused --kind address --subject '203.0.113.7'",
    ]);
  });

  it('freeze-ending', async () => {
    const freeze = (id: string, endsInMs: number, row = {}) => ({
      ...{ id, action: 'call:*', reason: 'an incident', until: ago(-endsInMs), ...row },
    });
    await service
      .db('freezes')
      .insert([
        freeze('soon', 59 * MINUTE),
        freeze('later', 61 * MINUTE),
        freeze('over', -MINUTE),
        freeze('lifted', MINUTE, { lifted_at: ago(MINUTE) }),
      ]);
    expect(await subjects('freeze-ending')).to.deep.equal(['soon']);
    expect(await subjects('freeze-ending', '&freezeMinutes=62')).to.deep.equal(['later', 'soon']);
    const [finding] = await found('freeze-ending');
    expect(finding?.commands).to.deep.equal(['authz freeze extend soon --for 2h']);
  });

  it('attribute-undeclared', async () => {
    const declared = service.service.declaration();
    expect([...declared.attributes.user.keys(), ...declared.roles], 'the shipped policy').to.deep.equal([]);
    await service
      .db('users')
      .where({ id: 'ada' })
      .update({ attributes: { plan: 'pro', beta: true } });
    await service
      .db('users')
      .where({ id: 'bob' })
      .update({ attributes: { plan: 'pro' } });
    await service.db('business_members').where({ user_id: 'bob' }).update({ role: 'viewer' });
    expect(await subjects('attribute-undeclared')).to.deep.equal([
      'member.role=viewer',
      'user.beta=true',
      'user.plan=pro',
    ]);
    const [role, , plan] = await found('attribute-undeclared');
    expect(plan?.says).to.match(/^2 stored values are user\.plan=pro, /);
    expect(role?.says).to.match(/^1 stored value is member\.role=viewer, /);
  });

  it('come in keyset pages, by kind, then by subject, none twice', async () => {
    for (let n = 0; n < 7; n += 1) await key(`old-${n}`, { created_at: ago(400 * DAY), last_used_at: null });
    const all: string[] = [];
    let cursor = '';
    do {
      const page = await client.data('GET', `/audit/findings?limit=3${cursor}`);
      all.push(...(page['items'] as HygieneFinding[]).map(({ finding, subject }) => `${finding} ${subject}`));
      cursor = page['nextCursor'] === null ? '' : `&cursor=${page['nextCursor']}`;
    } while (cursor !== '');
    const each = (name: string) => Array.from({ length: 7 }, (_, n) => `${name} old-${n}`);
    expect(all).to.deep.equal([...each('key-unused'), ...each('key-not-rotated')]);
  });

  it('are listed by a command, and each listing is recorded as an admin event', async () => {
    await key('forgotten', { last_used_at: null });
    const env = { DATABASE_URL: url, KEY_PEPPERS: `${service.pepper.id}:${service.pepper.secret.toString('base64')}` };
    const text = await authz(['audit', 'findings', '--unused-days', '30'], env);
    expect(text.stdout, text.stderr).to.match(
      /^key-unused: The key forgotten .*\n {2}Ask its user, and delete it\.\n {4}authz key delete forgotten --yes\n$/,
    );
    const json = await authz(['audit', 'findings', '--finding', 'key-expiring', '--json'], env);
    expect(JSON.parse(json.stdout)).to.deep.equal({ items: [], nextCursor: null });
    await decisions([{ at: at(HOUR), action: 'call:craete', api_key_id: 'forgotten', code: 'OK' }]);
    const slips = ['audit', 'findings', '--finding', 'action-unregistered'];
    expect((await authz(slips, env)).stdout).to.contain('Did it mean call:create?');
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
    await writeFile(path.join(folder, 'facts.yaml'), '');
    expect((await authz(slips, { ...env, POLICY_DIR: folder })).stdout).to.equal('nothing was found\n');
    await rm(folder, { recursive: true });
    const bad = await authz(['audit', 'findings', '--unused-days', 'many'], env);
    expect([bad.code, bad.stderr]).to.satisfy(
      ([code, error]: [number, string]) => code === 1 && error.includes('unusedDays'),
    );
    const events = await service.db('admin_events').where({ action: 'audit.findings' }).orderBy('id');
    expect(events.map(({ after }) => [after.finding, after.unusedDays])).to.deep.equal([
      [undefined, 30],
      ['key-expiring', 90],
      ['action-unregistered', 90],
      ['action-unregistered', 90],
    ]);
    await service.ask('/audit/findings?unusedDays=0').then(({ status }) => expect(status).to.equal(400));
  }).timeout(60_000);

  it('go by the thresholds of FINDINGS_THRESHOLDS where none is asked for, in the command and over HTTP', async () => {
    await key('idle', { last_used_at: ago(31 * DAY) });
    const KEY_PEPPERS = `${service.pepper.id}:${service.pepper.secret.toString('base64')}`;
    const env = { DATABASE_URL: url, KEY_PEPPERS, FINDINGS_THRESHOLDS: 'unusedDays=30,burstUses=5' };
    const other = await startService(env);
    const listed = async (query: string) =>
      ((await clientOf(other).data('GET', `/audit/findings?finding=key-unused${query}`))['items'] as object[]).length;
    expect([await listed(''), await listed('&unusedDays=32')]).to.deep.equal([1, 0]);
    await other.close();
    expect((await authz(['audit', 'findings', '--finding', 'key-unused'], env)).stdout).to.contain('The key idle');
    const bad = await authz(['audit', 'findings'], { ...env, FINDINGS_THRESHOLDS: 'unusedDay=30' });
    expect([bad.code, bad.stderr]).to.satisfy(
      ([code, error]: [number, string]) =>
        code === 1 && error.includes('FINDINGS_THRESHOLDS has unusedDay, which is no'),
    );
    expect((await authz(['audit', 'findings'], { ...env, FINDINGS_THRESHOLDS: 'unusedDays' })).stderr).to.contain(
      'name=number',
    );
  });

  it('have a section each in docs/key-hygiene.md, and the thresholds a row', () => {
    const page = readFileSync(path.join(ROOT, 'docs', 'key-hygiene.md'), 'utf8');
    expect([...page.matchAll(/^## (\S+)$/gm)].map(([, name]) => name)).to.deep.equal(Object.keys(HYGIENE_KINDS));
    const rows = [...page.matchAll(/^\| (\w+) \| (\d+) \| (.*) \|$/gm)].map(([, name, value, help]) => [
      name,
      Number(value),
      help,
    ]);
    expect(rows).to.deep.equal(
      Object.entries(THRESHOLDS).map(([name, { default: value, help }]) => [name, value, help]),
    );
  });
});
