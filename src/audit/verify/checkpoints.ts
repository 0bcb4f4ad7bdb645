/**
 * The first half of a verification: every checkpoint, from the database and from outside it, in the order of their
 * numbers. What they attest together is what the second half compares the log with.
 */

import type { Knex } from 'knex';
import type { CheckpointFiles } from '../checkpoint/file.ts';
import { type Checkpoint, checkpointDigest, headsSchema, printLine, signedBytes } from '../format/checkpoint-line.ts';
import { chainOf, createHeads, type Head, type Heads, sameHead, sameStart } from '../format/heads.ts';
import { signatureChecker } from '../format/signatures.ts';
import { printChain, type VerifyFindings } from './findings.ts';
import { type CheckpointTimes, checkpointTimes } from './times.ts';

/** That a chain had this hash at its n-th record. */
export interface Attested {
  readonly records: number;
  /** Lower-case hex. */
  readonly hash: string;
  /** Of the checkpoint. */
  readonly number: number;
  /** Whether one outside the database says so. */
  readonly outside: boolean;
  /** The number of the first checkpoint that has so many records of the chain. */
  readonly since: number;
}

/** A head, and the number of a checkpoint that has it. */
interface AttestedHead {
  readonly head: Head;
  readonly number: number;
}

/** What all checkpoints together say of one chain. */
export interface AttestedChain {
  /**
   * Of the earliest checkpoint with this chain. INVARIANT: its format and opening count. Checkpoints are made of the heads as
   * they are, so that those after a head was altered attest what it was altered to.
   */
  readonly first: AttestedHead;
  readonly latest: AttestedHead;
  /** That with the most records: chains only grow. */
  readonly longest: AttestedHead;
  /** The most records that a checkpoint outside the database attests. */
  readonly outside: number;
  /** By number of records, ascending; empty unless the day was asked for. */
  readonly places: Attested[];
}

export interface CheckpointState {
  /** The heads as the last checkpoint has them. */
  readonly heads: Heads;
  /** Of every chain that any checkpoint has, also of those that the later ones lack. */
  readonly chains: ReadonlyMap<string, AttestedChain>;
  readonly count: number;
  /** The newest checkpoint outside the database. */
  readonly external: { readonly number: number; readonly at: string } | null;
  readonly publicKeys: ReadonlySet<string>;
  /** What the times of the checkpoints say of the database's clock. */
  readonly times: CheckpointTimes;
}

interface Options {
  readonly files: CheckpointFiles | undefined;
  /** Keys that may have signed; undefined: those that the files name, or without files those in the database. */
  readonly publicKeys: ReadonlySet<string> | undefined;
  readonly inRange: (day: string) => boolean;
  readonly findings: VerifyFindings;
  readonly onCheckpoint: (count: number) => void;
}

/** A row of `checkpoints`. */
interface StoredCheckpoint {
  /** The number as it is stored: one that was forged may be greater than a JavaScript number tells exactly. */
  readonly place: string;
  readonly number: number;
  readonly at: string;
  readonly writer: string;
  readonly size: number;
  readonly root: string;
  readonly heads: string;
  readonly public_key: string;
  readonly signature: string;
  /** Whether its writer has made no later one. */
  readonly latest: boolean;
}

const PAGE = 500;
/** Below every number that the table can hold, but for one. */
const LEAST = '-9223372036854775808';

const READ = `
  select number::text as place, number::float8 as number, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, writer::text, size,
    encode(root, 'hex') as root, heads::text, encode(public_key, 'base64') as public_key,
    encode(signature, 'base64') as signature,
    not exists (select from checkpoints later where later.writer = c.writer and later.number > c.number) as latest
  from checkpoints c where number > ? order by c.number limit ${PAGE}`;

async function* storedRows(db: Knex): AsyncGenerator<StoredCheckpoint> {
  let last = LEAST;
  for (;;) {
    const { rows } = await db.raw<{ rows: StoredCheckpoint[] }>(READ, [last]);
    yield* rows;
    const end = rows.at(-1);
    if (end === undefined || rows.length < PAGE) return;
    last = end.place;
  }
}

export async function verifyCheckpoints(db: Knex, options: Options): Promise<CheckpointState> {
  const { files, findings } = options;
  const follow = createFollower(options);
  const before = files?.numbers() ?? [];
  // Lines that were appended since the files were opened are in the snapshot too: a row is committed before its line.
  await files?.readOn();
  const fault = (number: number, message: string): void =>
    findings.add({ code: 'checkpoint', checkpoint: number, message: `checkpoint ${number} ${message}` });
  for (const where of files?.unknown ?? []) {
    findings.add({ code: 'checkpoint', message: `${where} is no checkpoint, nor anything else that belongs there` });
  }
  for (const [number, where] of files?.conflicts ?? []) {
    fault(number, `stands outside the database twice and differently, again at ${where}: the database was restored`);
  }

  let next = 0;
  const onlyOutside = async (below: number): Promise<void> => {
    for (; (before[next] ?? Number.POSITIVE_INFINITY) < below; next += 1) {
      const number = before[next] ?? 0;
      fault(number, 'is not in the database: it was removed there, or an older copy was restored');
      const line = await files?.find(number);
      if (line) follow.take(line, true);
    }
  };
  for await (const row of storedRows(db)) {
    await onlyOutside(row.number);
    if (before[next] === row.number) next += 1;
    const outside = await files?.find(row.number);
    const inside = readRow(row, outside?.previous ?? follow.previousOf(row.writer));
    if (outside !== undefined) {
      if (inside === undefined || printLine(inside) !== printLine(outside)) {
        fault(row.number, 'is not the same in the database as outside it: it was altered there');
      }
      follow.take(outside, true);
    } else {
      // Written to the database first: a process may have been killed, or be at it, between that and the file.
      if (files !== undefined && !row.latest)
        fault(row.number, 'is in the database only: give all files that there are');
      if (inside === undefined) fault(row.number, 'was altered in the database: it has values that none has');
      else follow.take(inside, false);
    }
  }
  await onlyOutside(Number.POSITIVE_INFINITY);
  return follow.state();
}

