/**
 * What a database has forgotten: the events of exported files that are not in it. They are told by their place in the chain, by hash, since
 * a restored database gives the numbers of the lost events to events of its own.
 */

import type { Knex } from 'knex';
import { type Attested, type Mark, placeOf } from '../audit/checkpoint/attested.ts';
import { BEFORE_FIRST, type EventLine, parseEventLine, standsBehind } from '../audit/format/event-line.ts';
import { linesOf } from '../audit/format/file-lines.ts';
import { readEventHashes } from '../audit/query/chained-events.ts';
import { Refusal } from '../errors.ts';

/** An event that the database lacks. */
export interface LostEvent {
  readonly line: EventLine;
  /** Whether a signed checkpoint attests that it happened, and as the line says. */
  readonly attested: boolean;
}

export interface Exported {
  /** How many events the files hold, and their first and last. */
  readonly events: number;
  readonly first: EventLine;
  readonly last: EventLine;
  /** The last event that files and database have in common; 0: none. */
  readonly fork: number;
  /** How many events the database has made since. */
  readonly own: number;
  readonly lost: readonly LostEvent[];
  /** Numbers of events that neither the files nor the database have, both ends inclusive. */
  readonly gaps: readonly { readonly from: number; readonly to: number }[];
  /** A checkpoint that attests more events than the files have. */
  readonly beyond: { readonly events: number; readonly by: Mark } | undefined;
}

/** Events that follow each other without a gap. */
type Stretch = readonly EventLine[];

const BATCH = 10_000;

/**
 * Compares exported events with the database.
 * @throws Refusal: a file cannot be read, is no export, was altered, or is not of this database
 */
export async function compareExport(db: Knex, files: readonly string[], attested: Attested): Promise<Exported> {
  const stretches = stretchesOf(await readLines(files));
  const lines = stretches.flat();
  const [first, last] = [lines[0], lines.at(-1)];
  if (first === undefined || last === undefined)
    throw new Refusal('the files hold no event; name those that authz audit events has written');
  let fork = 0;
  for (let from = first.seq; from <= last.seq; from += BATCH) {
    const held = await readEventHashes(db, from, from + BATCH - 1);
    // INVARIANT: by hash. Equal hashes prove that all that was before is equal as well.
    const common = lines.findLast(({ seq, hash }) => held.get(seq) === hash);
    fork = Math.max(fork, common?.seq ?? 0);
  }
  const end = await endOfChain(db);
  /** The first events of stretches that stand behind one of the database's: all before them is in common, too. */
  const linkedFirsts = new Set<EventLine>();
  for (const [line] of stretches) {
    if (line === undefined || !(await follows(db, line, end))) continue;
    linkedFirsts.add(line);
    fork = Math.max(fork, line.seq - 1);
  }
  const linked = fork > 0 || linkedFirsts.has(first);
  let known = false;
  const lost = stretches.flatMap((stretch) => {
    const until = stretch.findLast(({ seq, hash }) => attested.events.has(placeOf(seq, hash)))?.seq ?? 0;
    known ||= until > 0;
    // INVARIANT: a hash proves an event only together with the one before, so the first behind a gap could say anything under its hash.
    const isProven = (line: EventLine): boolean => line !== stretch[0] || line.seq === 1 || linkedFirsts.has(line);
    return stretch
      .filter(({ seq }) => seq > fork)
      .map((line) => ({ line, attested: line.seq <= until && isProven(line) }));
  });
  if (!linked && !known) throw new Refusal(notOfThis(first.seq, end));
  const place = linked ? Math.max(fork, first.seq - 1) : Math.min(end, first.seq - 1);
  return {
    events: lines.length,
    first,
    last,
    fork: place,
    own: Math.max(0, end - place),
    lost,
    gaps: gapsOf(stretches, linked ? undefined : place, fork),
    beyond: await beyondOf(db, last, attested),
  };
}

