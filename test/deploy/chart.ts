/** Renders deploy/chart with the real helm, where .ci/run has fetched it, and mounts what it rendered as a kubelet would. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
  // biome-ignore lint/suspicious/noExplicitAny: what is asked of it differs by kind; types.test holds it against Kubernetes' types
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

/** The files of a projected volume, by their paths. @throws where it names a ConfigMap or a key that there is not, as a kubelet does */
export function filesOf(
  // biome-ignore lint/suspicious/noExplicitAny: part of a KubeObject
  volume: any,
  configMaps: readonly KubeObject[],
): Map<string, string> {
  const files = new Map<string, string>();
  for (const { configMap } of volume.projected.sources) {
    const data = configMaps.find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMap.name,
    )?.data;
    if (!data) throw new Error(`there is no ConfigMap ${configMap.name}`);
    const items: { key: string; path: string }[] =
      configMap.items ?? Object.keys(data).map((key) => ({ key, path: key }));
    for (const { key, path } of items) {
      const text = data[key];
      if (text === undefined) throw new Error(`${configMap.name} has no key ${key}`);
      files.set(path, text);
    }
  }
  return files;
}

let versions = 0;

/**
 * Writes files into a folder as a kubelet updates a volume: into a folder of their own, to which the link `..data` is then
 * turned in one step; what is seen in the folder are links through it.
 */
export function mount(folder: string, files: ReadonlyMap<string, string>): void {
  versions += 1;
  const version = `..2026_01_01_00_00_00.${versions}`;
  for (const [name, text] of files) {
    const file = path.join(folder, version, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  symlinkSync(version, path.join(folder, '..data_tmp'));
  renameSync(path.join(folder, '..data_tmp'), path.join(folder, '..data'));
  const entries = new Set([...files.keys()].map((name) => name.split('/')[0] ?? ''));
  const seen = readdirSync(folder).filter((name) => !name.startsWith('..'));
  for (const name of seen) if (!entries.has(name)) rmSync(path.join(folder, name));
  for (const name of entries) if (!seen.includes(name)) symlinkSync(path.join('..data', name), path.join(folder, name));
  for (const name of readdirSync(folder))
    if (name.startsWith('..2') && name !== version) rmSync(path.join(folder, name), { recursive: true });
}
