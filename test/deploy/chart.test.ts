/** deploy/chart as helm renders it: what Kubernetes would take, what it would run and whom it would let in. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { describeConfig } from '../../src/config.ts';
import { loadPolicy, readPolicyFolder } from '../../src/rollout/folder.ts';
import { ROOT } from '../support/cli.ts';
import {
  CHART,
  describeWithTools,
  filesOf,
  helm,
  KUBECTL,
  type KubeObject,
  mount,
  objectsOf,
  render,
  TOOLS,
} from './chart.ts';

/** Why values are refused. */
function refusal(values: object): string {
  try {
    render(values);
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

/** All that can be turned on. */
const ALL = {
  settings: { RATE_LIMIT: '600/60', MAX_CONNECTIONS: 1_000_000, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318' },
  secrets: Object.fromEntries(
    ['REDIS_URL', 'AUDIT_SIGNING_KEY', 'BOOTSTRAP_TOKEN'].map((name) => [name, { name: 'other', key: name }]),
  ),
  image: { digest: `sha256:${'a'.repeat(64)}` },
  imagePullSecrets: [{ name: 'registry' }],
  autoscaling: { enabled: true },
  checkpoints: { claim: 'checkpoints' },
  networkPolicy: {
    administrators: [{ podSelector: { matchLabels: { app: 'console' } } }],
    postgresql: { to: [{ ipBlock: { cidr: '10.1.0.0/16' } }] },
    egress: [{ ports: [{ port: 443, protocol: 'TCP' }] }],
  },
  monitoring: {
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    rules: { enabled: true },
    dashboard: { enabled: true },
  },
  podLabels: { team: 'security' },
  podAnnotations: { note: 'x' },
  nodeSelector: { disk: 'ssd' },
  tolerations: [{ key: 'authz', operator: 'Exists' }],
  priorityClassName: 'high',
};

const POLICY = path.join(ROOT, 'policies');

describeWithTools('deploy/chart', () => {
  let plain: KubeObject[];
  let all: KubeObject[];
  before(() => {
    plain = render();
    all = render(ALL);
  });

  const one = (objects: readonly KubeObject[], kind: string, suffix = ''): KubeObject => {
    const [found, ...more] = objects.filter((object) => object.kind === kind && object.metadata.name.endsWith(suffix));
    if (!found || more.length > 0) throw new Error(`${more.length + (found ? 1 : 0)} ${kind} *${suffix}`);
    return found;
  };
  /** The specification of the pods of a Deployment, a Job or a Pod. */
  const podOf = ({ kind, metadata, spec }: KubeObject) => (kind === 'Pod' ? { metadata, spec } : spec.template);
  const pods = (objects: readonly KubeObject[]) =>
    objects.filter(({ kind }) => ['Deployment', 'Job', 'Pod'].includes(kind)).map(podOf);
  const containersOf = ({ spec }: { spec: KubeObject['spec'] }) => [...(spec.initContainers ?? []), ...spec.containers];

  it('passes helm lint, has the version of the package and is packaged with what its links lead to', () => {
    expect(helm('lint', '--strict', CHART)).to.include('0 chart(s) failed');
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    expect(parse(readFileSync(path.join(CHART, 'Chart.yaml'), 'utf8'))).to.include({ version, appVersion: version });
    const folder = mkdtempSync(path.join(tmpdir(), 'authz-chart-'));
    try {
      helm('package', CHART, '--destination', folder);
      const packed = path.join(folder, `iqra-authz-${version}.tgz`);
      expect(objectsOf(helm('template', 'prod', packed, '--namespace', 'authz'))).to.deep.equal(plain);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses values that it does not know, secrets among the settings, and what would undo itself', () => {
    const wrong = {
      'additional properties': { replica: 3 },
      "invalid propertyName 'KEY_PEPPERS'": { settings: { KEY_PEPPERS: 'p1:x' } },
      "invalid propertyName 'DRAIN_DELAY_MS'": { settings: { DRAIN_DELAY_MS: 10 } },
      'got boolean': { settings: { FAST_PATH: true } },
      'does not match pattern': { image: { digest: 'sha256:abc' } },
      'minItems: got 0': { networkPolicy: { callers: [] } },
      'minProperties: got 0': { networkPolicy: { callers: [{}] } },
      'minimum: got 0': { disruption: { minAvailable: 0 } },
      "missing property 'key'": { secrets: { REDIS_URL: { name: 'x' } } },
    };
    for (const [message, values] of Object.entries(wrong))
      expect(refusal(values), JSON.stringify(values)).to.include(message);
    for (const name of secretSettings())
      expect(refusal({ settings: { [name]: 'x' } }), name).to.include('invalid propertyName');
  });

  /** As src/config.ts marks them. */
  const secretSettings = (): string[] => {
    const source = readFileSync(path.join(ROOT, 'src', 'config.ts'), 'utf8');
    const names = describeConfig({}).map(({ name }) => name);
    const found = names.filter((name) =>
      new RegExp(`^  ${name}: \\{(?:(?!\\n  [A-Z}]).)*\\bsecret: true`, 'ms').test(source),
    );
    expect(found).to.include.members(['DATABASE_URL', 'KEY_PEPPERS', 'BOOTSTRAP_TOKEN', 'REDIS_URL']);
    return found;
  };

  it('makes objects that have no field that Kubernetes does not know', function () {
    this.timeout(120_000);
    expect(typeFaults([...plain, ...all])).to.equal('');
    // As a guard of this test: `validate()` of the same library takes a field that there is not.
    const [pod] = pods(plain);
    const misspelt = { ...pod.spec, terminationGracePeriodSecond: 30 };
    const deployment = one(plain, 'Deployment');
    const { template } = deployment.spec;
    const spec = { ...deployment.spec, template: { ...template, spec: misspelt } };
    expect(typeFaults([{ ...deployment, spec }])).to.match(/ error TS.*'?terminationGracePeriodSecond\b/s);
  });

  it('runs every pod restricted, on a read-only root, without a token of the API and with what it mounts', () => {
    for (const objects of [plain, all]) {
      expect(pods(objects)).to.have.length(3);
      for (const pod of pods(objects)) {
        expect(pod.spec).to.include({ automountServiceAccountToken: false });
        expect(pod.spec.securityContext).to.deep.include({
          ...{ runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        });
        for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) expect(pod.spec).to.not.have.property(key);
        const volumes = (pod.spec.volumes ?? []).map(({ name }: { name: string }) => name);
        for (const container of containersOf(pod)) {
          expect(container.securityContext).to.deep.equal({
            ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          });
          expect(container).to.not.have.property('command');
          for (const { name } of container.volumeMounts ?? []) expect(volumes).to.include(name);
        }
      }
    }
    expect(
      pods(all)
        .flatMap(containersOf)
        .map(({ image }) => image),
    ).to.include(`iqra-authz@sha256:${'a'.repeat(64)}`);
  });

  it('gives each pod settings that there are, and secrets by reference alone', () => {
    const names = new Set(describeConfig({}).map(({ name }) => name));
    for (const pod of pods(all)) {
      const secrets =
        pod.spec.volumes?.find(({ name }: { name: string }) => name === 'secrets')?.projected.sources ?? [];
      const files = secrets.map(({ secret }: KubeObject['spec']) => `/run/secrets/iqra-authz/${secret.items[0].path}`);
      for (const { name, value, valueFrom } of containersOf(pod).flatMap(({ env = [] }) => env)) {
        expect(valueFrom?.secretKeyRef, name).to.equal(undefined);
        if (name === 'POD' || name.startsWith('OTEL_')) continue;
        const [, setting] = /^(.*)_FILE$/.exec(name) ?? [];
        expect([...names], name).to.include(setting ?? name);
        if (setting !== undefined) expect(files).to.include(value);
      }
    }
    const { env } = podOf(one(all, 'Deployment')).spec.containers[0];
    expect(env).to.deep.include({ name: 'MAX_CONNECTIONS', value: '1000000' });
    expect(JSON.stringify(all.filter(({ kind }) => kind === 'Secret'))).to.equal('[]');
  });

  it('stops a pod within its grace period, and only once another is ready', () => {
    for (const stop of [undefined, { preStop: 10, drain: 20, limit: 30 }]) {
      const { spec } = one(render(stop && { stop }), 'Deployment');
      const [{ env, lifecycle }] = spec.template.spec.containers;
      const ms = (name: string) => Number(env.find((one: { name: string }) => one.name === name).value);
      const needed = lifecycle.preStop.sleep.seconds + (ms('DRAIN_DELAY_MS') + ms('SHUTDOWN_LIMIT_MS')) / 1000;
      expect(lifecycle.preStop.sleep.seconds).to.be.above(0);
      expect(spec.template.spec.terminationGracePeriodSeconds).to.be.at.least(needed + 10);
      expect(spec.strategy.rollingUpdate).to.deep.equal({ maxUnavailable: 0, maxSurge: 1 });
      expect(spec.replicas).to.be.above(one(plain, 'PodDisruptionBudget').spec.minAvailable);
    }
    expect(one(all, 'Deployment').spec).to.not.have.property('replicas');
  });

  it('selects the pods of the service with all that goes by labels, and no others', () => {
    const labels = podOf(one(all, 'Deployment')).metadata.labels;
    const others = pods(all)
      .map((pod) => pod.metadata.labels)
      .filter((other) => other !== labels);
    const matches = (selector: object, of: Record<string, string>): boolean =>
      Object.entries(selector).every(([key, value]) => of[key] === value);
    const selectors = [
      one(all, 'Deployment').spec.selector.matchLabels,
      one(all, 'Service').spec.selector,
      one(all, 'PodDisruptionBudget').spec.selector.matchLabels,
      one(all, 'NetworkPolicy', 'authz').spec.podSelector.matchLabels,
      ...podOf(one(all, 'Deployment')).spec.topologySpreadConstraints.map(
        ({ labelSelector }: KubeObject['spec']) => labelSelector.matchLabels,
      ),
    ];
    for (const selector of selectors) {
      expect(matches(selector, labels), JSON.stringify(selector)).to.equal(true);
      expect(
        others.some((other) => matches(selector, other)),
        JSON.stringify(selector),
      ).to.equal(false);
    }
    const monitor = one(all, 'ServiceMonitor').spec;
    const service = one(all, 'Service');
    expect(matches(monitor.selector.matchLabels, { ...service.metadata.labels })).to.equal(true);
    // The alerts say job="iqra-authz".
    expect(service.metadata.labels[monitor.jobLabel]).to.equal('iqra-authz');
    const ports = podOf(one(all, 'Deployment')).spec.containers[0].ports.map(({ name }: { name: string }) => name);
    const { startupProbe, livenessProbe, readinessProbe } = podOf(one(all, 'Deployment')).spec.containers[0];
    for (const probe of [startupProbe, livenessProbe, readinessProbe]) expect(ports).to.include(probe.httpGet.port);
    for (const { targetPort } of service.spec.ports) expect(ports).to.include(targetPort);
    const served = service.spec.ports.map(({ name }: { name: string }) => name);
    for (const { port } of monitor.endpoints) expect(served).to.include(port);
  });

  it('lets in callers, and to the port of administration who is named; and out to what is configured', () => {
    const rulesOf = (objects: readonly KubeObject[]) => one(objects, 'NetworkPolicy', 'authz').spec;
    const ports = ({ ports: list }: KubeObject['spec']) => list.map(({ port }: { port: unknown }) => port);
    for (const objects of [plain, all]) {
      expect(rulesOf(objects).policyTypes).to.deep.equal(['Ingress', 'Egress']);
      expect(rulesOf(objects).ingress.map(ports)).to.deep.equal([['http'], ['admin']]);
      // A rule without peers would let in everybody.
      for (const { from } of rulesOf(objects).ingress) expect(from.length).to.be.above(0);
    }
    const adminPeers = JSON.stringify(rulesOf(plain).ingress[1].from);
    expect(adminPeers).to.include('monitoring').and.not.include('iqra-authz/caller');
    expect(JSON.stringify(rulesOf(all).ingress[1].from)).to.include('console');
    expect(rulesOf(plain).egress.map(ports)).to.deep.equal([[5432], [53, 53]]);
    expect(rulesOf(all).egress.map(ports)).to.deep.equal([[5432], [6379], [4318], [53, 53], [443]]);
    expect(rulesOf(all).egress[0].to).to.deep.equal([{ ipBlock: { cidr: '10.1.0.0/16' } }]);
    expect(one(plain, 'NetworkPolicy', 'migration').spec.egress.map(ports)).to.deep.equal([[5432], [53, 53]]);
    expect(render({ networkPolicy: { enabled: false } }).filter(({ kind }) => kind === 'NetworkPolicy')).to.deep.equal(
      [],
    );
  });

  it('checks the policy that is to come and migrates before anything of the release changes', () => {
    const hooks = plain.filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === 'pre-install,pre-upgrade');
    const weight = ({ metadata }: KubeObject) => Number(metadata.annotations?.['helm.sh/hook-weight'] ?? 0);
    const job = one(hooks, 'Job');
    for (const hook of hooks.filter((other) => other !== job)) expect(weight(hook)).to.be.below(weight(job));
    const { initContainers, containers, volumes, restartPolicy } = podOf(job).spec;
    expect(restartPolicy).to.equal('Never');
    expect(initContainers.map(({ args }: KubeObject['spec']) => args[1])).to.deep.equal(['check']);
    expect(containers.map(({ args }: KubeObject['spec']) => args)).to.deep.equal([['migrate', '--roles']]);
    // The owner's URL is for the job alone, and the job needs no pepper.
    const owner = JSON.stringify(volumes);
    expect(owner).to.include('"iqra-authz-owner"').and.not.include('key-peppers');
    expect(JSON.stringify(podOf(one(plain, 'Deployment')))).to.not.include('iqra-authz-owner');
    expect(filesOf(volumes[0], hooks)).to.deep.equal(filesOf(podOf(one(plain, 'Deployment')).spec.volumes[0], plain));
    expect(render({ migration: { enabled: false } }).filter(({ kind }) => kind === 'Job')).to.deep.equal([]);
  });

  it('mounts the policy folder as it is, cases too', async () => {
    const files = filesOf(podOf(one(plain, 'Deployment')).spec.volumes[0], plain);
    expect(files).to.deep.equal(new Map(await readPolicyFolder(POLICY)));
    const folder = mkdtempSync(path.join(tmpdir(), 'authz-mounted-'));
    try {
      mount(folder, files);
      expect((await loadPolicy(folder)).digest).to.equal((await loadPolicy(POLICY)).digest);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('mounts ConfigMaps of yours, as kubectl makes them of a folder', async () => {
    const configMap = (name: string, folder: string): KubeObject[] =>
      objectsOf(
        execFileSync(
          KUBECTL,
          ['create', 'configmap', name, `--from-file=${folder}`, '--dry-run=client', '--output=yaml'],
          { encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: TOOLS } },
        ),
      );
    const made = [...configMap('mine', POLICY), ...configMap('my-cases', path.join(POLICY, 'cases'))];
    const keys = readdirSync(path.join(POLICY, 'cases'));
    const objects = render({ policy: { configMap: 'mine', cases: { configMap: 'my-cases', keys } } });
    expect(objects.filter(({ kind }) => kind === 'ConfigMap')).to.deep.equal([]);
    for (const kind of ['Deployment', 'Job'])
      expect(filesOf(podOf(one(objects, kind)).spec.volumes[0], made), kind).to.deep.equal(
        new Map(await readPolicyFolder(POLICY)),
      );
  });

  it('hands on the alerts and the dashboard of deploy/ as they are', () => {
    const alerts = parse(readFileSync(path.join(ROOT, 'deploy', 'prometheus-alerts.yml'), 'utf8'));
    expect(one(all, 'PrometheusRule').spec).to.deep.equal(alerts);
    const dashboard = readFileSync(path.join(ROOT, 'deploy', 'grafana-dashboard.json'), 'utf8');
    expect(one(all, 'ConfigMap', 'dashboard').data).to.deep.equal({ 'iqra-authz.json': dashboard });
  });

  it('is patched with kustomize as any manifest is', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'authz-kustomize-'));
    try {
      writeFileSync(
        path.join(folder, 'release.yaml'),
        helm('template', 'prod', CHART, '--namespace', 'authz', '--no-hooks'),
      );
      const patch = { spec: { template: { spec: { runtimeClassName: 'gvisor' } } } };
      const kustomization = {
        namespace: 'authz',
        resources: ['release.yaml'],
        patches: [{ target: { kind: 'Deployment' }, patch: JSON.stringify({ ...TARGET, ...patch }) }],
      };
      writeFileSync(path.join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
      const built = objectsOf(execFileSync(KUBECTL, ['kustomize', folder], { encoding: 'utf8' }));
      const kinds = (objects: readonly KubeObject[]) => objects.map(({ kind }) => kind).sort();
      const release = plain.filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === undefined);
      expect(kinds(built)).to.deep.equal(kinds(release));
      expect(podOf(one(built, 'Deployment')).spec).to.deep.equal({
        ...podOf(one(plain, 'Deployment')).spec,
        runtimeClassName: 'gvisor',
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
  const TARGET = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'prod-iqra-authz' } };
});

const OPERATOR = 'monitoring.coreos.com/v1';

/** What the compiler says of the objects as literals of Kubernetes' own types, which know every field; nothing, where all is well. */
function typeFaults(objects: readonly KubeObject[]): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'authz-types-'));
  try {
    symlinkSync(path.join(TOOLS, 'node_modules'), path.join(folder, 'node_modules'));
    const lines = objects.map(({ ...object }, index) => {
      const home = object.apiVersion === OPERATOR ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models';
      const from = `${home}/${object.apiVersion}/${object.kind}`;
      return `import type { I${object.kind} as T${index} } from '${from}';\nexport const o${index}: T${index} = ${JSON.stringify(object)};`;
    });
    writeFileSync(path.join(folder, 'objects.ts'), lines.join('\n'));
    const options = {
      module: 'esnext',
      moduleResolution: 'bundler',
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: [],
    };
    writeFileSync(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: options, files: ['objects.ts'] }),
    );
    execFileSync(path.join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', folder, '--pretty', 'false'], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    return '';
  } catch (error) {
    return (error as { stdout?: string }).stdout ?? String(error);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
