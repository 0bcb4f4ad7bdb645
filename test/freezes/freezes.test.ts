/** Freezes over HTTP: what they deny, to whom, from when until when, and what is refused. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { forgetEverything } from '../support/changes.ts';
import { type Client, withService } from '../support/client.ts';
import { metricsOf } from '../support/metrics.ts';
import { insertCaller, type TestService } from '../support/service.ts';

/** Between two looks at what is to become otherwise. */
const PAUSE_MS = 20;
const REASON = 'Calls to premium numbers are being looked into.';

describe('a freeze', () => {
  let service: TestService;
  let client: Client;
  let apiKey: string;
  let keyId: string;

  withService(async (started) => {
    ({ service, client } = started);
    await client.newUser('ada', 'bakery', 'garage');
    ({ apiKey, id: keyId } = await client.newKey('ada', { allowUserManagementApiRequests: true }));
  });
  afterEach(async () => {
    const { items } = await client.data('GET', '/freezes?inForce=true&limit=200');
    for (const { id } of items as { id: string }[]) await client.call('DELETE', `/freezes/${id}`);
  });

  const freeze = async (scope: object, end: object = { forSeconds: 3600 }): Promise<string> =>
    String((await client.data('POST', '/freezes', { ...scope, ...end, reason: REASON }))['id']);

  /** As another process does it. */
  const makeElsewhere = (): Promise<void> =>
    service.db.transaction(async (trx) => {
      const id = `elsewhere-${Date.now()}`;
      await trx('freezes').insert({ id, business_id: 'bakery', reason: REASON, until: '2999-01-01' });
      await trx.raw(
        `with number as (update change_counter set last = last + 1 returning last)
         insert into changes (seq, kind, id) select last, 'freeze', ? from number`,
        [id],
      );
    });

  /** What each freezes of: a call in the bakery, reading it, a call in the garage, and reading the account. */
  const SCOPES: readonly (readonly [scope: object, frozen: readonly boolean[]])[] = [
    [{ action: 'call:create' }, [true, false, true, false]],
    [{ action: 'call:*' }, [true, false, true, false]],
    [{ action: 'calls:*' }, [false, false, false, false]],
    [{ businessId: 'bakery' }, [true, true, false, false]],
    [{ userId: 'ada' }, [true, true, true, true]],
    [{ action: 'call:*', businessId: 'garage' }, [false, false, true, false]],
    [{ action: 'account:*', userId: 'ada' }, [false, false, false, true]],
    [{ everything: true }, [true, true, true, true]],
    [{ everything: true, action: '*' }, [true, true, true, true]],
  ];

  for (const [scope, frozen] of SCOPES) {
    it(`of ${JSON.stringify(scope)} denies what fits all of it, at once, and nothing else; lifted, it denies nothing`, async () => {
      const ask = () =>
        Promise.all([
          client.decide(apiKey, 'bakery'),
          client.decide(apiKey, 'bakery', 'business:read'),
          client.decide(apiKey, 'garage'),
          client.decide(apiKey, undefined, 'account:read'),
        ]);
      expect(await ask()).to.deep.equal(['OK', 'OK', 'OK', 'OK']);
      const id = await freeze(scope);
      expect(await ask()).to.deep.equal(frozen.map((is) => (is ? 'FROZEN' : 'OK')));
      expect((await client.call('DELETE', `/freezes/${id}`)).status).to.equal(204);
      expect(await ask()).to.deep.equal(['OK', 'OK', 'OK', 'OK']);
    });
  }

  it('of a key denies that key alone', async () => {
    const other = await client.newKey('ada');
    await freeze({ apiKeyId: keyId });
    expect([await client.decide(apiKey, 'bakery'), await client.decide(other.apiKey, 'bakery')]).to.deep.equal([
      'FROZEN',
      'OK',
    ]);
  });

  it('ends the message with its public reason, and is in the record as a fact', async () => {
    const id = await freeze({ businessId: 'bakery' });
    const { status, body } = await client.call('POST', '/authorize', {
      apiKey,
      action: 'call:create',
      businessId: 'bakery',
    });
    expect(status).to.equal(200);
    expect(body).to.deep.include({ Success: false, Code: 'FROZEN', Message: `This is frozen for now. ${REASON}` });
    expect(body.Data).to.include({ status: 403, rule: 'frozen' });
    const { facts } = (await client.data('GET', `/audit/decisions/${body.Data?.['decisionId']}`)) as {
      facts: { freeze: object };
    };
    expect(facts.freeze).to.deep.equal({ active: true });
    const { note } = await client.data('GET', `/audit/decisions/${body.Data?.['decisionId']}`);
    // One that was lifted in the same millisecond may stand before it.
    expect(note).to.include('It was frozen by').and.include(id).and.include(REASON);
  });

  it('is told to nobody who could not reach what is frozen', async () => {
    await client.newUser('eve');
    const eve = await client.newKey('eve');
    const narrow = await client.newKey('ada', { restrictedBusinessIds: ['garage'] });
    await freeze({ everything: true });
    expect(await client.decide(eve.apiKey, 'bakery')).to.equal('PERMISSION_DENIED');
    expect(await client.decide(narrow.apiKey, 'bakery')).to.equal('PERMISSION_DENIED');
    expect(await client.decide('junk', 'bakery')).to.equal('INVALID_API_KEY');
    expect(await client.decide(narrow.apiKey, undefined, 'user:update')).to.equal('PERMISSION_DENIED');
  });

  it('comes before what is said of a disabled business', async () => {
    await client.data('PUT', '/businesses/garage', { disabled: true });
    expect(await client.decide(apiKey, 'garage')).to.equal('BUSINESS_DISABLED');
    await freeze({ businessId: 'garage' });
    expect(await client.decide(apiKey, 'garage')).to.equal('FROZEN');
    await client.data('PUT', '/businesses/garage', {});
  });

  it('ends by itself', async () => {
    await freeze({ businessId: 'bakery' }, { forSeconds: 3 });
    expect(await client.decide(apiKey, 'bakery')).to.equal('FROZEN');
    while ((await client.decide(apiKey, 'bakery')) === 'FROZEN') await sleep(PAUSE_MS);
    const { items } = await client.data('GET', '/freezes?limit=1');
    expect((items as { status: string }[])[0]?.status).to.equal('ended');
  });

  it('that is extended has no gap', async () => {
    const id = await freeze({ businessId: 'bakery' }, { forSeconds: 4 });
    const codes: string[] = [];
    let over = false;
    const asking = (async () => {
      for (; !over; await sleep(PAUSE_MS)) codes.push(await client.decide(apiKey, 'bakery'));
    })();
    await client.data('PATCH', `/freezes/${id}`, { forSeconds: 3600 });
    const { rows } = await service.db.raw(
      "select created_at + interval '5 seconds' as then from freezes where id = ?",
      [id],
    );
    while ((await service.db.raw('select now() < ? as early', [rows[0].then])).rows[0].early) await sleep(PAUSE_MS);
    over = true;
    await asking;
    expect(new Set(codes)).to.deep.equal(new Set(['FROZEN']));
  });

  it('that another process makes is counted by the metrics of a process that is asked nothing', async () => {
    const inForce = async () => (await metricsOf(service.address)).samples.get('authz_freezes_in_force');
    while ((await inForce()) !== 0) await sleep(PAUSE_MS);
    await makeElsewhere();
    while ((await inForce()) !== 1) await sleep(PAUSE_MS);
    expect((await metricsOf(service.address)).samples.get('authz_freeze_next_end_seconds')).to.be.above(1_000_000);
  });

  it('that another process makes is in force without a question to the database', async () => {
    await makeElsewhere();
    while ((await client.decide(apiKey, 'bakery')) === 'OK') await sleep(PAUSE_MS);
    expect(await client.decide(apiKey, 'bakery')).to.equal('FROZEN');
  });

  it('is one of ten thousand, and is found all the same', async () => {
    await service.db.raw(
      `insert into freezes (id, key_id, reason, until) select 'many-' || n, 'key-' || n, 'x', '2999-01-01' from generate_series(1, 10000) n`,
    );
    const id = await freeze({ apiKeyId: keyId });
    expect(await client.decide(apiKey, 'bakery')).to.equal('FROZEN');
    await service.db('freezes').where('id', 'like', 'many-%').delete();
    await client.call('DELETE', `/freezes/${id}`);
    expect(await client.decide(apiKey, 'bakery')).to.equal('OK');
  });

  it('leaves an event for each step, and none where nothing changes', async () => {
    const id = await freeze({ userId: 'ada' });
    await client.data('PATCH', `/freezes/${id}`, { forSeconds: 7200 });
    for (let time = 0; time < 2; time += 1)
      expect((await client.call('DELETE', `/freezes/${id}`)).status).to.equal(204);
    const { items } = await client.data('GET', `/audit/admin?kind=freeze&subject=${id}`);
    expect((items as { action: string }[]).map(({ action }) => action)).to.deep.equal([
      'freeze.lift',
      'freeze.extend',
      'freeze.create',
    ]);
  });

  const REFUSED: Readonly<Record<string, readonly [body: object, says: string]>> = {
    'nothing named': [{ forSeconds: 60 }, 'everything: true'],
    'every action without everything: true': [{ action: '*', forSeconds: 60 }, 'everything: true'],
    'everything beside something': [{ everything: true, userId: 'ada', forSeconds: 60 }, 'everything: true'],
    'an end that has passed': [{ userId: 'ada', until: '2020-01-01T00:00:00Z' }, 'future'],
    'no end': [{ userId: 'ada' }, 'either until or forSeconds'],
    'two ends': [{ userId: 'ada', forSeconds: 60, until: '2999-01-01T00:00:00Z' }, 'either until or forSeconds'],
    'no time at all': [{ userId: 'ada', forSeconds: 0 }, 'forSeconds'],
    'an unknown user': [{ userId: 'adam', forSeconds: 60 }, 'names none that there is: adam'],
    'an unknown key': [{ apiKeyId: 'k', forSeconds: 60 }, 'names none that there is'],
    'an unknown business': [{ businessId: 'b', forSeconds: 60 }, 'names none that there is'],
    'no pattern': [{ action: 'call*', forSeconds: 60 }, 'action pattern'],
    'a field that nothing reads': [{ userID: 'ada', forSeconds: 60 }, 'nothing reads'],
  };

  for (const [what, [body, says]] of Object.entries(REFUSED)) {
    it(`of ${what} is refused`, () =>
      client.refuses([400, 'INVALID_REQUEST', says], 'POST', '/freezes', { reason: REASON, ...body }));
  }

  it('without a reason is refused', () =>
    client.refuses([400, 'INVALID_REQUEST', 'reason'], 'POST', '/freezes', { userId: 'ada', forSeconds: 60 }));

  it('that is over, or that there is not, is not extended', async () => {
    const id = await freeze({ userId: 'ada' });
    await client.refuses([400, 'INVALID_REQUEST', 'future'], 'PATCH', `/freezes/${id}`, {
      until: '2020-01-01T00:00:00Z',
    });
    await client.call('DELETE', `/freezes/${id}`);
    await client.refuses([409, 'CONFLICT', 'lifted'], 'PATCH', `/freezes/${id}`, { forSeconds: 60 });
    await client.refuses([404, 'NOT_FOUND'], 'PATCH', '/freezes/none', { forSeconds: 60 });
    await client.refuses([404, 'NOT_FOUND'], 'DELETE', '/freezes/none');
  });

  it('is made by callers with the scope freeze alone', async () => {
    const others = await insertCaller(service, ['keys', 'directory', 'policy', 'audit', 'authorize']);
    const headers = { authorization: `Bearer ${others}` };
    const body = { userId: 'ada', forSeconds: 60, reason: REASON };
    await client.refuses([403, 'FORBIDDEN', 'freeze'], 'POST', '/freezes', body, headers);
    const own = await insertCaller(service, ['freeze']);
    expect((await client.call('POST', '/freezes', body, { authorization: `Bearer ${own}` })).status).to.equal(201);
  });
});

describe('freezes that cannot be read', () => {
  let service: TestService;
  let client: Client;

  withService(
    (started) => {
      ({ service, client } = started);
    },
    { DECISION_DEADLINE_MS: '300' },
  );

  it('are a failure of every question, and no allow', async () => {
    await client.newUser('ada');
    const { apiKey } = await client.newKey('ada');
    const question = { apiKey, action: 'account:read' };
    expect((await client.call('POST', '/authorize', question)).body.Code).to.equal('OK');
    await service.db.transaction(async (trx) => {
      await trx.raw('lock table freezes in access exclusive mode');
      await forgetEverything(service.db);
      let reply = await client.call('POST', '/authorize', question);
      // Until the change has come.
      for (; reply.status === 200; await sleep(PAUSE_MS)) reply = await client.call('POST', '/authorize', question);
      for (let time = 0; time < 3; time += 1)
        expect((await client.call('POST', '/authorize', question)).status).to.be.oneOf([503, 504]);
    });
    let reply = await client.call('POST', '/authorize', question);
    for (; reply.status !== 200; await sleep(PAUSE_MS)) reply = await client.call('POST', '/authorize', question);
    expect(reply.body.Code).to.equal('OK');
  });
});
