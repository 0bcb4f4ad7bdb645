/** `authz audit events`: the events of administration as a file outside the database, continued where it ends; a restore needs it. */

import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Knex } from 'knex';
import { recordAccess } from '../../audit/access-log.ts';
import {
  BEFORE_FIRST,
  type EventLine,
  parseEventLine,
  printEventLine,
  standsBehind,
} from '../../audit/format/event-line.ts';
import { readChainedEvents, readEventHashes } from '../../audit/query/chained-events.ts';
import { Refusal } from '../../errors.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { verb } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';

interface Options {
  readonly out: string;
  readonly follow?: true;
}

const HELP = `
A file that is there is continued behind its last line, once that proves to be in the database. "authz restore reconcile" reads it. The
file is to lie where neither the database nor its administrators write; an event of a read comes with the checkpoint that it waits for.`;

export function addEventsVerb(audit: Command, terminal: Terminal): void {
  verb(
    audit,
    'events',
    'append the events of administration to a file, each with its hash, in the order of their chain',
    'events --out /var/lib/authz-events/events.jsonl --follow',
  )
    .requiredOption('--out <file>', 'the file, which is continued where it ends')
    .option('--follow', 'go on with what comes, once a second, until it is interrupted')
    .addHelpText('after', HELP)
    .action((options: Options & { json?: true }) =>
      withPresentDatabase(terminal, async ({ db, actor }) => {
        const file = await openEnd(options.out);
        try {
          await recordAccess(db, actor, 'admin', { from: file.end.seq + 1, follow: options.follow ?? false });
          const written = await append(terminal, db, file, options);
          if (options.json) terminal.printJson({ written, last: file.end.seq });
          else
            terminal.print(
              `${plural(written, 'event')} written to ${escaped(options.out)}, up to number ${file.end.seq}`,
            );
        } finally {
          await file.handle.close();
        }
      }),
    );
}

interface End {
  readonly seq: number;
  readonly hash: string;
}

interface OpenFile {
  readonly handle: FileHandle;
  end: End;
}

/** Opens the file for appending, and takes back a last line that a crash left unfinished. */
async function openEnd(name: string): Promise<OpenFile> {
  // 0600: who changed what is for those who may read the log.
  const handle = await open(name, 'a+', 0o600).catch((error: Error) => {
    throw new Refusal(`${name} cannot be written (${error.message}); name another file`);
  });
  try {
    const { size } = await handle.stat();
    const whole = await lastLineOf(handle, size);
    if (whole.length < size) await handle.truncate(whole.length);
    if (whole.text === undefined) return { handle, end: { seq: 0, hash: BEFORE_FIRST } };
    const event = parseEventLine(whole.text);
    if (event === undefined)
      throw new Refusal(`${name} does not end with an event: it is another file, or was altered`);
    return { handle, end: event };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The last line that has its line end, and the length of the file up to there. */
async function lastLineOf(handle: FileHandle, size: number): Promise<{ text: string | undefined; length: number }> {
  for (let span = 1 << 16; ; span *= 4) {
    const start = Math.max(0, size - span);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    const bytes = buffer.subarray(0, bytesRead);
    const end = bytes.lastIndexOf('\n');
    const begin = end <= 0 ? -1 : bytes.lastIndexOf('\n', end - 1);
    if (end >= 0 && (begin >= 0 || start === 0))
      return { text: bytes.toString('utf8', begin + 1, end), length: start + end + 1 };
    if (start === 0) return { text: undefined, length: 0 };
  }
}

const BATCH = 1000;
const POLL_MS = 1000;

async function append({ signal }: Terminal, db: Knex, file: OpenFile, { out, follow }: Options): Promise<number> {
  let written = 0;
  for (;;) {
    await requireSameHistory(db, file.end, out);
    const events = await readChainedEvents(db, file.end.seq + 1, BATCH);
    if (events.length > 0) {
      requireChain(events, file.end);
      await file.handle.appendFile(events.map((event) => `${printEventLine(event)}\n`).join(''));
      await file.handle.datasync();
      file.end = events.at(-1) ?? file.end;
      written += events.length;
    }
    if (signal.aborted || (events.length < BATCH && !follow)) return written;
    if (events.length < BATCH) await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** @throws Refusal: the database has another event there, or none */
async function requireSameHistory(db: Knex, { seq, hash }: End, out: string): Promise<void> {
  if (seq === 0 || (await readEventHashes(db, seq, seq)).get(seq) === hash) return;
  throw new Refusal(
    `the last event of ${out}, number ${seq}, is not in the database: an older copy was restored, or it is another database. Keep this file, ` +
      'reconcile with it (authz restore reconcile), and begin a new one',
  );
}

/** What breaks the chain is not written: the file would be refused as a whole when it is needed. */
function requireChain(events: readonly EventLine[], end: End): void {
  let previous = end.hash;
  for (const event of events) {
    if (!standsBehind(previous, event))
      throw new Refusal(`event ${event.seq} does not stand behind the one before it: run authz audit verify`);
    previous = event.hash;
  }
}