function readRow(row: StoredCheckpoint, previous: string | null): Checkpoint | undefined {
  // Our heads hold whole numbers only; a fraction would be rounded away.
  if (row.heads.replace(/"[^"]*"/g, '').includes('.') || !row.at.endsWith('000Z')) return undefined;
  const heads = headsSchema.safeParse(JSON.parse(row.heads));
  if (!heads.success) return undefined;
  return {
    type: 'checkpoint',
    number: row.number,
    at: row.at.replace('000Z', 'Z'),
    writer: row.writer,
    size: row.size,
    root: row.root,
    previous,
    heads: heads.data,
    publicKey: row.public_key.replaceAll('\n', ''),
    signature: row.signature.replaceAll('\n', ''),
  };
}

/**
 * Follows the heads from checkpoint to checkpoint, of all writers: each is of all heads, and a later number never
 * knows less. So one set of heads is enough, however many writers there were. Longer than a screen, because its checks share
 * these heads.
 */
function createFollower({ files, publicKeys, inRange, findings, onCheckpoint }: Options) {
  const heads = createHeads();
  const chains = new Map<string, AttestedChain>();
  const previous = new Map<string, string>();
  const seenKeys = new Set<string>();
  const accepted = publicKeys ?? files?.publicKeys;
  const verify = signatureChecker();
  const times = checkpointTimes();
  let external: CheckpointState['external'] = null;
  let count = 0;
  // A delta that is missing makes every later root wrong, until a writer lists all heads again.
  let rootHeld = true;

  const previousOf = (writer: string): string | null => previous.get(writer) ?? null;

  const take = (checkpoint: Checkpoint, outside: boolean): void => {
    const { number, at, writer, size, publicKey } = checkpoint;
    const fault = (message: string): void =>
      findings.add({ code: 'checkpoint', checkpoint: number, message: `checkpoint ${number} of ${at} ${message}` });
    count += 1;
    onCheckpoint(count);
    seenKeys.add(publicKey);
    if (accepted !== undefined && !accepted.has(publicKey)) {
      fault('is signed with a key that is not accepted');
      return;
    }
    if (!verify(publicKey, signedBytes(checkpoint), checkpoint.signature)) {
      fault('has a signature that is wrong');
      return;
    }
    if (checkpoint.previous !== previousOf(writer)) {
      fault('does not follow the one that its writer made before: that one was removed or altered');
    }
    previous.set(writer, checkpointDigest(checkpoint));
    if (outside) external = { number, at };
    times.add({ number, at, counts: outside || files === undefined });
    putHeads(checkpoint, outside, fault);
    const held = heads.size() === size && heads.root() === checkpoint.root;
    if (rootHeld && !held) fault('has a root that is not the one of its heads');
    rootHeld = held;
  };

  const putHeads = (checkpoint: Checkpoint, outside: boolean, fault: (message: string) => void): void => {
    for (const head of checkpoint.heads) {
      const before = heads.get(chainOf(head));
      if (before !== undefined && !sameStart(before, head)) {
        fault(`has ${printChain(head)} with another format or opening than before: its head was altered`);
      } else if (before !== undefined && head.records <= before.records && !sameHead(before, head)) {
        fault(`has ${printChain(head)}, which had ${before.records} records before: the log was set back or rewritten`);
      }
      attest(head, checkpoint.number, outside);
    }
    if (checkpoint.heads.length === checkpoint.size && checkpoint.size <= heads.size()) {
      const listed = new Set(checkpoint.heads.map(chainOf));
      const gone = [...heads.all()].filter((head) => !listed.has(chainOf(head)));
      for (const head of gone) fault(`lacks ${printChain(head)}: the chain was removed`);
      if (gone.length > 0) heads.clear();
    }
    heads.put(checkpoint.heads);
  };

  const attest = (head: Head, number: number, outside: boolean): void => {
    const chain = chainOf(head);
    const latest = { head, number };
    const before = chains.get(chain) ?? { first: latest, longest: latest, outside: 0, places: [] };
    const { places } = before;
    chains.set(chain, {
      ...before,
      latest,
      longest: before.longest.head.records < head.records ? latest : before.longest,
      outside: Math.max(before.outside, outside ? head.records : 0),
    });
    if (inRange(head.day)) addPlace(places, { records: head.records, hash: head.hash, number, outside, since: number });
  };

  return {
    take,
    previousOf,
    state: (): CheckpointState => ({ heads, chains, count, external, publicKeys: seenKeys, times }),
  };
}

/** Keeps the first that attests this many records; that it stands outside the database as well counts, if the hash is the same. */
function addPlace(places: Attested[], place: Attested): void {
  const last = places.at(-1);
  if (last === undefined || last.records < place.records) places.push(place);
  else if (place.outside && !last.outside && last.records === place.records && last.hash === place.hash) {
    places[places.length - 1] = { ...place, since: last.since };
  }
}
