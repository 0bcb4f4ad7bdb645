/** GET /audit/admin: who changed what, found by any of its filters. */

import { expect } from 'chai';
import { type Client, withService } from '../support/client.ts';
import { insertCaller, type TestService } from '../support/service.ts';

interface Event {
  readonly id: string;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly kind: string;
  readonly subject: string;
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
  readonly requestId: string | null;
}

describe('/audit/admin', () => {
  let service: TestService;
  let client: Client;
  let all: Event[];
  let operator: string;

  /** Without the events that the asking itself leaves. */
  const list = async (query = ''): Promise<Event[]> =>
    ((await client.data('GET', `/audit/admin?limit=200${query}`))['items'] as Event[]).filter(
      ({ action }) => action !== 'audit.admin',
    );

  withService(async (started) => {
    ({ service, client } = started);
    const authorization = `Bearer ${await insertCaller(service, ['directory'])}`;
    await client.newUser('ann', 'a', 'b');
    await client.call('PUT', '/users/ann', { disabled: true }, { authorization, 'x-request-id': 'ticket-7' });
    await client.call('DELETE', '/businesses/b', undefined, { authorization });
    await client.newKey('ann');
    const caller = await service.db('callers').first('id');
    operator = caller.id;
    all = await list();
  });

  it('shows every event, the newest first', () => {
    expect(all.map(({ action, subject }) => `${action} ${subject}`).slice(1)).to.deep.equal([
      'business.delete b',
      'user.update ann',
      'member.create b/ann',
      'business.create b',
      'member.create a/ann',
      'business.create a',
      'user.create ann',
    ]);
    expect(all[0]?.action).to.equal('key.create');
    const times = all.map(({ at }) => Date.parse(at));
    expect(times).to.deep.equal([...times].sort((a, b) => b - a));
  });

  it('says who, what, before and after', () => {
    const update = all.find(({ action }) => action === 'user.update');
    expect(update).to.deep.include({ actor: operator, kind: 'user', subject: 'ann', requestId: 'ticket-7' });
    expect(update?.before).to.deep.include({ disabled: false, disabledAt: null });
    expect(update?.after).to.deep.include({ disabled: true });
    expect(all.at(-1)).to.deep.include({ actor: 'bootstrap', before: null });
  });

  it('finds by each filter, and by several at once', async () => {
    const middle = all[3]?.at ?? '';
    const filters: [query: string, expected: (event: Event) => boolean][] = [
      [`&actor=${operator}`, ({ actor }) => actor === operator],
      ['&action=member.create', ({ action }) => action === 'member.create'],
      ['&kind=business', ({ kind }) => kind === 'business'],
      ['&subject=ann', ({ subject }) => subject === 'ann'],
      ['&kind=member&subject=b%2Fann', ({ kind, subject }) => kind === 'member' && subject === 'b/ann'],
      ['&actor=bootstrap&kind=user', ({ actor, kind }) => actor === 'bootstrap' && kind === 'user'],
      [`&from=${middle}`, ({ at }) => at >= middle],
      [`&to=${middle}`, ({ at }) => at < middle],
      [`&from=${middle}&to=${middle}`, () => false],
      ['&actor=nobody', () => false],
    ];
    for (const [query, expected] of filters) {
      expect(await list(query), query).to.deep.equal(all.filter(expected));
    }
  });

  it('takes a time of any zone', async () => {
    const at = new Date(Date.parse(all[3]?.at ?? '') + 7_200_000).toISOString().replace('Z', '+02:00');
    expect(await list(`&from=${encodeURIComponent(at)}`)).to.deep.equal(await list(`&from=${all[3]?.at}`));
  });

  it('comes in pages, whole and once, also while events are added', async () => {
    const found: Event[] = [];
    for (let cursor = ''; ; ) {
      const data = await client.data('GET', `/audit/admin?kind=business&limit=1${cursor}`);
      found.push(...(data['items'] as Event[]));
      await client.data('PUT', `/businesses/later-${found.length}`, {});
      if (data['nextCursor'] === null) break;
      cursor = `&cursor=${data['nextCursor']}`;
    }
    expect(found).to.deep.equal(all.filter(({ kind }) => kind === 'business'));
  });

  it('takes a cursor only with the filters that it was made with', async () => {
    const { nextCursor } = await client.data('GET', '/audit/admin?kind=business&limit=1');
    for (const query of ['', '&kind=user', '&kind=business&subject=a', '&subject=business']) {
      const path = `/audit/admin?limit=1${query}&cursor=${nextCursor}`;
      await client.refuses([400, 'INVALID_REQUEST', '"cursor"'], 'GET', path);
    }
    const again = await client.call('GET', `/audit/admin?limit=9&cursor=${nextCursor}&kind=business`);
    expect(again.status).to.equal(200);
  });
});
