/**
 * Network files as they were last read. A folder is looked at every two seconds; to read 64 MiB each time would keep a service
 * busy for nothing, and to hold them twice would cost it the memory.
 */

import type { BigIntStats } from 'node:fs';
import type { PolicyTexts } from '../policy/folder/files.ts';

export interface KnownFiles {
  /** The text of a file, by its name in the folder, that has not changed since it was kept; undefined: read it. */
  readonly textOf: (file: string, stats: BigIntStats) => string | undefined;
  /**
   * Keeps what was read. `stats` are from before the read, so that a write during it is seen at the next look. Returns the text,
   * where it is the one that is known already as that very string.
   */
  readonly keep: (file: string, stats: BigIntStats, text: string) => string;
}

/** A write within the same tick of the file system's clock as the last one does not show; some count whole seconds. */
const SETTLED_MS = 3000;
/** However unchanged a file seems, it is read again after this time: the clocks of network mounts are their own. */
const TRUSTED_MS = 60_000;
/** A file that was not read for so long is no more in the folder. */
const GONE_MS = 2 * TRUSTED_MS;

interface Known {
  /** Undefined: read it again, whatever its stamp. */
  readonly stamp: string | undefined;
  readonly at: number;
  readonly text: string;
}

/** `texts` are held anyway. */
export function createKnownFiles(texts: PolicyTexts = new Map(), now: () => number = Date.now): KnownFiles {
  const known = new Map(
    [...texts].map(([file, text]): [string, Known] => [file, { stamp: undefined, at: now(), text }]),
  );
  const isWithin = ({ at }: Known, ms: number): boolean => Math.abs(now() - at) < ms;
  return {
    textOf: (file, stats) => {
      const entry = known.get(file);
      return entry?.stamp === stampOf(stats) && isWithin(entry, TRUSTED_MS) ? entry.text : undefined;
    },
    keep: (file, stats, read) => {
      const at = now();
      const before = known.get(file)?.text;
      const text = before === read ? before : read;
      for (const [name, entry] of known) if (!isWithin(entry, GONE_MS)) known.delete(name);
      const settled = at - Number(stats.ctimeMs) >= SETTLED_MS && at - Number(stats.mtimeMs) >= SETTLED_MS;
      known.set(file, { stamp: settled ? stampOf(stats) : undefined, at, text });
      return text;
    },
  };
}

/** ctime: unlike the others nobody can set it, so that a file of another content does not pass for this one. */
const stampOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  [dev, ino, size, mtimeNs, ctimeNs].join();
