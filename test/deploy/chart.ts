/** Renders deploy/chart with the real helm, where CI has fetched it, and finds its way among the objects. */

import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { ENVIRONMENT, ROOT } from '../support/cli.ts';
import { TOOLS } from './tools/fetch.mjs';

export const CHART = path.join(ROOT, 'deploy', 'chart');
export { TOOLS };

export const HELM = path.join(TOOLS, 'bin', 'helm');
export const KUBECTL = path.join(TOOLS, 'bin', 'kubectl');

/** `describe`, or a skipped suite that says how to get what it needs. */
export const describeWithTools = (title: string, body: (this: Mocha.Suite) => void): unknown =>
  existsSync(HELM)
    ? describe(title, body)
    : describe.skip(`${title} (SKIPPED: no helm; node test/deploy/tools/fetch.mjs fetches it)`, body);

// helm writes to the cache of its user.
const env = { ...ENVIRONMENT, HELM_CACHE_HOME: path.join(TOOLS, 'helm'), HELM_CONFIG_HOME: path.join(TOOLS, 'helm') };

/** What helm prints; on its standard error it speaks of each symbolic link. @throws what it writes there, where it fails */
export function helm(...args: readonly string[]): string {
  try {
    return execFileSync(HELM, args, { env, encoding: 'utf8', stdio: 'pipe', maxBuffer: 2 ** 24 });
  } catch (error) {
    throw new Error((error as { stderr: string }).stderr.replace(/^level=INFO.*\n/gm, ''));
  }
}

/** Part of an object of Kubernetes, as far as the tests look into it. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: what is asked of it differs by kind; chart.test.ts holds it against Kubernetes' types
  readonly spec: any;
  readonly data?: Readonly<Record<string, string>>;
}

/** The objects of a release of that name. `values` as in a file of values. */
export function render(values: object = {}, release = 'prod'): KubeObject[] {
  const file = path.join(TOOLS, `values-${process.pid}.json`);
  writeFileSync(file, JSON.stringify(values));
  try {
    return objectsOf(helm('template', release, CHART, '--namespace', 'authz', '--values', file));
  } finally {
    rmSync(file);
  }
}

export const objectsOf = (text: string): KubeObject[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);

/** Values that turn on all that can be. */
export const ALL = {
  settings: { RATE_LIMIT: '600/60', MAX_CONNECTIONS: 1_000_000, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318' },
  secrets: Object.fromEntries(
    ['REDIS_URL', 'AUDIT_SIGNING_KEY', 'FINDINGS_WEBHOOK_URL', 'FINDINGS_WEBHOOK_SECRET'].map((name) => [
      name,
      { name: 'other', key: name },
    ]),
  ),
  image: { digest: `sha256:${'a'.repeat(64)}` },
  imagePullSecrets: [{ name: 'registry' }],
  autoscaling: { enabled: true },
  checkpoints: { claim: 'checkpoints' },
  networkPolicy: {
    administrators: [{ podSelector: { matchLabels: { app: 'console' } } }],
    postgresql: { to: [{ ipBlock: { cidr: '10.1.0.0/16' } }] },
    egress: [{ ports: [{ port: 8443, protocol: 'TCP' }] }],
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

/** The only object of a kind whose name ends so. */
export const one = (objects: readonly KubeObject[], kind: string, suffix = ''): KubeObject => {
  const [found, ...more] = objects.filter((object) => object.kind === kind && object.metadata.name.endsWith(suffix));
  if (!found || more.length > 0) throw new Error(`${more.length + (found ? 1 : 0)} ${kind} *${suffix}`);
  return found;
};
/** The specification of the pods of a Deployment, a Job or a Pod. */
export const podOf = ({ kind, metadata, spec }: KubeObject) => (kind === 'Pod' ? { metadata, spec } : spec.template);
export const pods = (objects: readonly KubeObject[]) =>
  objects.filter(({ kind }) => ['Deployment', 'Job', 'Pod'].includes(kind)).map(podOf);
export const containersOf = ({ spec }: { spec: KubeObject['spec'] }) => [
  ...(spec.initContainers ?? []),
  ...spec.containers,
];
