/** Where the embedded server listens: on a Unix socket in a folder that its account alone may enter, and on no port. */

import { createHash } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Refusal } from '../../errors.ts';
import { giveTo, type ServerAccount } from './account.ts';
import { makeSharedFolder, SHARED_FOLDER } from './binaries.ts';

/** It only names the socket. */
export const PORT = 5432;

/** Bytes of a socket's path that every system takes: Linux 107, macOS 103. */
const LONGEST = 103;

/** The socket's path in its folder. Beside it lies `.lock`, which names the server's process. */
export const socketIn = (folder: string): string => path.join(folder, `.s.PGSQL.${PORT}`);

/**
 * The data folder, which has mode 0700; where its path is too long for a socket, a folder of that mode with a short one.
 * @throws Refusal where somebody else has made that one
 */
export async function socketFolder(data: string, account: ServerAccount): Promise<string> {
  if (Buffer.byteLength(socketIn(data)) <= LONGEST) return data;
  const name = `iqra-authz-${createHash('sha256').update(data).digest('hex').slice(0, 16)}`;
  // Not in a folder that anybody may write, as root: what is there might be another's link.
  if (account) await makeSharedFolder();
  const folder = path.join(account ? SHARED_FOLDER : tmpdir(), name);
  const made = await mkdir(folder, { mode: 0o700 }).then(
    () => true,
    () => false,
  );
  if (made) await giveTo(account, folder);
  const found = await lstat(folder).catch(() => undefined);
  if (!found?.isDirectory() || found.uid !== (account?.uid ?? process.getuid?.()) || (found.mode & 0o077) !== 0)
    throw new Refusal(
      `${folder} is not a folder of our own; remove it, or set DATA_DIR to a folder with a shorter path`,
    );
  return folder;
}

/** The URL of a database of the server that listens there. */
export const urlAt = (folder: string, user: string, password: string, database: string): string =>
  `postgres://${user}:${password}@${encodeURIComponent(folder)}:${PORT}/${database}`;