const notOfThis = (first: number, end: number): string =>
  `event ${first} of the files neither is in the database nor follows what is there (${end} events), and no checkpoint attests what comes ` +
  'behind: the files are of another database, or the events in between are missing. Name all files that authz audit events has ' +
  'written (--events), and all files of checkpoints (--checkpoints)';

async function readLines(files: readonly string[]): Promise<EventLine[]> {
  const lines = new Map<number, EventLine>();
  for (const file of files) {
    let last = 0;
    const torn: number[] = [];
    try {
      for await (const { text, number } of linesOf(file)) {
        last = number;
        if (text === '') continue;
        const line = parseEventLine(text);
        if (line === undefined) torn.push(number);
        else put(lines, line, `${file}:${number}`);
      }
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal(`the exported events cannot be read: ${(error as Error).message}`);
    }
    // A crash leaves the last line unfinished, and no other.
    if (torn.some((at) => at < last))
      throw new Refusal(
        `${file}:${torn[0]} is no event as authz audit events writes them; it was altered, or is another file`,
      );
  }
  return [...lines.values()].sort((a, b) => a.seq - b.seq);
}

function put(lines: Map<number, EventLine>, line: EventLine, where: string): void {
  const before = lines.get(line.seq);
  if (before !== undefined && before.hash !== line.hash)
    throw new Refusal(
      `${where} is event ${line.seq}, and another file has another event ${line.seq}: between the two the database was restored. ` +
        'Reconcile with the files of one history at a time, the oldest first',
    );
  lines.set(line.seq, line);
}

/** @throws Refusal: an event does not stand behind the one before it */
function stretchesOf(lines: readonly EventLine[]): Stretch[] {
  const stretches: EventLine[][] = [];
  for (const line of lines) {
    const stretch = stretches.at(-1);
    const before = stretch?.at(-1);
    const follows = before === undefined ? line.seq === 1 : before.seq === line.seq - 1;
    if (follows && !standsBehind(before?.hash ?? BEFORE_FIRST, line))
      throw new Refusal(
        `event ${line.seq} (${line.id}) of the files is not what was exported: its hash does not follow from the one before. Nothing of ` +
          'these files is applied; take them from where nobody could change them',
      );
    if (stretch !== undefined && follows) stretch.push(line);
    else stretches.push([line]);
  }
  return stretches;
}

/** Whether the first event of the files stands right behind one of the database's, which has `end`. */
async function follows(db: Knex, first: EventLine, end: number): Promise<boolean> {
  // Where both begin at 1 and differ there, they are two databases, as far as can be told.
  if (first.seq === 1) return end === 0;
  const before = (await readEventHashes(db, first.seq - 1, first.seq - 1)).get(first.seq - 1);
  return before !== undefined && standsBehind(before, first);
}

async function endOfChain(db: Knex): Promise<number> {
  const row = await db('change_counter').first<{ events: string } | undefined>('events');
  return Number(row?.events ?? 0);
}

/** `place`: where the database ends, when the files do not begin there. `fork`: up to which it has all. */
function gapsOf(
  stretches: readonly Stretch[],
  place: number | undefined,
  fork: number,
): { from: number; to: number }[] {
  const ends = [place, ...stretches.map((stretch) => stretch.at(-1)?.seq)];
  return stretches.flatMap((stretch, index) => {
    const [end, next] = [ends[index], stretch[0]?.seq];
    if (end === undefined || next === undefined) return [];
    const from = Math.max(end, fork) + 1;
    return from < next ? [{ from, to: next - 1 }] : [];
  });
}

async function beyondOf(db: Knex, last: EventLine, { events }: Attested): Promise<Exported['beyond']> {
  const later = [...events]
    .map(([place, by]) => ({ events: Number(place.split(' ')[0]), hash: place.split(' ')[1], by }))
    .filter((one) => one.events > last.seq)
    .sort((a, b) => b.events - a.events);
  for (const { events: seq, hash, by } of later) {
    if ((await readEventHashes(db, seq, seq)).get(seq) !== hash) return { events: seq, by };
  }
  return undefined;
}
