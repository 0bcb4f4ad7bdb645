/**
 * deploy/compose.yaml: what holds for each of its services; its secrets, as docs/deploy.md makes them; its login, in a real PostgreSQL; and
 * its nginx, before two replicas of which one is stopped.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Ajv } from 'ajv';
import { expect } from 'chai';
import { parse } from 'yaml';
import { describeConfig } from '../../src/config.ts';
import { connect } from '../../src/db/connect.ts';
import { ROOT } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { eventually } from '../support/embedded.ts';
import { versionOf } from '../support/gateways.ts';
import { newDatabase } from '../support/postgres.ts';
import { freePort } from '../support/redis.ts';
import { startService } from '../support/service.ts';
import { describeWithTools, TOOLS } from './chart.ts';

interface Service {
  readonly image: string;
  readonly build?: object;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks: readonly string[] | Readonly<Record<string, { ipv4_address: string }>>;
  readonly depends_on?: Readonly<Record<string, { condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[] };
  readonly stop_grace_period?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { internal?: boolean }>>;
  readonly volumes: object;
  readonly secrets: Readonly<Record<string, { file: string }>>;
}

const DEPLOY = path.join(ROOT, 'deploy');
const read = (...names: string[]): string => readFileSync(path.join(DEPLOY, ...names), 'utf8');
const compose = parse(read('compose.yaml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const serviceOf = (name: string): Service => compose.services[name] as Service;

describe('deploy/compose.yaml', () => {
  it('pins each image, and runs each service read-only, without capabilities', () => {
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    for (const [name, service] of services) {
      if (service.build) expect(service.image, name).to.equal(`iqra-authz:${version}`);
      else expect(service.image, name).to.match(/^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
      expect(service.read_only, name).to.equal(true);
      expect(service.cap_drop, name).to.deep.equal(['ALL']);
      expect(service.security_opt, name).to.deep.equal(['no-new-privileges:true']);
      // Those of the images themselves: ours, and Prometheus' nobody.
      if (!service.build && name !== 'prometheus') expect(service.user, name).to.match(/^[1-9]\d*:[1-9]\d*$/);
      for (const port of service.ports ?? []) expect(port, name).to.match(/^127\.0\.0\.1:/);
    }
  });

  describeWithTools('by the schema of compose files', () => {
    it('has no key that there is not', () => {
      const file = path.join(TOOLS, 'node_modules', 'dclint', 'schemas', 'compose.schema.json');
      const { $schema: _, ...schema } = JSON.parse(readFileSync(file, 'utf8'));
      const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
      expect(validate(compose), JSON.stringify(validate.errors)).to.equal(true);
      const misspelt = { ...serviceOf('redis'), stop_grace_time: '1s' };
      expect(validate({ ...compose, services: { redis: misspelt } })).to.equal(false);
    });
  });

  it('refers only to what there is', () => {
    for (const [name, { secrets = [], volumes = [], networks, depends_on = {} }] of services) {
      expect(Object.keys(compose.secrets), name).to.include.members([...secrets]);
      const used = Array.isArray(networks) ? networks : Object.keys(networks);
      expect(Object.keys(compose.networks), name).to.include.members(used);
      for (const [other, { condition }] of Object.entries(depends_on)) {
        expect(compose.services, name).to.have.property(other);
        if (condition === 'service_healthy') expect(serviceOf(other).healthcheck?.test?.[0], other).to.equal('CMD');
      }
      for (const volume of volumes) {
        const [source = ''] = volume.split(':');
        if (source.startsWith('.')) expect(existsSync(path.join(DEPLOY, source)), source).to.equal(true);
        else expect(compose.volumes, name).to.have.property(source);
      }
    }
  });

  it('has two replicas that are the same, after the migration, with settings that there are', () => {
    expect(serviceOf('authz-1')).to.deep.equal(serviceOf('authz-2'));
    expect(serviceOf('authz-1').depends_on?.['migrate']).to.deep.equal({ condition: 'service_completed_successfully' });
    const names = describeConfig({}).map(({ name }) => name);
    for (const name of ['authz-1', 'migrate']) {
      for (const [variable, value] of Object.entries(serviceOf(name).environment ?? {})) {
        const [, setting] = /^(.*)_FILE$/.exec(variable) ?? [];
        expect(names).to.include(setting ?? variable);
        if (setting !== undefined)
          expect(serviceOf(name).secrets?.map((one) => `/run/secrets/${one}`)).to.include(value);
      }
    }
    const { edge } = serviceOf('nginx').networks as Record<string, { ipv4_address: string }>;
    expect(serviceOf('authz-1').environment?.['TRUSTED_PROXIES']).to.equal(edge?.ipv4_address);
    expect(serviceOf('authz-1').stop_grace_period).to.equal('30s');
  });

  it('keeps the database and Redis from the outside, and the port of administration on none', () => {
    expect(compose.networks['data']).to.deep.equal({ internal: true });
    for (const name of ['postgres', 'redis']) {
      expect(serviceOf(name).networks).to.deep.equal(['data']);
      expect(serviceOf(name).ports).to.equal(undefined);
    }
    expect(services.filter(([, { ports }]) => ports).map(([name]) => name)).to.deep.equal(['nginx', 'prometheus']);
    expect(read('compose', 'nginx.conf')).to.not.include('9090');
  });

  it('has Prometheus scrape both replicas by the name that the alerts go by, and load the alerts', () => {
    const { rule_files, scrape_configs } = parse(read('compose', 'prometheus.yml'));
    expect(scrape_configs).to.have.length(1);
    expect(scrape_configs[0].job_name).to.equal('iqra-authz');
    expect(read('prometheus-alerts.yml')).to.include('job="iqra-authz"');
    expect(scrape_configs[0].static_configs[0].targets).to.deep.equal(['authz-1:9090', 'authz-2:9090']);
    const mounted = serviceOf('prometheus').volumes?.map((volume) => volume.split(':')[1]);
    expect(mounted).to.include(`/etc/prometheus/${rule_files[0]}`);
  });

  const psql = spawnSync('psql', ['--version']).status === 0;
  (psql ? it : it.skip)(
    `makes a login of the replicas by its password${psql ? '' : ' (SKIPPED: no psql)'}`,
    async () => {
      const url = await newDatabase();
      const folder = mkdtempSync(path.join(tmpdir(), 'authz-login-'));
      const role = `compose_${process.pid}`;
      try {
        writeFileSync(path.join(folder, 'service_password'), "pa'ss\n");
        // Roles are of the whole server, and authz_service is there.
        const script = read('compose', 'login.sql')
          .replaceAll('authz_service', `${role}_service`)
          .replaceAll('authz_prod', `${role}_prod`)
          .replaceAll('/run/secrets', folder);
        const run = spawnSync('psql', [url, '--no-psqlrc', '--quiet'], { input: script, encoding: 'utf8' });
        expect(run.status, run.stderr).to.equal(0);
        const login = new URL(url);
        [login.username, login.password] = [`${role}_prod`, "pa'ss"];
        const db = connect({ url: login.href, poolSize: 1 });
        const { rows } = await db.raw(`select pg_has_role('${role}_service', 'member') as member`);
        await db.destroy();
        expect(rows).to.deep.equal([{ member: true }]);
      } finally {
        const owner = connect({ url, poolSize: 1 });
        await owner.raw(`drop role if exists ${role}_prod; drop role if exists ${role}_service`);
        await owner.destroy();
        rmSync(folder, { recursive: true });
      }
    },
  );

  const nginx = versionOf('nginx');
  const title = 'its nginx';
  (nginx === undefined ? describe.skip : describe)(nginx ? title : `${title} (SKIPPED: no nginx)`, () => {
    it('answers each question while a replica stops, and asks both', async () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'authz-compose-'));
      const port = await freePort();
      const url = await newDatabase();
      const secret = { KEY_PEPPERS: `p1:${Buffer.alloc(32, 3).toString('base64')}`, BOOTSTRAP_TOKEN: 'x'.repeat(32) };
      const replicas = [
        await startService({ ...secret, DATABASE_URL: url, TRUSTED_PROXIES: '127.0.0.1' }),
        await startService({ ...secret, DATABASE_URL: url, TRUSTED_PROXIES: '127.0.0.1' }),
      ] as const;
      const [one, two] = replicas;
      let config = read('compose', 'nginx.conf');
      for (const [from, to] of [
        ['authz-1:8080', new URL(one.address).host],
        ['authz-2:8080', new URL(two.address).host],
        ['listen 8080', `listen 127.0.0.1:${port}`],
        ['/tmp/', `${folder}/`],
        ['worker_processes auto', 'worker_processes 1'],
      ] as const) {
        expect(config).to.include(from);
        config = config.replaceAll(from, to);
      }
      writeFileSync(path.join(folder, 'nginx.conf'), config);
      const args = ['-e', 'stderr', '-c', path.join(folder, 'nginx.conf'), '-g', 'daemon off;'];
      const child = spawn('nginx', args, { env: { PATH: `${process.env['PATH']}:/usr/sbin` } });
      let log = '';
      child.stderr.on('data', (chunk) => (log += chunk));
      try {
        const client = clientOf(one);
        await client.newUser('ada', 'bakery');
        const { apiKey } = await client.newKey('ada');
        const ask = async (): Promise<number> => {
          const answer = await fetch(`http://127.0.0.1:${port}/authorize`, {
            method: 'POST',
            headers: { Authorization: `Bearer ${one.token}`, 'Content-Type': 'application/json' },
            body: JSON.stringify({ apiKey, action: 'call:create', businessId: 'bakery' }),
          });
          await answer.text();
          return answer.status;
        };
        await eventually(async () => ((await ask()) === 200 ? true : undefined));
        const asked: number[] = [];
        let stopping = true;
        const clients = [1, 2, 3, 4].map(async () => {
          while (stopping || asked.length < 40) asked.push(await ask());
        });
        await eventually(() =>
          replicas.every(({ service }) => service.recorder.stats().recorded > 0) ? true : undefined,
        );
        await one.close();
        stopping = false;
        await Promise.all(clients);
        expect(
          asked.filter((status) => status !== 200),
          log,
        ).to.deep.equal([]);
      } finally {
        child.kill();
        if (child.exitCode === null) await once(child, 'close');
        for (const replica of replicas) await replica.close();
        rmSync(folder, { recursive: true, force: true });
      }
    });
  });
});
