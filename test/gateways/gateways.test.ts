/**
 * Gateways by the recipes of deploy/gateways/, before a real service: what they answer, what gets through, and what they do while it
 * fails. nginx, Caddy and HAProxy are the real programs; of Envoy, Traefik and Kong there are doubles.
 */

import { expect } from 'chai';
import { GATEWAYS, type Gateway, type GatewayName, versionOf } from '../support/gateways.ts';
import { describeAnswers } from './answers.ts';
import { describeDouble } from './describe-double.ts';
import { envoyDouble } from './envoy.ts';
import { describeEnding, describeFaults } from './faults.ts';
import { describeArrivals } from './fuzz.ts';
import { hasLua, kongDouble } from './kong.ts';
import { readTable } from './table.ts';
import { traefikDouble } from './traefik.ts';
import { startWorld, type World } from './world.ts';

const table = readTable();

/** `describe`, or a skipped block that says what is not installed. */
const describeWhere = (installed: boolean, title: string, missing: string, body: () => void): unknown =>
  installed ? describe(title, body) : describe.skip(`${title} (SKIPPED: ${missing} not installed)`, body);

describe('gateways', () => {
  let started: World | undefined;
  const world = (): World => started as World;
  before(async () => {
    started = await startWorld();
  });
  after(() => started?.close());
  const gateway = (name: GatewayName): Gateway => world().gateways.get(name) as Gateway;

  for (const name of GATEWAYS)
    describeWhere(versionOf(name) !== undefined, name, 'it is', () => {
      describeAnswers(world, () => gateway(name), table);
      describeFaults(world, () => gateway(name), table);
      it('has no complaint', () => expect(gateway(name).log()).to.not.match(/emerg|\[alert\]|panic/i));
    });

  describe('a double of Envoy', () => describeDouble(world, 'envoy', envoyDouble, table));
  describe('a double of Traefik', () => describeDouble(world, 'traefik', traefikDouble, table));
  describeWhere(hasLua(), 'a double of Kong around its plugin', 'luajit, lua-cjson or lua-socket is', () => {
    describeDouble(world, 'kong', kongDouble, table);

    it('would refuse where Kong sends on another path than the client sent', async () => {
      const { front, caller, keys } = world();
      const double = kongDouble({ authz: front.port, caller, patience: 10 }, () => '/stripped');
      const outcome = await double.ask({ target: '/v1/account/', key: keys.good });
      expect(outcome).to.have.nested.property('answer.status', 503);
      await double.close();
    });
  });

  const some = GATEWAYS.some((name) => versionOf(name) !== undefined);
  describeWhere(some, 'what arrives behind real gateways', 'none is', () => describeArrivals(world));
  describeWhere(some, 'the end of the service behind real gateways', 'none is', () => describeEnding(world));
});
