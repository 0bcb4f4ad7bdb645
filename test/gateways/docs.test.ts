/** The commands of docs/gateways.md, as they stand on the page. */

import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { type GatewayName, versionOf } from '../support/gateways.ts';
import { commandsOf, expectInOrder, runGuide } from '../support/guide.ts';
import { newDatabase } from '../support/postgres.ts';
import { freePort } from '../support/redis.ts';
import { startService, type TestService } from '../support/service.ts';
import { type App, FROM_APP, startApp } from './app.ts';

const SECTIONS: readonly (readonly [GatewayName, heading: string])[] = [
  ['nginx', '## nginx'],
  ['caddy', '## Caddy'],
  ['haproxy', '## HAProxy'],
];

/** Of a shell in which a command has failed, too: the gateway would hold its output open. */
const ENDING = "trap 'kill $! 2>/dev/null || true' EXIT";

describe('docs/gateways.md', () => {
  let folder: string;
  let service: TestService;
  let app: App;
  let env: Record<string, string>;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-gateways-docs-'));
    // Workers of nginx are not root.
    await chmod(folder, 0o755);
    await cp(path.join(ROOT, 'policies'), path.join(folder, 'policies'), { recursive: true });
    await cp(path.join(ROOT, 'deploy', 'gateways'), path.join(folder, 'deploy', 'gateways'), { recursive: true });
    const settings = {
      DATABASE_URL: await newDatabase(),
      KEY_PEPPERS: `test:${randomBytes(32).toString('base64')}`,
      POLICY_DIR: path.join(folder, 'policies'),
    };
    env = { ...settings, PATH: `${process.env['PATH']}:/usr/sbin`, HOME: folder };
    // Before the service, so that no test waits for a folder to go live.
    const commands = [await commandsOf('gateways.md', '## The route map')];
    commands.push(await commandsOf('gateways.md', '## The caller token'));
    const { stdout } = await runGuide(commands.join('\n'), folder, env);
    expectInOrder(stdout, [/^policies: nothing found/m, /^asks for call:read on the business b1$/m]);
    service = await startService(settings);
    app = await startApp();
    const { newUser, newKey } = clientOf(service);
    await newUser('u1', 'b1');
    const { apiKey } = await newKey('u1');
    env = { ...env, AUTHZ: new URL(service.address).host, APP: `127.0.0.1:${app.port}`, KEY: apiKey };
  });
  after(async () => {
    await app?.close();
    await service?.close();
    await rm(folder, { recursive: true });
  });

  for (const [name, heading] of SECTIONS) {
    const installed = versionOf(name) !== undefined;
    (installed ? it : it.skip)(
      `has commands for ${name}${installed ? '' : ' (SKIPPED: it is not installed)'}`,
      async () => {
        const LISTEN = `127.0.0.1:${await freePort()}`;
        const { stdout } = await runGuide(`${ENDING}\n${await commandsOf('gateways.md', heading)}`, folder, {
          ...env,
          LISTEN,
        });
        expect(stdout).to.match(new RegExp(`^${FROM_APP}\\{"Success":false,"Code":"INVALID_API_KEY".*\\} 401$`, 'm'));
      },
    );
  }
});
