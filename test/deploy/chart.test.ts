/** deploy/chart as helm renders it: what it refuses, and what Kubernetes, kubectl and kustomize would take. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { describeConfig } from '../../src/config.ts';
import { readPolicyFolder } from '../../src/rollout/folder.ts';
import { ROOT } from '../support/cli.ts';
import {
  ALL,
  CHART,
  describeWithTools,
  helm,
  KUBECTL,
  type KubeObject,
  objectsOf,
  one,
  podOf,
  pods,
  render,
  TOOLS,
} from './chart.ts';
import { filesOf } from './kubelet.ts';

const POLICY = path.join(ROOT, 'policies');

/** Why values are refused. */
function refusal(values: object): string {
  try {
    render(values);
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

/** Whether a setting is read from a file, too: one that is not there is then refused. */
function isSecret(name: string): boolean {
  try {
    describeConfig({ [`${name}_FILE`]: '/nowhere' });
    return false;
  } catch {
    return true;
  }
}

describeWithTools('deploy/chart', () => {
  let plain: KubeObject[];
  let all: KubeObject[];
  before(() => {
    plain = render();
    all = render(ALL);
  });

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
      'no node could be drained': { replicas: 2 },
      'of replicas (2)': { autoscaling: { enabled: true, minReplicas: 2 } },
      "missing property 'key'": { secrets: { REDIS_URL: { name: 'x' } } },
    };
    for (const [message, values] of Object.entries(wrong))
      expect(refusal(values), JSON.stringify(values)).to.include(message);
    expect(secretSettings()).to.include.members(['DATABASE_URL', 'KEY_PEPPERS', 'REDIS_URL']);
    for (const name of secretSettings())
      expect(refusal({ settings: { [name]: 'x' } }), name).to.include('invalid propertyName');
  });

  const secretSettings = (): string[] =>
    describeConfig({})
      .map(({ name }) => name)
      .filter(isSecret);

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
