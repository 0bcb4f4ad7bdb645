/**
 * The package as its users get it: packed, checked by publint and attw, installed alone and without a network; then what its README shows is run
 * in that folder, as it stands on the page, beside a real service. Runs the build: `make build` first.
 */

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { publint } from 'publint';
import { ROOT } from '../support/cli.ts';
import { withService } from '../support/client.ts';
import type { TestService } from '../support/service.ts';

const execute = promisify(execFile);
const PACKAGE = path.join(ROOT, 'packages', 'client');

describe('the package of the client', () => {
  let service: TestService;
  let folder: string;
  let tarball: string;
  let installed: string;

  withService(async (started) => {
    ({ service } = started);
    await started.client.newUser('ada', 'bakery', 'garage');
  });
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-package-'));
    const pack = ['pack', PACKAGE, '--json', '--ignore-scripts', '--pack-destination', folder];
    const [packed] = JSON.parse((await execute('npm', pack, { cwd: ROOT })).stdout) as { filename: string }[];
    tarball = path.join(folder, packed?.filename ?? '');
    installed = path.join(folder, 'user');
    await mkdir(installed);
    await writeFile(path.join(installed, 'package.json'), '{"name": "user", "private": true, "type": "module"}');
    await execute('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], {
      cwd: installed,
      // An empty cache: what another project fetched must not help.
      env: { ...process.env, npm_config_cache: path.join(folder, 'cache') },
    });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('is clean by publint and attw', async () => {
    const { messages } = await publint({ pack: { tarball: await tarballBuffer() }, strict: true });
    expect(messages).to.deep.equal([]);
    const attw = path.join(ROOT, 'node_modules', '.bin', 'attw');
    const { stdout } = await execute(attw, [tarball, '--profile', 'esm-only', '--format', 'json']);
    expect(
      (JSON.parse(stdout) as { analysis: { problems: { resolutionKind: string }[] } }).analysis.problems.filter(
        ({ resolutionKind }) => !['node10', 'node16-cjs'].includes(resolutionKind),
      ),
    ).to.deep.equal([]);
  });
  const tarballBuffer = async (): Promise<ArrayBuffer> => new Uint8Array(await readFile(tarball)).buffer;

  it('needs no other package, and is imported and required', async () => {
    const listed = JSON.parse((await execute('npm', ['ls', '--all', '--json'], { cwd: installed })).stdout);
    expect(Object.keys(listed.dependencies)).to.deep.equal(['@iqra/authz']);
    // Frameworks are peers that may be absent: what is installed has a version.
    const peers = Object.values(listed.dependencies['@iqra/authz'].dependencies ?? {}) as { version?: string }[];
    expect(peers.filter(({ version }) => version !== undefined)).to.deep.equal([]);
    const script = `
      import { createRequire } from 'node:module';
      const names = ['', '/koa', '/express', '/fastify', '/testing'].map((name) => '@iqra/authz' + name);
      const imported = await Promise.all(names.map((name) => import(name)));
      const required = names.map(createRequire(import.meta.url));
      console.log(JSON.stringify(imported.map((one, at) => [Object.keys(one), one.createClient === required[at].createClient])));`;
    await writeFile(path.join(installed, 'all.mjs'), script);
    const { stdout } = await execute(process.execPath, ['all.mjs'], { cwd: installed });
    expect(JSON.parse(stdout)).to.deep.equal([
      [
        [
          'AuthzError',
          'BadQuestion',
          'NotPermitted',
          'TimedOut',
          'Unavailable',
          'createClient',
          'refusalOfDenial',
          'refusalOfFailure',
        ],
        true,
      ],
      [['koaAuthz'], true],
      [['expressAuthz'], true],
      [['fastifyAuthz'], true],
      [['createTestClient'], true],
    ]);
  });

  it('does what its README shows', async () => {
    const readme = await readFile(path.join(PACKAGE, 'README.md'), 'utf8');
    const blocks = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, block = '']) => block);
    expect(blocks).to.have.length(8);
    for (const name of ['koa', '@koa', 'express', 'fastify'])
      await symlink(path.join(ROOT, 'node_modules', name), path.join(installed, 'node_modules', name));
    const ports = await freePorts(blocks.length);
    for (const [at, block] of blocks.entries())
      await writeFile(
        path.join(installed, `block-${at}.mjs`),
        block
          .replaceAll('http://127.0.0.1:8080', service.address)
          .replaceAll('3000', String(ports[at]))
          // A busy machine may take longer than is good in production.
          .replaceAll('process.env.AUTHZ_TOKEN })', 'process.env.AUTHZ_TOKEN, deadlineMs: 60_000 })')
          .replaceAll(/deadlineMs: [25]000/g, 'deadlineMs: 60_000'),
      );
    // What the blocks print, then what their services answer.
    await writeFile(
      path.join(installed, 'blocks.mjs'),
      `
      for (let at = 0; at < ${blocks.length}; at += 1) await import(\`./block-\${at}.mjs\`);
      for (const port of ${JSON.stringify(ports.slice(1, 4))}) {
        const ask = async (path, headers = {}) => {
          const response = await fetch(\`http://127.0.0.1:\${port}\${path}\`, { headers });
          const { askedBy, up, Code } = await response.json();
          console.log(response.status, askedBy ?? up ?? Code);
        };
        await ask('/health');
        await ask('/businesses/bakery/calls');
        await ask('/businesses/bakery/calls', { authorization: 'Token ' + process.env.API_KEY });
        await ask('/businesses/florist/calls', { authorization: 'Token ' + process.env.API_KEY });
      }
      process.exit();`,
    );
    const key = await service.ask('/keys', { userId: 'ada', friendlyName: 'x', allowUserManagementApiRequests: false });
    const {
      apiKey,
      key: { id },
    } = key.body.Data as { apiKey: string; key: { id: string } };
    const { stdout } = await execute(process.execPath, ['blocks.mjs'], {
      cwd: installed,
      env: { ...process.env, API_KEY: apiKey, AUTHZ_TOKEN: service.token, ADMIN_TOKEN: service.token },
    });
    const served = ['200 true', '401 INVALID_API_KEY', `200 ${id}`, '403 PERMISSION_DENIED'];
    expect(stdout.trim().split('\n')).to.deep.equal([
      `${id} may; ${2 ** 31 - 2} requests are left`,
      'call:read OK true',
      'call:read OK true',
      'call:read PERMISSION_DENIED true',
      "[ 'bakery', 'garage' ]",
      '503 for my client: Unavailable',
      'true',
      'OK,Unavailable,TimedOut 3',
      ...served,
      ...served,
      ...served,
    ]);
  });
});

/** Ports that nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = servers.map(async (server) => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  });
  const found = await Promise.all(ports);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return found;
}
