/** Watches a policy folder by events and polling, and passes its content on once it has stopped changing (debounce). */

import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { every, type Loop } from '../loop.ts';
import type { PolicyTexts } from '../policy/folder/files.ts';
import { readPolicyFolder } from './folder.ts';

/** The content of a folder, or why it could not be read. */
export type FolderContent = { readonly texts: PolicyTexts } | { readonly unreadable: Error };

export interface Times {
  /** The pause between two reads without an event: network mounts send none, nor does a symbolic link that is replaced. */
  readonly pollMs: number;
  /** For how long the content must stay the same, so that a half-written folder is not taken. */
  readonly settleMs: number;
}

/** How long after a failure the same content is tried again: each try may be expensive. */
const RETRY_MS = 15_000;

/**
 * Calls `onChange` with each settled content that differs from the last, never concurrently; `first` is the content that the
 * caller has read. Content for which `onChange` rejects is passed again after RETRY_MS. `ending` is aborted by `close`.
 */
export function watchFolder(
  folder: string,
  first: FolderContent,
  { pollMs, settleMs }: Times,
  onChange: (content: FolderContent, ending: AbortSignal) => Promise<void>,
  read = readContent,
): Pick<Loop, 'close'> {
  let watchers: readonly FSWatcher[] = [];
  let handled = fingerprint(first);
  let failed = { print: '', at: 0 };

  const look = async (ending: AbortSignal): Promise<void> => {
    const seen = fingerprint(await read(folder));
    if (seen === handled || (seen === failed.print && performance.now() - failed.at < RETRY_MS)) return;
    await sleep(settleMs, undefined, { signal: ending });
    const content = await read(folder);
    // Still changing: start over.
    if (fingerprint(content) !== seen) return loop.wake();
    // A watcher follows the inode, and the folder may have been replaced by another.
    disarm(watchers);
    watchers = armed(folder, loop.wake);
    failed = { print: seen, at: performance.now() };
    await onChange(content, ending);
    failed = { print: '', at: 0 };
    handled = seen;
  };

  // A failure needs no report here: `failed` holds it for the retry, and `onChange` has logged it before it rejected.
  // From the end of a read: a folder that takes longer to read than `pollMs` would otherwise be read without a pause.
  const loop = every(pollMs, look, { first: 'at once', from: 'end', onError: () => undefined });
  watchers = armed(folder, loop.wake);

  return {
    close: async () => {
      await loop.close();
      disarm(watchers);
    },
  };
}

const readContent = async (folder: string): Promise<FolderContent> => {
  try {
    return { texts: await readPolicyFolder(folder) };
  } catch (error) {
    return { unreadable: error as Error };
  }
};

/** A hash of all files, cases included: a corrected case must be checked again though no decision depends on it. */
function fingerprint(content: FolderContent): string {
  const parts = 'texts' in content ? [...content.texts].flat() : [content.unreadable.message];
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash.digest('hex');
}

/** Watchers of the folder and its cases. Events only make polling come sooner, so one that cannot be had is no error. */
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
