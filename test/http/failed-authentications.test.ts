/** Caller tokens that are not valid are limited for each address; a valid one never is, whoever shares its address. */

import { expect } from 'chai';
import { createToken } from '../../src/credentials/token.ts';
import { failuresByAddress } from '../../src/http/failed-authentications.ts';
import { withService } from '../support/client.ts';
import { insertCaller, type Reply, startService, type TestService } from '../support/service.ts';
import { eventually } from './process.ts';
import { expectFailure } from './wire.ts';

describe('failed authentications', () => {
  let service: TestService;
  let live: string;
  withService(
    async (started) => {
      ({ service } = started);
      live = await insertCaller(service, ['authorize']);
    },
    { FAILED_AUTHENTICATION_LIMIT: '3/60', TRUSTED_PROXIES: '127.0.0.1,::1' },
  );

  const from = (address: string, authorization: string): Promise<Reply> =>
    service.ask('/authorize', { action: 'a:b' }, { authorization, 'x-forwarded-for': address });
  const exhaust = async (address: string): Promise<void> => {
    for (const token of [createToken('caller'), 'junk', service.token.slice(1)])
      expectFailure(await from(address, `Bearer ${token}`), 'UNAUTHENTICATED', [token]);
  };

  it('beyond the limit are 429 with Retry-After, and hold nobody up who has a live token', async () => {
    await exhaust('203.0.113.7');
    for (const authorization of [`Bearer ${createToken('caller')}`, 'Bearer junk', 'Basic eDp5']) {
      const reply = await from('203.0.113.7', authorization);
      expectFailure(reply, 'TOO_MANY_REQUESTS');
      expect(Number(reply.headers.get('retry-after'))).to.be.within(1, 60);
      expect(reply.headers.get('www-authenticate')).to.equal(null);
    }
    for (const token of [live, service.token])
      expect((await from('203.0.113.7', `Bearer ${token}`)).status).to.equal(200);
    expectFailure(await from('203.0.113.8', 'Bearer junk'), 'UNAUTHENTICATED');
  });

  it('count for the whole network of 64 bits where the address is of IPv6', async () => {
    await exhaust('2001:db8:0:7::1');
    expectFailure(await from('2001:db8:0:7:ffff::2', 'Bearer junk'), 'TOO_MANY_REQUESTS');
    expectFailure(await from('2001:db8:0:8::1', 'Bearer junk'), 'UNAUTHENTICATED');
  });

  it('are none where no token was sent', async () => {
    for (let n = 0; n < 8; n += 1) expectFailure(await from('203.0.113.9', ''), 'UNAUTHENTICATED');
    expectFailure(await from('203.0.113.9', 'Bearer junk'), 'UNAUTHENTICATED');
  });

  it('are forgotten when the window ends, and not limited where the setting is none', async () => {
    for (const [setting, statuses] of [
      ['2/1', [401, 401, 429]],
      ['none', [401, 401, 401]],
    ] as const) {
      const other = await startService({ FAILED_AUTHENTICATION_LIMIT: setting });
      const ask = async () => (await other.ask('/authorize', {}, { authorization: 'Bearer junk' })).status;
      expect([await ask(), await ask(), await ask()]).to.deep.equal(statuses);
      await eventually(async () => (await ask()) === 401);
      await other.close();
    }
  });

  it('of more addresses than the table holds share one count, and evict none', () => {
    let now = 0;
    const count = failuresByAddress({ requests: 2, windowSeconds: 10 }, () => now);
    const over = (address: string): boolean => count(address) !== undefined;
    expect([over('a'), over('a'), over('a')]).to.deep.equal([false, false, true]);
    let overs = 0;
    for (let n = 0; n < 50_000; n += 1) overs += Number(over(`x${n}`));
    // All but those in the table, and the first two of the others.
    expect(overs).to.equal(50_000 - 9_999 - 2);
    expect([over('a'), over('x0'), over('x0')]).to.deep.equal([true, false, true]);
    now += 10_000;
    expect([over('a'), over('x49999')]).to.deep.equal([false, false]);
  });
});
