/**
 * Gateways by the recipes of deploy/gateways/, before a real service: what they answer, what gets through, and what they do while it
 * fails. nginx, Caddy and HAProxy are the real programs; of Envoy, Traefik and Kong there are doubles.
 */

import { expect } from 'chai';
import { GATEWAYS, type Gateway, type GatewayName, startGateway, versionOf } from '../support/gateways.ts';
import { describeAnswers, FORGED, namesWith } from './answers.ts';
import { describeDouble } from './describe-double.ts';
import { envoyDouble } from './envoy.ts';
import { describeEnding, describeFaults } from './faults.ts';
import { describeArrivals } from './fuzz.ts';
import { hasLua, kongDouble } from './kong.ts';
import { readTable } from './table.ts';
import { traefikDouble } from './traefik.ts';
import { askGateway } from './wire.ts';
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

      it('has written no secret to its log', () => {
        const { caller, keys } = world();
        for (const secret of [caller, ...Object.values(keys)]) expect(gateway(name).log()).to.not.include(secret);
      });
    });

  describeWhere(versionOf('nginx') !== undefined, 'a location of nginx that is added', 'it is', () => {
    it('is protected, and gets the identity, with nothing said in it', async () => {
      const { front, app, caller, keys } = world();
      const own = 'location /v1/account/own { proxy_pass http://$iqra_upstream; }\n    location @iqra_refused {';
      const changes = [['location @iqra_refused {', own]] as const;
      const nginx = await startGateway('nginx', { authz: front.port, app: app.port, caller, patient: true, changes });
      try {
        app.arrived();
        const asked = { target: '/v1/account/own', headers: FORGED };
        expect(await askGateway(nginx.address, asked)).to.have.property('status', 401);
        expect(app.arrived()).to.deep.equal([]);
        expect(await askGateway(nginx.address, { ...asked, key: keys.good })).to.have.property('status', 200);
        const [arrival] = app.arrived();
        expect(arrival?.headers.get('x-iqra-user')).to.deep.equal(['u1']);
        expect(namesWith(arrival?.headers ?? new Map(), 'forged')).to.deep.equal([]);
      } finally {
        await nginx.close();
      }
    });
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
