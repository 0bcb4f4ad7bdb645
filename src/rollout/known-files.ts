/**
 * Network files as they were last read. A folder is looked at every two seconds; to read 64 MiB each time would keep a service
 * busy for nothing.
 */

import type { BigIntStats } from 'node:fs';

export interface KnownFiles {
  /** The text of a file, by its name in the folder, that has not changed since it was kept; undefined: read it. */
  readonly textOf: (file: string, stats: BigIntStats) => string | undefined;
  /** `stats` are from before the read, so that a write during it is seen at the next look. */
  readonly keep: (file: string, stats: BigIntStats, text: string) => void;
}

/** A write within the same tick of the file system's clock as the last one does not show; some count whole seconds. */
const SETTLED_MS = 3000;
/** However unchanged a file seems, it is read again after this time: the clocks of network mounts are their own. */
const TRUSTED_MS = 60_000;

export function createKnownFiles(now: () => number = Date.now): KnownFiles {
  const known = new Map<string, { readonly stamp: string; readonly at: number; readonly text: string }>();
  const isTrusted = ({ at }: { readonly at: number }): boolean => Math.abs(now() - at) < TRUSTED_MS;
  return {
    textOf: (file, stats) => {
      const entry = known.get(file);
      return entry?.stamp === stampOf(stats) && isTrusted(entry) ? entry.text : undefined;
    },
    keep: (file, stats, text) => {
      const at = now();
      // Those of files that are gone, too.
      for (const [name, entry] of known) if (name === file || !isTrusted(entry)) known.delete(name);
      if (at - Number(stats.ctimeMs) < SETTLED_MS || at - Number(stats.mtimeMs) < SETTLED_MS) return;
      known.set(file, { stamp: stampOf(stats), at, text });
    },
  };
}

/** ctime: unlike the others nobody can set it, so that a file of another content does not pass for this one. */
const stampOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  [dev, ino, size, mtimeNs, ctimeNs].join();
