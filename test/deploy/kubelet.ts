/** Mounts what helm rendered as a kubelet would. */

import { mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { KubeObject } from './chart.ts';

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
