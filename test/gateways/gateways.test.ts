/** nginx, Caddy and HAProxy by the recipes of deploy/gateways/, before a real service: answers, faults, and what arrives. */

import { expect } from 'chai';
import { GATEWAYS, type Gateway, type GatewayName, versionOf } from '../support/gateways.ts';
import { describeAnswers } from './answers.ts';
import { describeEnding, describeFaults } from './faults.ts';
import { describeArrivals } from './fuzz.ts';
import { readTable } from './table.ts';
import { startWorld, type World } from './world.ts';

const installed = GATEWAYS.filter((name) => versionOf(name) !== undefined);
const table = readTable();

const reason = installed.length > 0 ? '' : ' (SKIPPED: none of them is installed)';
(reason === '' ? describe : describe.skip)(`real gateways${reason}`, () => {
  let started: World | undefined;
  const world = (): World => started as World;
  before(async () => {
    started = await startWorld();
  });
  after(() => started?.close());
  const gateway = (name: GatewayName): Gateway => world().gateways.get(name) as Gateway;

  for (const name of GATEWAYS) {
    if (!installed.includes(name)) describe.skip(`${name} (SKIPPED: it is not installed)`, () => undefined);
    else
      describe(`${name} ${versionOf(name)}`, () => {
        describeAnswers(world, () => gateway(name), table);
        describeFaults(world, () => gateway(name), table);
        it('has nothing to complain about', () => expect(gateway(name).log()).to.not.match(/emerg|\[alert\]|panic/i));
      });
  }
  // Mocha runs blocks in their order, and before all of them the tests beside them: these are blocks, too.
  describe('what arrives', () => describeArrivals(world));
  describe('the end', () => describeEnding(world));
});
