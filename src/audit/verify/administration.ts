/**
 * The chain of administration: every event against the one before, the last against the head, and that against the checkpoints. The
 * events of reads that have no place in it yet stand outside, and nothing else may.
 */

import type { Readable } from 'node:stream';
import type { Knex } from 'knex';
import { READ_ACTIONS } from '../access-log.ts';
import { type EventRecord, eventHash } from '../format/event-hash.ts';
import { ADMINISTRATION, chainOf, type Head } from '../format/heads.ts';
import { FIRST_OPENING } from '../format/record-hash.ts';
import { type ChainRecord, type ChainWalk, endChain, startChain, stepChain } from './chain.ts';
import type { CheckpointState } from './checkpoints.ts';
import { printChain, type VerifyFindings } from './findings.ts';
import type { JudgedTimes } from './times.ts';

export interface Administration {
  /** How many events have their place in the chain. */
  readonly events: number;
  /** How many events of reads have none yet: the next checkpoint gives them one. */
  readonly unchained: number;
  /** Events that no checkpoint outside the database covers, the unchained among them: a superuser can rewrite these undetected. */
  readonly uncovered: number;
}

interface Options {
  readonly heads: ReadonlyMap<string, Head>;
  readonly state: CheckpointState;
  readonly times: JudgedTimes;
  readonly findings: VerifyFindings;
}

/** A row as texts; nothing in it is sure. */
type EventRow = Omit<EventRecord, 'seq'> & { readonly seq: string | null; readonly hash: string | null };

type StoredEvent = ChainRecord & { readonly event: EventRecord };

const instant = (column: string): string =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as ${column}`;

// Those without a place last.
const READ = `
  select seq::text, id::text, ${instant('at')}, ${instant('chained_at')}, actor, login, action, subject_kind, subject_id,
    before::text, after::text, request_id, encode(hash, 'hex') as hash
  from admin_events order by admin_events.seq nulls last, admin_events.id`;

const BATCH = 2000;

export async function verifyAdministration(
  db: Knex,
  { heads, state, times, findings }: Options,
): Promise<Administration> {
  const chain = chainOf(ADMINISTRATION);
  const head = heads.get(chain);
  const attested = state.chains.get(chain);
  const walk: ChainWalk<StoredEvent> = startChain({
    ...ADMINISTRATION,
    head,
    hashOf: (previous, { event, seq }) => eventHash(previous, { ...event, seq }),
    openings: [FIRST_OPENING],
    attested: attested?.places ?? [],
    times,
    findings,
  });
  let [events, unchained] = [0, 0];
  for await (const row of db.raw(READ).stream({ batchSize: BATCH }) as Readable & AsyncIterable<EventRow>) {
    if (row.seq === null) {
      unchained += 1;
      checkUnchained(row, findings);
    } else {
      events += 1;
      stepChain(walk, readEvent(row, row.seq));
    }
  }
  if (events > 0 && head === undefined) {
    const message = `${printChain(ADMINISTRATION)} has events and no head: they were inserted, or it was removed`;
    findings.add({ code: 'inserted', ...ADMINISTRATION, seq: 1, message });
  }
  endChain(walk);
  return { events, unchained, uncovered: Math.max(0, (head?.records ?? 0) - (attested?.outside ?? 0)) + unchained };
}

function readEvent(row: EventRow, seq: string): StoredEvent {
  const event = { ...row, seq: Number(seq), at: milliseconds(row.at), chained_at: milliseconds(row.chained_at) };
  return {
    seq: event.seq,
    id: event.id,
    at: event.chained_at,
    hash: Buffer.from(row.hash ?? '', 'hex'),
    timeFault: timeFault(event),
    factsFault: null,
    event,
  };
}

/** What has more digits stays as it is: the log never writes it, so no hash fits. */
const milliseconds = (at: string): string => (at?.endsWith('000Z') ? at.replace(/000Z$/, 'Z') : at);

/**
 * The id is a UUIDv7: its first 48 bits are the time. A change takes its place as it happens; a read takes it later, and how much later
 * says nothing: its transaction may have been left open, and the clock may have been set.
 */
function timeFault({ id, at, chained_at, action }: EventRecord): string | null {
  const time = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  if (id[14] !== '7' || time !== Date.parse(at)) return 'its time is not the one in its id';
  return at === chained_at || READ_ACTIONS.has(action) ? null : 'its time is not that at which it took its place';
}

function checkUnchained({ id, action, hash, chained_at }: EventRow, findings: VerifyFindings): void {
  if (READ_ACTIONS.has(action) && hash === null && chained_at === null) return;
  const message = `the event ${id} (${action}) stands outside ${printChain(ADMINISTRATION)}, where only reads may: it was inserted, or its place taken from it`;
  findings.add({ code: 'inserted', ...ADMINISTRATION, id, message });
}
