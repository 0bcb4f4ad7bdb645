/** GET /audit/export and /audit/timeline: whole, resumable, as fast as they are read, few at once, and never whole to look at where they are not. */

import { expect } from 'chai';
import { drawer, insertRecords, makeRecord, type TestRecord } from '../audit/records.ts';
import { authz } from '../support/cli.ts';
import { type Client, withService } from '../support/client.ts';
import { rejection } from '../support/rejection.ts';
import type { TestService } from '../support/service.ts';
import { eventually } from './process.ts';

/** Some megabytes: more than what lies between the service and a client that does not read. */
const MANY = 12_000;
const START = Date.now() - 3 * 3_600_000;

describe('exports and timelines over HTTP', function () {
  this.timeout(60_000);
  let service: TestService;
  let client: Client;
  let records: TestRecord[];
  const RANGE = `from=${new Date(START - 1000).toISOString()}&to=${new Date(START + MANY).toISOString()}`;

  withService(async (started) => {
    ({ service, client } = started);
    const draw = drawer(5);
    // Two of each millisecond.
    records = Array.from({ length: MANY }, (_, n) => makeRecord(START + (n >> 1), draw));
    await insertRecords(service.db, records);
  });

  const get = (path: string, signal?: AbortSignal): Promise<Response> =>
    fetch(service.address + path, { headers: { authorization: `Bearer ${service.token}` }, ...(signal && { signal }) });
  const linesOf = (text: string): Record<string, unknown>[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));

  /** Reads some of an answer, and leaves. The whole lines of it. */
  async function some(path: string, bytes: number): Promise<string[]> {
    const leave = new AbortController();
    const { body } = await get(path, leave.signal);
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > bytes) break;
    }
    leave.abort();
    return text.split('\n').slice(0, -1);
  }

  it('an export has each decision of its filter once, oldest first, as it is shown alone', async () => {
    const reply = await get(`/audit/export?${RANGE}`);
    expect([reply.status, reply.headers.get('content-type')]).to.deep.equal([200, 'application/jsonl; charset=utf-8']);
    const lines = linesOf(await reply.text());
    expect(lines.map(({ id }) => id)).to.deep.equal(records.map(({ id }) => id));
    const { explanation: _, note: __, ...alone } = await client.data('GET', `/audit/decisions/${records[77]?.id}`);
    expect(lines[77]).to.deep.equal(alone);
    const denied = linesOf(await (await get(`/audit/export?${RANGE}&not=code=OK&ip=203.0.113.0/24`)).text());
    const wanted = records.filter(({ code, ip }) => code !== 'OK' && ip !== null && /^(::ffff:)?203/.test(ip));
    expect(denied.map(({ id }) => id)).to.deep.equal(wanted.map(({ id }) => id));
  });

  it('an export in CSV is that of the command', async () => {
    const reply = await get(`/audit/export?${RANGE}&format=csv&effect=deny`);
    expect(reply.headers.get('content-type')).to.equal('text/csv; charset=utf-8');
    const args = RANGE.split('&').map((part) => `--${part}`);
    const command = ['audit', 'export', '--format', 'csv', '--effect', 'deny', ...args];
    const { stdout, code } = await authz(command, { DATABASE_URL: service.service.config.DATABASE_URL ?? '' });
    expect([code, await reply.text()]).to.deep.equal([0, stdout]);
  });

  it('an export goes on behind the last line that somebody has, and a timeline too, without a gap or a double', async () => {
    for (const [path, cursorOf] of [
      [`/audit/export?${RANGE}`, ({ id }: Record<string, unknown>) => id],
      [`/audit/timeline?${RANGE}&businessId=b1`, ({ cursor }: Record<string, unknown>) => cursor],
    ] as const) {
      const whole = (await (await get(path)).text()).split('\n').slice(0, -1);
      expect(whole.length).to.be.above(2000);
      let told: string[] = [];
      for (const bytes of [1, 700_000, 300_000]) {
        const cursor = told.length === 0 ? '' : `&cursor=${cursorOf(JSON.parse(told.at(-1) ?? ''))}`;
        told = [...told, ...(await some(path + cursor, bytes))];
      }
      const rest = await (await get(`${path}&cursor=${cursorOf(JSON.parse(told.at(-1) ?? ''))}`)).text();
      expect([...told, ...rest.split('\n').slice(0, -1)]).to.deep.equal(whole);
    }
  });

  it('leave their event before the first byte, and say what cannot be asked', async () => {
    await client.newUser('timeless');
    const { id } = await client.newKey('timeless');
    await (await get(`/audit/timeline?apiKeyId=${id}`)).text();
    await (await get('/audit/export?code=OK&limit=1')).text();
    const [event] = await service.db('admin_events').where({ action: 'audit.timeline' }).orderBy('id', 'desc');
    expect(event.after).to.include({ apiKeyId: id });
    for (const [path, says] of [
      ['/audit/timeline', 'name one whose timeline it is'],
      [`/audit/timeline?apiKeyId=${id}&userId=ada`, 'name one whose timeline it is'],
      [`/audit/timeline?apiKeyId=${id}&cursor=AAAA`, 'is no cursor of this list'],
      ['/audit/export?limit=1', 'nothing reads this field'],
      ['/audit/export?format=xml', 'must be jsonl or csv'],
      ['/audit/export?cursor=x', 'must be the id of the last decision'],
    ] as const)
      await client.refuses([400, 'INVALID_REQUEST', says], 'GET', path);
  });

  it('are two at once, and a third waits for its turn; who goes away gives up the place', async () => {
    const leave = new AbortController();
    const held = await Promise.all([1, 2].map(() => get(`/audit/export?${RANGE}`, leave.signal)));
    expect(held.map(({ status }) => status)).to.deep.equal([200, 200]);
    const third = await get(`/audit/timeline?${RANGE}&businessId=b1`);
    expect([third.status, third.headers.get('retry-after')]).to.deep.equal([429, '10']);
    expect(await third.json()).to.deep.include({ Success: false, Code: 'TOO_MANY_REQUESTS' });
    // Those who ask in pages are not kept waiting.
    expect((await get(`/audit/decisions?${RANGE}`)).status).to.equal(200);
    leave.abort();
    await eventually(async () => {
      const again = await get(`/audit/export?${RANGE}&effect=deny`);
      await again.text();
      return again.status === 200;
    });
  });

  it('are read as fast as the client takes them, and are cut where they fail: no end, no last chunk', async () => {
    const reply = await get(`/audit/export?${RANGE}`);
    const reader = reply.body?.getReader();
    expect((await reader?.read())?.done).to.equal(false);
    // Had the service read on, the rest would be on its way, and whole.
    await service.db.raw('alter view decisions rename to decisions_gone');
    try {
      const error = await rejection(
        (async () => {
          while (!(await reader?.read())?.done);
        })(),
      );
      expect(error).to.be.instanceOf(TypeError);
      const refused = await get(`/audit/export?${RANGE}`);
      expect([refused.status, ((await refused.json()) as { Success: unknown }).Success]).to.deep.equal([503, false]);
    } finally {
      await service.db.raw('alter view decisions_gone rename to decisions');
    }
    expect(linesOf(await (await get(`/audit/export?${RANGE}`)).text()).length).to.equal(MANY);
  });
});
