/**
 * Ten incidents, each found by an investigator who has the command line and the login of an auditor, and is told nothing but where to look: what
 * is asked next is read off the answer before.
 */

import { expect } from 'chai';
import { GOOD, type IncidentsWorld, makeIncidents, WEAK } from './incidents-world.ts';

interface Group {
  readonly value: string;
  readonly second?: string;
  readonly count: number;
}

describe('an investigator with the command line alone', function () {
  this.timeout(60_000);
  let world: IncidentsWorld;
  before(async () => {
    world = await makeIncidents();
  });
  after(() => world?.close());

  const stats = async (...args: string[]): Promise<Group[]> =>
    JSON.parse(await world.ask('audit', 'stats', '--from', '3d', ...args, '--json')).groups;
  const largest = async (...args: string[]): Promise<string> => (await stats(...args))[0]?.value ?? '';
  const timeline = async (...args: string[]): Promise<string> =>
    await world.ask('audit', 'timeline', '--from', '3d', ...args);

  it('finds credentials that were tried from one network, and the one that was right', async () => {
    const network = await largest('--by', 'network', '--code', 'INVALID_API_KEY');
    expect(network).to.equal('198.51.100.0/24');
    expect(await stats('--by', 'fingerprint', '--ip', network, '--limit', '200')).to.have.length(121);
    expect(await stats('--by', 'key', '--ip', network, '--not', 'code=INVALID_API_KEY')).to.deep.equal([
      { value: 'bob-shop', count: 1 },
    ]);
  });

  it('finds a stolen key by the hours at which it is used, and the address that is not its user’s', async () => {
    const atNight = (await stats('--by', 'key,hourOfDay', '--effect', 'allow')).filter(
      ({ second = '', count }) => count > 0 && second < '06',
    );
    const [key = '', ...others] = new Set(atNight.map(({ value }) => value));
    expect([key, others]).to.deep.equal(['ada-main', []]);
    const hours = (await stats('--by', 'ip,hourOfDay', '--key', key)).filter(
      ({ count, second = '' }) => count > 0 && second < '06',
    );
    const [address = ''] = new Set(hours.map(({ value }) => value));
    expect(address).to.equal('192.0.2.66');
    expect(await stats('--by', 'userAgent', '--ip', address)).to.deep.equal([
      { value: 'python-requests/2.32', count: 9 },
    ]);
    expect(await stats('--by', 'key', '--user-agent', 'PYTHON')).to.deep.equal([{ value: key, count: 9 }]);
  });

  it('finds who widened a key, used it, and narrowed it again', async () => {
    const changes = JSON.parse(
      await world.ask('audit', 'admin', '--action', 'key.update', '--on', 'today', '--json'),
    ).items;
    expect(changes).to.have.length(2);
    const [{ subject, actor }] = changes;
    const told = await timeline('--key', subject);
    const order = [
      'key.create',
      'restrictedBusinessIds ["business-0"] -> null',
      'OK recording:read on business-7',
      'restrictedBusinessIds null -> ["business-0"]',
    ].map((text) => told.indexOf(text));
    expect(order, told)
      .to.deep.equal(order.toSorted((a, b) => a - b))
      .and.not.include(-1);
    expect(actor).to.equal('as:mallory');
  });

  it('finds a record of a time at which nobody wrote it, and a day that is gone', async () => {
    const said = await world.finds('audit', 'verify');
    expect(said).to.match(new RegExp(`backdated: .*${world.backdated}`));
    expect(said).to.match(new RegExp(`: .*${world.dropped}.*`));
    const part = await world.ask('audit', 'stats', '--by', 'day', '--from', '4d', '--json');
    const days: Group[] = JSON.parse(part).groups;
    expect(days.find(({ value }) => value.startsWith(world.dropped))?.count, 'an ordinary day has questions').to.equal(
      0,
    );
  });

  it('finds a slow enumeration of businesses', async () => {
    const key = await largest('--by', 'key', '--code', 'PERMISSION_DENIED');
    const tried = JSON.parse(
      await world.ask('audit', 'stats', '--from', '3d', '--by', 'business', '--key', key, '--json'),
    );
    expect([key, tried.distinct, tried.groups[0].count]).to.deep.equal(['crawler', 40, 1]);
  });

  it('finds a user who is disabled and goes on', async () => {
    const user = await largest('--by', 'user', '--code', 'USER_DISABLED');
    expect(user).to.equal('eve');
    const before = await stats('--by', 'ip', '--user', user, '--code', 'USER_DISABLED');
    expect(before).to.deep.equal([{ value: '192.0.2.200', count: 6 }]);
    expect(await timeline('--user', user)).to.include(
      'USER_DISABLED call:create on business-2 from 192.0.2.200 with eve-old of eve',
    );
  });

  it('finds the freeze that was lifted early, by whom, and what was allowed behind it', async () => {
    const [lift] = JSON.parse(
      await world.ask('audit', 'admin', '--kind', 'freeze', '--action', 'freeze.lift', '--json'),
    ).items;
    expect(lift.actor).to.equal('as:mallory');
    expect(Date.parse(lift.before.until) - Date.parse(lift.at)).to.be.above(3_600_000);
    const told = await timeline('--business', lift.before.businessId);
    expect(told.indexOf('freeze.lift')).to.be.within(
      0,
      told.indexOf('OK recording:read on business-7 from 203.0.113.20'),
    );
  });

  it('finds the policy of an hour', async () => {
    const policies = await stats('--by', 'policy');
    expect(policies.map(({ value }) => value)).to.deep.equal([GOOD, WEAK]);
    const weak = policies.at(-1)?.value ?? '';
    const [key = ''] = new Set((await stats('--by', 'key', '--policy', weak)).map(({ value }) => value));
    const told = await timeline('--key', key);
    expect(told.indexOf(`${WEAK} decides from here on, before ${GOOD}`)).to.be.above(0);
    expect(told.indexOf(`${GOOD} decides from here on, before ${WEAK}`)).to.be.above(
      told.indexOf(`${WEAK} decides from here on, before ${GOOD}`),
    );
  });

  it('finds who read the whole log', async () => {
    const reads = JSON.parse(await world.ask('audit', 'admin', '--action', 'audit.export', '--json')).items;
    expect(reads.map(({ actor }: { actor: string }) => actor)).to.deep.equal(['as:mallory']);
  });
});
