/** Who was refused over HTTP leaves an event: summed up, bounded, and naming no credential. */

import { expect } from 'chai';
import { createRefusals, type Refusals } from '../../src/audit/refusals.ts';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { createToken } from '../../src/credentials/token.ts';
import { createLog } from '../../src/log.ts';
import { insertCaller, startService, type TestService } from '../support/service.ts';

interface Event {
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly after: { readonly seconds: number; readonly refused: { code: string; route: string; count: number }[] };
}

describe('who is refused', () => {
  let service: TestService;
  before(async () => {
    service = await startService({ FAILED_AUTHENTICATION_LIMIT: '3/60' });
  });
  after(() => service?.close());
  beforeEach(async () => {
    await service.service.refusals.write();
    await service.db.raw(
      `truncate admin_events; update change_counter set events = 0, events_hash = decode(repeat('00', 32), 'hex')`,
    );
  });

  const events = (): Promise<Event[]> =>
    service.db('admin_events').where({ action: 'access.refused' }).orderBy('seq') as unknown as Promise<Event[]>;
  const statusOf = async (path: string, token: string | undefined): Promise<number> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return (await fetch(service.address + path, { headers })).status;
  };

  it('leaves an event a minute for each caller and address, by code and route, and no token', async () => {
    const narrow = await insertCaller(service, ['keys:read'], { bound_users: ['ada'] });
    const wrong = createToken('caller');
    const statuses: number[] = [];
    for (const [path, token] of [
      ['/users/ada', narrow],
      ['/users/eve', narrow],
      ['/keys', wrong],
      ['/keys', wrong],
      ['/audit/decisions', wrong],
      ['/keys', wrong],
      ['/keys', undefined],
      ['/readyz', wrong],
    ] as const)
      statuses.push(await statusOf(path, token));
    expect(statuses).to.deep.equal([403, 403, 401, 401, 401, 429, 401, 200]);
    await service.service.refusals.write();
    const [caller, address, ...more] = await events();
    expect(more).to.deep.equal([]);
    expect(caller?.subject_kind).to.equal('caller');
    expect(caller?.after.refused).to.deep.equal([{ code: 'FORBIDDEN', route: '/users/{id}', count: 2 }]);
    expect([address?.subject_kind, address?.subject_id]).to.deep.equal(['address', '127.0.0.1']);
    expect(address?.after.refused).to.deep.equal([
      { code: 'UNAUTHENTICATED', route: '/keys', count: 2 },
      { code: 'UNAUTHENTICATED', route: '/audit/decisions', count: 1 },
      { code: 'TOO_MANY_REQUESTS', route: '/keys', count: 1 },
    ]);
    const text = JSON.stringify(await service.db('admin_events'));
    for (const token of [narrow, wrong]) expect(text).to.not.include(token.slice(9, -4));
    await service.service.refusals.write();
    expect(await events()).to.have.length(2);
    expect((await verifyLog(service.db, {})).findings).to.deep.equal([]);
  });

  it('is one of twenty that are named, or of the others, and nobody is counted less', async () => {
    const refusals = createRefusals(service.db, createLog('silent'));
    const note = (n: number): void =>
      refusals.note({ caller: undefined, address: `192.0.2.${n}`, code: 'UNAUTHENTICATED', route: '/keys' });
    for (let round = 0; round < 3; round += 1) for (let n = 0; n < 50; n += 1) note(n);
    await refusals.close();
    const all = await events();
    expect(all).to.have.length(21);
    const counts = new Map(all.map(({ subject_id, after }) => [subject_id, after.refused[0]?.count]));
    expect([
      counts.get('192.0.2.0'),
      counts.get('192.0.2.19'),
      counts.get('192.0.2.20'),
      counts.get('*'),
    ]).to.deep.equal([3, 3, undefined, 90]);
  });

  it('is not forgotten where the summary cannot be written', async () => {
    const refusals: Refusals = createRefusals(service.db, createLog('silent'));
    const one = { caller: 'ada', address: '192.0.2.1', code: 'FORBIDDEN', route: '/keys' } as const;
    refusals.note(one);
    await service.db.raw('alter table admin_events add constraint broken check (false) not valid');
    try {
      await refusals.write();
    } finally {
      await service.db.raw('alter table admin_events drop constraint broken');
    }
    refusals.note(one);
    await refusals.close();
    expect((await events()).map(({ after }) => after.refused)).to.deep.equal([
      [{ code: 'FORBIDDEN', route: '/keys', count: 2 }],
    ]);
  });
});
