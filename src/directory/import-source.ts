/**
 * Reads the input of an import: a JSON document, which is parsed as a whole and limited in size, or JSON lines, which are
 * streamed, so that their number is unlimited.
 */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type Issue, Refusal } from '../errors.ts';
import { parseJson } from '../input/json.ts';
import { entryOfLine, issuesOf, itemsOf, LISTS, type List, type RawEntry } from './document.ts';

export type Form = 'json' | 'jsonl';

const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;
const MAX_LINE_BYTES = 1024 * 1024;
const BATCH = 500;
const NEWLINE = 0x0a;

export type Item = RawEntry | Issue;

export interface Source {
  /** The file name as it was given, for messages. */
  readonly name: string;
  readonly form: Form;
  /** Undefined for standard input and other files without a size. */
  readonly bytes: number | undefined;
  /** Its raw entries in order, in batches, and the issues outside of entries. `onBytes` gets the total read so far. */
  readonly items: (onBytes: (read: number) => void) => AsyncIterable<readonly Item[]>;
  /** Where an entry is: `path` begins the path of its issues, `short` refers to it from another entry's issue. */
  readonly place: (list: List, n: number) => { readonly path: string; readonly short: string };
}

/** The form by the file's name; of standard input, a document. */
export const formOf = (file: string): Form => (/\.(?:jsonl|ndjson)$/i.test(file) ? 'jsonl' : 'json');

/** Reads the file, or `input` in its place: standard input. @throws Refusal when there is no such file */
export async function openSource(file: string, form: Form, input?: Readable): Promise<Source> {
  const stats = input ? undefined : await stat(file).catch((cause) => unreadable(file, cause));
  const common = { name: file, form, bytes: stats?.isFile() ? stats.size : undefined };
  if (form === 'jsonl') {
    return {
      ...common,
      items: (onBytes) => itemsOfLines(chunksOf(file, input, onBytes)),
      place: (list, n) => ({ path: `line ${n}: ${LISTS[list]}`, short: `line ${n}` }),
    };
  }
  return {
    ...common,
    items: (onBytes) => itemsOfDocument(file, chunksOf(file, input, onBytes)),
    place: (list, n) => ({ path: `${list}[${n}]`, short: `${list}[${n}]` }),
  };
}

async function* chunksOf(
  file: string,
  input: Readable | undefined,
  onBytes: (read: number) => void,
): AsyncGenerator<Buffer> {
  let read = 0;
  if (input?.readableDidRead) {
    throw new Refusal(
      'the database rolled the import back to break a deadlock, and standard input cannot be read twice; import it again',
    );
  }
  try {
    for await (const chunk of (input ?? createReadStream(file)) as AsyncIterable<Buffer>) {
      read += chunk.length;
      onBytes(read);
      yield chunk;
    }
  } catch (cause) {
    unreadable(file, cause);
  }
}

async function* itemsOfDocument(file: string, chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly Item[]> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > MAX_DOCUMENT_BYTES) {
      throw new Refusal(
        `${file} is larger than ${MAX_DOCUMENT_BYTES / 1024 / 1024} MiB; write it as JSON lines instead`,
      );
    }
    parts.push(chunk);
  }
  let document: unknown;
  const bad = issuesOf(() => {
    document = parseJson(Buffer.concat(parts));
  });
  let batch: Item[] = [];
  for (const item of bad.length > 0 ? bad : itemsOf(document)) {
    if (batch.push(item) < BATCH) continue;
    yield batch;
    batch = [];
  }
  yield batch;
}

/** Blank lines are skipped. A file with nothing else is refused: it is probably an export that failed. */
async function* itemsOfLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly Item[]> {
  let n = 0;
  let empty = true;
  const read = (line: Buffer | undefined): readonly Item[] => {
    n += 1;
    if (line !== undefined && isBlank(line)) return [];
    empty = false;
    if (line === undefined)
      return [{ path: `line ${n}`, message: `is longer than ${MAX_LINE_BYTES / 1024 / 1024} MiB` }];
    const found: RawEntry[] = [];
    const issues = issuesOf(() => found.push(entryOfLine(n, parseJson(line))));
    return [...found, ...issues.map(({ path, message }) => ({ path: `line ${n}${path && `: ${path}`}`, message }))];
  };
  for await (const lines of linesOf(chunks)) yield lines.flatMap(read);
  if (empty) yield [{ path: '', message: 'there is nothing here; put an entry on each line' }];
}

/** The lines that end in each chunk; undefined for one of more than MAX_LINE_BYTES, which is not kept in memory. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<(Buffer | undefined)[]> {
  let parts: Buffer[] = [];
  let size = 0;
  const keep = (part: Buffer): void => {
    size += part.length;
    if (size > MAX_LINE_BYTES) parts = [];
    else parts.push(part);
  };
  const take = (): Buffer | undefined => {
    const line = size > MAX_LINE_BYTES ? undefined : Buffer.concat(parts);
    parts = [];
    size = 0;
    return line;
  };
  for await (const chunk of chunks) {
    const lines: (Buffer | undefined)[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      keep(chunk.subarray(start, end));
      lines.push(take());
      start = end + 1;
    }
    keep(chunk.subarray(start));
    yield lines;
  }
  if (size > 0) yield [take()];
}

const isBlank = (line: Buffer): boolean => line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);

function unreadable(file: string, cause: unknown): never {
  if (cause instanceof Refusal) throw cause;
  throw new Refusal(`${file} cannot be read (${(cause as Error).message})`, cause);
}
