/** Watches a policy folder by events and polling, and passes its content on once it has stopped changing (debounce). */

import { type FSWatcher, watch } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { every, type Loop } from '../loop.ts';
import { NETWORK_FILE, type PolicyTexts } from '../policy/folder/files.ts';
import { readPolicyFolder } from './folder.ts';
import { createKnownFiles } from './known-files.ts';

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
  read = contentReader(first),
): Pick<Loop, 'close'> {
  let watchers: readonly FSWatcher[] = [];
  let handled = first;
  let failed: { readonly content: FolderContent; readonly at: number } | undefined;

  const look = async (ending: AbortSignal): Promise<void> => {
    const seen = await read(folder);
    if (isSame(seen, handled)) return;
    if (failed && isSame(seen, failed.content) && performance.now() - failed.at < RETRY_MS) return;
    await sleep(settleMs, undefined, { signal: ending });
    const content = await read(folder);
    // Still changing: start over.
    if (!isSame(content, seen)) return loop.wake();
    // A watcher follows the inode, and the folder may have been replaced by another.
    disarm(watchers);
    watchers = armed(folder, loop.wake);
    failed = { content, at: performance.now() };
    await onChange(content, ending);
    failed = undefined;
    handled = content;
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

function contentReader(first: FolderContent): (folder: string) => Promise<FolderContent> {
  const known = createKnownFiles('texts' in first ? networkFiles(first.texts) : undefined);
  return async (folder) => {
    try {
      return { texts: await readPolicyFolder(folder, known) };
    } catch (error) {
      return { unreadable: error as Error };
    }
  };
}

const networkFiles = (texts: PolicyTexts): PolicyTexts =>
  new Map([...texts].filter(([name]) => NETWORK_FILE.test(name)));

/** Whether all files are the same, cases included: a corrected case must be checked again though no decision depends on it. */
function isSame(one: FolderContent, other: FolderContent): boolean {
  if (!('texts' in one)) return !('texts' in other) && one.unreadable.message === other.unreadable.message;
  if (!('texts' in other) || one.texts.size !== other.texts.size) return false;
  return [...one.texts].every(([name, text]) => other.texts.get(name) === text);
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
