/** Watches a policy folder, and hands on what it holds once it has stopped changing. */

import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PolicyTexts } from '../policy/folder/files.ts';
import { readPolicyFolder } from './folder.ts';

/** What a folder held at one moment, or why it could not be read. */
export type Reading = { readonly texts: PolicyTexts } | { readonly unreadable: Error };

export interface Watch {
  readonly close: () => Promise<void>;
}

export interface Times {
  /** How often the folder is read though no event came: some mounts deliver none, and a swapped link delivers it elsewhere. */
  readonly pollMs: number;
  /** How long a folder must read the same, so that one that is being written is left alone. */
  readonly settleMs: number;
}

/** How long after a failure the same reading is handed on again: what it takes to fail may be much. */
const RETRY_MS = 15_000;

/**
 * Calls `onChange` with each settled reading that differs from the one before, one at a time; `first` is what the folder
 * held when it was last looked at. A reading for which `onChange` rejects is handed on again after a while. `ending`
 * is aborted when the watch is closed.
 */
export function watchFolder(
  folder: string,
  first: Reading,
  { pollMs, settleMs }: Times,
  onChange: (reading: Reading, ending: AbortSignal) => Promise<void>,
): Watch {
  const ending = new AbortController();
  let wake = (): void => undefined;
  let watchers = armed(folder, () => wake());
  let handled = fingerprint(first);
  let failed = { print: '', at: 0 };

  const look = async (): Promise<void> => {
    const seen = fingerprint(await read(folder));
    if (seen === handled || (seen === failed.print && performance.now() - failed.at < RETRY_MS)) return;
    await sleep(settleMs, undefined, { signal: ending.signal });
    const reading = await read(folder);
    // Still moving: the next look begins anew.
    if (fingerprint(reading) !== seen) return wake();
    // What the events came from may have been replaced together with the files.
    disarm(watchers);
    watchers = armed(folder, () => wake());
    failed = { print: seen, at: performance.now() };
    await onChange(reading, ending.signal);
    failed = { print: '', at: 0 };
    handled = seen;
  };

  const loop = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      await look().catch(() => undefined);
      await Promise.race([
        woken,
        sleep(pollMs, undefined, { signal: ending.signal, ref: false }).catch(() => undefined),
      ]);
    }
  };
  const done = loop();

  return {
    close: () => {
      ending.abort();
      wake();
      disarm(watchers);
      return done;
    },
  };
}

const read = async (folder: string): Promise<Reading> => {
  try {
    return { texts: await readPolicyFolder(folder) };
  } catch (error) {
    return { unreadable: error as Error };
  }
};

/** Of every file, those too that no decision depends on: a case that was mended must be run again. */
function fingerprint(reading: Reading): string {
  const parts = 'texts' in reading ? [...reading.texts].flat() : [reading.unreadable.message];
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash.digest('hex');
}

/** Events only make a look come sooner, so where there are none to be had, none are missed. */
function armed(folder: string, onEvent: () => void): FSWatcher[] {
  return [folder, path.join(folder, 'cases')].flatMap((name) => {
    try {
      return [watch(name, { persistent: false }, onEvent).on('error', () => undefined)];
    } catch {
      return [];
    }
  });
}

const disarm = (watchers: readonly FSWatcher[]): void => {
  for (const watcher of watchers) watcher.close();
};
