/**
 * The file of checkpoints outside the database: JSON lines, appended only, with an fsync after each. A torn write (a crash, a
 * full disk) leaves one line unreadable and no other.
 */

import { hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { Refusal } from '../../errors.ts';
import { type Checkpoint, type Pruned, parseLine, printLine } from '../format/checkpoint-line.ts';

/** Ids and hashes only: auditors may read it. */
const MODE = 0o644;
const NEWLINE = 0x0a;
const CHUNK = 1 << 20;

/** Makes the file unless it is there. @throws Refusal when it cannot be written */
export async function requireCheckpointFile(file: string): Promise<void> {
  try {
    await (await open(file, 'a', MODE)).close();
    const folder = await open(path.dirname(file));
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    throw new Refusal(
      `AUDIT_CHECKPOINTS cannot be written (${(error as Error).message}); name a file in a folder that is there and may ` +
        'be written, outside the reach of the database server',
    );
  }
}

/**
 * Appends a line and flushes it. Several processes may do so at once: each line is one write.
 *
 * INVARIANT: a newline stands before the line as well as after it. What a crash or a full disk has left of another line
 * ends there, even when that happened between our last look at the file and this write; empty lines mean nothing.
 */
export async function appendLine(file: string, line: string): Promise<void> {
  const handle = await open(file, 'a', MODE);
  try {
    await handle.appendFile(`\n${line}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** One checkpoint's place in one of the files. */
interface Place {
  readonly handle: FileHandle;
  readonly start: number;
  readonly length: number;
  readonly digest: string;
}

/** One of the files, and how far it has been read. */
interface Reading {
  readonly name: string;
  readonly handle: FileHandle;
  /** The byte at which the next line starts, and its number. */
  start: number;
  line: number;
}

export interface CheckpointFiles {
  /** All numbers that were found so far, in ascending order. */
  readonly numbers: () => readonly number[];
  readonly publicKeys: ReadonlySet<string>;
  /** `FILE:LINE` of another checkpoint under a number that one has already, by number. */
  readonly conflicts: ReadonlyMap<number, string>;
  /** Every statement that a day was pruned, with its `FILE:LINE`. */
  readonly pruned: readonly { readonly statement: Pruned; readonly where: string }[];
  /** `FILE:LINE` of what is no line of ours. */
  readonly unknown: readonly string[];
  /** `FILE:LINE` of what was begun and not finished. */
  readonly torn: readonly string[];
  /** Reads what was appended since. */
  readonly readOn: () => Promise<void>;
  readonly find: (number: number) => Promise<Checkpoint | undefined>;
  readonly close: () => Promise<void>;
}

/**
 * Reads files of checkpoints, keeping of each checkpoint only its place. Longer than a screen, because its functions share
 * what was found so far.
 * @throws Refusal when a file cannot be read
 */
export async function openCheckpointFiles(files: readonly string[]): Promise<CheckpointFiles> {
  const readings: Reading[] = [];
  const places = new Map<number, Place>();
  const publicKeys = new Set<string>();
  const conflicts = new Map<number, string>();
  const pruned: { statement: Pruned; where: string }[] = [];
  const [unknown, torn]: [string[], string[]] = [[], []];

  const note = ({ name, handle, start, line }: Reading, text: string): void => {
    const parsed = parseLine(text);
    const where = `${name}:${line}`;
    if (parsed.type === 'torn') torn.push(where);
    else if (parsed.type === 'unknown') unknown.push(where);
    else if (parsed.type === 'pruned') pruned.push({ statement: parsed, where });
    else {
      publicKeys.add(parsed.publicKey);
      const digest = sha256(printLine(parsed));
      const before = places.get(parsed.number);
      if (before === undefined) places.set(parsed.number, { handle, start, length: Buffer.byteLength(text), digest });
      // A writer that could not tell whether a line was flushed has written it again.
      else if (before.digest !== digest) conflicts.set(parsed.number, where);
    }
  };

  const readOn = async (): Promise<void> => {
    for (const reading of readings) {
      for await (const text of newLines(reading)) if (text !== '') note(reading, text);
    }
  };

  const close = async (): Promise<void> => {
    for (const { handle } of readings) await handle.close();
  };

  try {
    for (const name of files) readings.push({ name, handle: await open(name), start: 0, line: 1 });
    await readOn();
  } catch (error) {
    await close();
    throw new Refusal(`the checkpoints cannot be read: ${(error as Error).message}`);
  }

  return {
    numbers: () => [...places.keys()].sort((a, b) => a - b),
    publicKeys,
    conflicts,
    pruned,
    unknown,
    torn,
    readOn,
    find: async (number) => {
      const place = places.get(number);
      if (place === undefined) return undefined;
      const bytes = Buffer.alloc(place.length);
      await place.handle.read(bytes, 0, place.length, place.start);
      const line = parseLine(bytes.toString());
      return line.type === 'checkpoint' ? line : undefined;
    },
    close,
  };
}

const sha256 = (text: string): string => hash('sha256', text, 'hex');

/** The complete lines from `reading.start` on, which advances past each. A last line without a newline is still being written. */
async function* newLines(reading: Reading): AsyncGenerator<string> {
  let rest = Buffer.alloc(0);
  let position = reading.start;
  for (;;) {
    const { bytesRead, buffer } = await reading.handle.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      yield rest.toString('utf8', 0, end);
      rest = rest.subarray(end + 1);
      reading.start += end + 1;
      reading.line += 1;
    }
  }
}
