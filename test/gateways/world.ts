/** All that the tests of gateways share: one service with a route map, its keys, what is behind the gateways, and the gateways. */

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ROOT } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { GATEWAYS, type Gateway, type GatewayName, startGateway, versionOf } from '../support/gateways.ts';
import { insertCaller, startService, type TestService } from '../support/service.ts';
import { type App, startApp } from './app.ts';
import { type Front, startFront } from './front.ts';

/** The route map; `expectedOf` of the fuzz test says the same in another way. */
export const ROUTES = `routes:
  - { methods: [POST], path: "/v1/businesses/{business}/calls", action: "call:create", business: { parameter: business } }
  - { methods: [GET], path: "/v1/businesses/{business}/calls/**", action: "call:read", business: { parameter: business } }
  - { methods: any, path: "/v1/account/**", action: "account:read" }
  - { methods: [GET], path: "/v1/reports/*", action: "report:read", business: { header: X-Business } }
`;

export interface Keys {
  /** Of a member of b1 and b2. */
  readonly good: string;
  /** Of a member of b1; over its limit. */
  readonly limited: string;
  readonly disabled: string;
  /** Never issued. */
  readonly unknown: string;
}

export interface World {
  readonly service: TestService;
  readonly app: App;
  readonly front: Front;
  readonly keys: Keys;
  readonly goodKeyId: string;
  /** A caller token with the scope authorize. */
  readonly caller: string;
  /** Those that are installed. */
  readonly gateways: ReadonlyMap<GatewayName, Gateway>;
  readonly close: () => Promise<void>;
}

/** Starts all of it. `settings` are the service's. */
export async function startWorld(settings: Readonly<Record<string, string>> = {}): Promise<World> {
  const policies = await mkdtemp(path.join(tmpdir(), 'authz-gateways-'));
  await cp(path.join(ROOT, 'policies'), policies, { recursive: true });
  await writeFile(path.join(policies, 'gateway.yaml'), ROUTES);
  const service = await startService({ POLICY_DIR: policies, ...settings });
  const app = await startApp();
  const front = await startFront(Number(new URL(service.address).port));
  const caller = await insertCaller(service, ['authorize']);
  const installed = GATEWAYS.filter((name) => versionOf(name) !== undefined);
  const wiring = { authz: front.port, app: app.port, caller, patient: true };
  const started = await Promise.all(installed.map(async (name) => [name, await startGateway(name, wiring)] as const));
  return {
    service,
    app,
    front,
    ...(await makeKeys(service)),
    caller,
    gateways: new Map(started),
    close: async () => {
      await Promise.all(started.map(([, gateway]) => gateway.close()));
      await front.close();
      await app.close();
      await service.close();
      await rm(policies, { recursive: true });
    },
  };
}

async function makeKeys(service: TestService): Promise<Pick<World, 'keys' | 'goodKeyId'>> {
  const { newUser, newKey, data, decide } = clientOf(service);
  await newUser('u1', 'b1', 'b2');
  await newUser('u2', 'b3');
  const good = await newKey('u1');
  const limited = await newKey('u1', { rateLimit: { requests: 1, windowSeconds: 3600 } });
  const disabled = await newKey('u2');
  await data('PUT', '/users/u2', { disabled: true });
  // Its only point.
  await decide(limited.apiKey, 'b1');
  // The good one, but for a character that its checksum does not cover up.
  const unknown = `${good.apiKey.slice(0, -1)}${good.apiKey.endsWith('a') ? 'b' : 'a'}`;
  return {
    keys: { good: good.apiKey, limited: limited.apiKey, disabled: disabled.apiKey, unknown },
    goodKeyId: good.id,
  };
}
