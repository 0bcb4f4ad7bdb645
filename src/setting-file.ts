/**
 * A secret that lies in a file, as Kubernetes, systemd and compose hand it over, in place of the environment, which child processes
 * inherit and `docker inspect` shows.
 */

import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, statfsSync, statSync } from 'node:fs';
import path from 'node:path';
import { Refusal } from './errors.ts';

const MOST_BYTES = 65_536;
/** Types of file systems (statfs(2)): tmpfs and ramfs. */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];
const OTHERS_READ = 0o004;

/**
 * The text of a file, without the line ends behind it.
 * @throws Refusal that says what is wrong with the file: without its path, which may be a secret that was set in the wrong place
 */
export function readSettingFile(file: string): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytesOf(file)).replace(/[\r\n]+$/, '');
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') throw new Refusal('names a file that is not UTF-8 text');
    throw new Refusal(`names no file that can be read (${code ?? 'unreadable'}); give the path of one`);
  }
  if (text === '') throw new Refusal('names an empty file; write the secret into it');
  return text;
}

function bytesOf(file: string): Buffer {
  // Without waiting: a FIFO that nobody writes to would block the start for ever.
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(descriptor).isFile()) throw new Refusal('names no regular file; give the path of one');
    const bytes = Buffer.alloc(MOST_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(descriptor, bytes, length, bytes.length - length, null);
    if (length > MOST_BYTES)
      throw new Refusal(`names a file of more than ${MOST_BYTES / 1024} KiB; is it the right one?`);
    return bytes.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Whether every account of the machine may read the file by its mode. Not where it is handed over to one container or unit, whose modes nobody
 * can change from within: in memory, as by Kubernetes and systemd, or as a mount of this file alone, as by compose.
 */
export function othersMayRead(file: string): boolean {
  try {
    const real = realpathSync(file);
    const { mode, dev } = statSync(real);
    const isMount = dev !== statSync(path.dirname(real)).dev;
    return (mode & OTHERS_READ) !== 0 && !isMount && !IN_MEMORY.includes(statfsSync(real).type);
  } catch {
    // It was there when it was read, and is gone: nobody reads it.
    return false;
  }
}
