/** What each real gateway does while the service fails: nothing gets through, and the client gets the answer of the table. */

import { expect } from 'chai';
import { mutate } from '../../src/db/mutate.ts';
import { eventually } from '../support/embedded.ts';
import { type Gateway, startGateway } from '../support/gateways.ts';
import { CALLS, expectRow } from './answers.ts';
import type { Behaviour } from './front.ts';
import type { Table } from './table.ts';
import { askGateway } from './wire.ts';
import type { World } from './world.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';

/** By row of the table. */
export const FAULTS: readonly (readonly [row: string, behaviour: Behaviour])[] = [
  ['iqra-authz is down', 'refused'],
  ['it resets the connection', 'reset'],
  ['its answer breaks off', 'cut'],
  ['its answer is no HTTP', { says: 'SSH-2.0-OpenSSH_9.2\r\n\r\n' }],
  ['another program answers 200 in its place', { says: OK }],
  ['another program answers 200 in its place', { says: OK.replace('\r\n\r\n', '\r\nX-Iqra-Decision:\r\n\r\n') }],
  ['another program answers 403 in its place', { says: OK.replace('200 OK', '403 Forbidden') }],
  ['another program answers 302 in its place', { says: OK.replace('200 OK', '302 Found\r\nLocation: /v1') }],
];

export function describeFaults(world: () => World, gateway: () => Gateway, table: Table): void {
  const ask = (address = gateway().address) => askGateway(address, { target: CALLS, key: world().keys.good });
  const worksAgain = async (): Promise<void> => {
    await world().front.behave('through');
    await eventually(async () => ((await ask()).status === 200 ? true : undefined));
    world().app.arrived();
  };

  for (const [row, behaviour] of FAULTS)
    it(`refuses while ${row}: ${typeof behaviour === 'object' ? JSON.stringify(behaviour.says) : behaviour}`, async () => {
      await world().front.behave(behaviour);
      // Twice: the first may be told by the end of a connection that was open.
      for (const _ of [1, 2]) expectRow(world(), table, row, gateway().name, await ask());
      await worksAgain();
    });

  it('refuses while iqra-authz refuses the caller token, which is no fault of the client', async () => {
    const { db } = world().service;
    const set = (revoked: Date | null) =>
      mutate(db, { id: 'test' }, async (trx) => {
        const [caller] = await trx('callers').update({ revoked_at: revoked }).returning(['id', 'digest']);
        return { result: undefined, events: [], changes: [{ kind: 'caller', id: caller.id, digest: caller.digest }] };
      });
    await set(new Date());
    const refused = await eventually(async () => {
      const answer = await ask();
      return answer.status === 200 ? undefined : answer;
    });
    world().app.arrived();
    expectRow(world(), table, 'iqra-authz answers 503', gateway().name, refused);
    await set(null);
    await eventually(async () => ((await ask()).status === 200 ? true : undefined));
    world().app.arrived();
  });

  it('waits for an answer as long as it says, and no longer', async () => {
    const { front, app, caller } = world();
    await front.behave('silent');
    const wiring = { authz: front.port, app: app.port, caller };
    const asShipped = await startGateway(gateway().name, wiring);
    try {
      expectRow(world(), table, 'it is too slow', gateway().name, await ask(asShipped.address));
    } finally {
      await asShipped.close();
    }
    await worksAgain();
  });
}

/** The last of all: the service ends while clients ask. */
export function describeEnding(world: () => World): void {
  it('lets nothing through but what is allowed while iqra-authz drains and ends', async () => {
    const { gateways, app, service, keys } = world();
    app.arrived();
    const statuses: number[] = [];
    let ended = false;
    const askOn = async ({ address }: Gateway): Promise<void> => {
      // Until it is over, and once more.
      for (let last = false; !last; ) {
        last = ended;
        const { status } = await askGateway(address, { target: CALLS, key: keys.good });
        statuses.push(status);
        if (last) expect(status).to.equal(503);
      }
    };
    const asking = Promise.all([...gateways.values()].flatMap((gateway) => [askOn(gateway), askOn(gateway)]));
    await eventually(() => (statuses.length > 2 * gateways.size ? true : undefined));
    await service.close();
    ended = true;
    await asking;
    expect([...new Set(statuses)].sort()).to.deep.equal([200, 503]);
    expect(app.arrived().length).to.equal(statuses.filter((status) => status === 200).length);
  });
}
