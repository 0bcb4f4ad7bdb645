/** What is held of each double of a gateway: the table of docs/gateways.md, and what it would pass on. */

import { expect } from 'chai';
import { CALLS, expectRow, FORGED, namesWith, TRICKS } from './answers.ts';
import type { Double, DoubleWiring, HeaderMap, Outcome } from './doubles.ts';
import { FAULTS } from './faults.ts';
import type { Column, Table } from './table.ts';
import type { Asked } from './wire.ts';
import type { World } from './world.ts';

/** As patient as the real ones of the matrix. */
const PATIENCE = 10;

export function describeDouble(
  world: () => World,
  name: Column,
  make: (wiring: DoubleWiring) => Double,
  table: Table,
): void {
  let double: Double | undefined;
  const wiring = (patience: number): DoubleWiring => ({
    authz: world().front.port,
    caller: world().caller,
    patience,
  });
  before(() => {
    double = make(wiring(PATIENCE));
  });
  after(() => double?.close());

  const ask = (asked: Asked): Promise<Outcome> => (double as Double).ask(asked);
  const passed = async (asked: Asked): Promise<HeaderMap> => {
    const outcome = await ask(asked);
    if ('answer' in outcome) throw new Error(`it was refused: ${JSON.stringify(outcome.answer)}`);
    return outcome.passed;
  };
  const expectOutcome = (row: string, outcome: Outcome): void => {
    if ('answer' in outcome) expectRow(world(), table, row, name, outcome.answer);
    else expect('it passes', row).to.equal(table.get(row)?.get(name));
  };
  const expects = async (row: string, asked: Asked): Promise<void> => expectOutcome(row, await ask(asked));

  it('would pass on what is allowed, with who it is, and nothing that the client says of that', async () => {
    const { keys, goodKeyId, caller } = world();
    const headers = await passed({ target: `${CALLS}?q=1`, key: keys.good, headers: FORGED });
    expect(headers.get('x-iqra-user')).to.deep.equal(['u1']);
    expect(headers.get('x-iqra-key')).to.deep.equal([goodKeyId]);
    expect(headers.get('x-iqra-business')).to.deep.equal(['b1']);
    expect(headers.get('x-iqra-decision')?.[0]).to.match(/^[\da-f-]{36}$/);
    // Envoy appends to what a client says in X-Forwarded-For and hands on the rest; nobody decides by these.
    const forged = namesWith(headers, 'forged').filter((header) => !/^x-forwarded-(?:for|host|proto)$/.test(header));
    expect(forged).to.deep.equal([]);
    expect(namesWith(headers, caller)).to.deep.equal([]);
    const account = await passed({ target: '/v1/account/', key: keys.good, headers: [['X-Iqra-Business', 'forged']] });
    expect(account.get('x-iqra-business')?.join() ?? '').to.equal('');
  });

  it('would let nobody remove what is set by naming it as a header of the hop', async () => {
    const { keys } = world();
    const hop = ['Connection', 'keep-alive, X-Iqra-User,X-Business, Iqra-Caller'] as const;
    const headers = [hop, ['X-Business', 'b2']] as const;
    const outcome = await ask({ target: '/v1/reports/1', key: keys.good, headers });
    // Refused, or both are there.
    if ('answer' in outcome) expect(outcome.answer.status).to.equal(403);
    else
      for (const [header, value] of [['x-iqra-user', 'u1'] as const, ['x-business', 'b2'] as const])
        expect(outcome.passed.get(header)).to.deep.equal([value]);
  });

  it('would refuse what the service denies', async () => {
    const { keys } = world();
    await expects('the key is missing or not valid', { target: CALLS, key: keys.unknown });
    await expects('the key is missing or not valid', { target: CALLS });
    await expects('it is denied', { target: '/v1/businesses/b3/calls', key: keys.good });
    await expects('the key is over its rate limit', { target: CALLS, key: keys.limited });
    await expects('no route of gateway.yaml matches, or the path is ambiguous', { target: '/nothing', key: keys.good });
    const second = ['Authorization', `Token ${keys.unknown}`] as const;
    await expects('there are two Authorization headers', { target: CALLS, key: keys.good, headers: [second] });
  });

  it('would decide by the business that the service behind reads', async () => {
    const { keys } = world();
    const asked = (...values: string[]): Asked => ({
      target: '/v1/reports/1',
      key: keys.good,
      headers: values.map((value) => ['X-Business', value] as const),
    });
    expect((await passed(asked('b2'))).get('x-business')).to.deep.equal(['b2']);
    for (const values of [[], ['b3'], ['b1', 'b3'], ['b3', 'b1']])
      expect(await ask(asked(...values)), values.join('+')).to.have.nested.property('answer.status', 403);
  });

  it('would refuse each path that can be read in two ways, or is not in the map', async () => {
    for (const target of TRICKS.filter((trick) => trick.startsWith('/'))) {
      const outcome = await ask({ target, key: world().keys.good });
      const status = 'answer' in outcome ? outcome.answer.status : 200;
      expect(status, target).to.be.within(400, 403);
    }
  });

  it('would refuse while the service fails, as the table says', async () => {
    for (const [row, behaviour] of FAULTS) {
      await world().front.behave(behaviour);
      expectOutcome(row, await ask({ target: CALLS, key: world().keys.good }));
    }
    await world().front.behave('through');
    const badCaller = make({ ...wiring(PATIENCE), caller: 'iqra_svc_of_nobody' });
    expectOutcome('iqra-authz answers 503', await badCaller.ask({ target: CALLS, key: world().keys.good }));
    await badCaller.close();
    await passed({ target: CALLS, key: world().keys.good });
  });
}
