/** The file of checkpoints against the log: steps 4 to 7 of docs/audit.md, "Verifying without our code". */

import { createPublicKey, verify } from 'node:crypto';
import { canonicalJson, encode, type Head, must, nameOf, rootOf, sha256, type Value } from './encoding.ts';
import type { Tables } from './tables.ts';

interface Signed {
  readonly at: string;
  readonly root: string;
  readonly publicKey: string;
  readonly signature: string;
}

/** A line of the file. */
export interface Checkpoint extends Signed {
  readonly type: 'checkpoint';
  readonly number: number;
  readonly writer: string;
  readonly size: number;
  readonly previous: string | null;
  readonly heads: readonly Head[];
}

interface Pruned extends Signed {
  readonly type: 'pruned';
  readonly day: string;
  readonly records: number;
}

/** Of each kind, in the order of the file. */
export interface Lines {
  readonly checkpoints: readonly Checkpoint[];
  readonly pruned: readonly Pruned[];
}

/** A line that was cut off is none; what it held is missed where it matters. */
function parseLine(line: string): Checkpoint | Pruned | undefined {
  try {
    return Object(JSON.parse(line)) as Checkpoint | Pruned;
  } catch {
    return undefined;
  }
}

/** Throws `Found` for a line of another kind. */
export function parseFile(text: string): Lines {
  const lines = text
    .split('\n')
    .map(parseLine)
    .filter((line) => line !== undefined);
  for (const { type } of lines) must(type === 'checkpoint' || type === 'pruned', `a line is a ${type}`);
  return {
    checkpoints: lines.filter((line) => line.type === 'checkpoint'),
    pruned: lines.filter((line) => line.type === 'pruned'),
  };
}

function checkSignature(what: string, signed: Buffer, line: Signed, publicKey: string): void {
  must(line.publicKey === publicKey, `${what} is signed by a stranger`);
  const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  must(verify(null, signed, key, Buffer.from(line.signature, 'base64')), `the signature of ${what} is wrong`);
}

const signedBytes = ({ number, at, writer, size, root, previous }: Checkpoint): Buffer =>
  encode('iqra-authz/checkpoint/1', String(number), at, writer, String(size), root, previous);

const without = (line: object, ...names: readonly string[]): object =>
  Object.fromEntries(Object.entries(line).filter(([name]) => !names.includes(name)));

/** Step 6. Answers the days that were dropped. */
export function checkPruned(
  tables: Tables,
  { pruned }: Lines,
  withRecords: ReadonlySet<string>,
  publicKey: string,
): Set<string> {
  const stated = new Set<string>();
  for (const line of pruned) {
    const { day, at, records, root } = line;
    checkSignature(
      `the line of ${day}`,
      encode('iqra-authz/pruned/1', day, at, String(records), root),
      line,
      publicKey,
    );
    stated.add(canonicalJson({ ...without(line, 'type'), records: String(records) }));
  }
  const dropped = new Set<string>();
  for (const row of tables.prunedDays) {
    const day = String(row['day']);
    must(stated.has(canonicalJson(row)), `no line of the file says that ${day} was pruned so`);
    const heads = [...tables.heads.values()].filter((head) => head.day === day);
    const records = heads.reduce((sum, head) => sum + head.records, 0);
    must(rootOf(heads) === row['root'] && String(records) === row['records'], `the heads of ${day} are others`);
    if (!withRecords.has(day)) dropped.add(day);
  }
  return dropped;
}

/** The hash of a record, by its chain and number. */
export type HashAt = (chain: string, seq: number) => Value;

/** Step 4, of the lines of one writer. */
function checkWriter(
  lines: readonly Checkpoint[],
  publicKey: string,
  checkHead: (head: Head, line: Checkpoint) => void,
): void {
  let previous: string | null = null;
  let known = new Map<string, Head>();
  for (const line of lines) {
    const what = `checkpoint ${line.number}`;
    must(line.previous === previous, `${what} does not follow the one before of its writer`);
    checkSignature(what, signedBytes(line), line, publicKey);
    if (line.heads.length === line.size) known = new Map();
    for (const head of line.heads) {
      checkHead(head, line);
      known.set(nameOf(head), head);
    }
    must(known.size === line.size && rootOf(known.values()) === line.root, `the heads of ${what} are others`);
    previous = sha256(signedBytes(line)).toString('hex');
  }
}

/** The lines of each writer and, behind them, its row that is in the table only: the last, which a process that was killed left. */
function byWriter(lines: readonly Checkpoint[], rows: Tables['checkpoints']): Checkpoint[][] {
  const writers = new Map<string, Checkpoint[]>();
  const numbers = new Set(lines.map(({ number }) => String(number)));
  for (const line of lines) writers.set(line.writer, [...(writers.get(line.writer) ?? []), line]);
  const lasts = new Map(rows.map(({ writer, number }) => [writer, number]));
  for (const row of rows.filter(({ number }) => !numbers.has(String(number)))) {
    must(lasts.get(row['writer']) === row['number'], `the file lacks checkpoint ${row['number']}`);
    const line = { ...row, type: 'checkpoint', number: Number(row['number']) } as unknown as Checkpoint;
    const before = writers.get(line.writer) ?? [];
    const last = before.at(-1);
    const previous = last ? sha256(signedBytes(last)).toString('hex') : null;
    writers.set(line.writer, [...before, { ...line, previous }]);
  }
  return [...writers.values()];
}

/** Steps 4 and 5. `heads` are those of all chains, that of administration among them. */
export function checkCheckpoints(
  tables: Tables,
  { checkpoints }: Lines,
  heads: ReadonlyMap<string, Head>,
  dropped: ReadonlySet<string>,
  hashAt: HashAt,
  publicKey: string,
): void {
  const checkHead = (head: Head, { number }: Checkpoint): void => {
    const now = heads.get(nameOf(head));
    const same = now?.format === head.format && now.opening === head.opening;
    must(same, `the head of ${nameOf(head)} is not the one of checkpoint ${number}`);
    const there = dropped.has(head.day) || hashAt(nameOf(head), head.records) === head.hash;
    must(there, `number ${head.records} of ${nameOf(head)} is not what checkpoint ${number} attests`);
  };
  for (const lines of byWriter(checkpoints, tables.checkpoints)) checkWriter(lines, publicKey, checkHead);

  const rows = new Map(tables.checkpoints.map((row) => [row['number'], row]));
  for (const line of checkpoints) {
    const stored = canonicalJson({ ...without(line, 'type', 'previous'), number: String(line.number) });
    must(canonicalJson(rows.get(String(line.number)) ?? null) === stored, `checkpoint ${line.number} is another`);
  }
}

const LATE_MS = 120_000;
const STEP_MS = 30_000;

/** Step 7, of what stands in a chain: `seq` and when. */
export function checkTimes(
  { checkpoints }: Lines,
  now: Date,
  written: Iterable<{ readonly chain: string; readonly seq: number; readonly at: number }>,
): void {
  const inOrder = checkpoints.toSorted((a, b) => a.number - b.number);
  const times = [...inOrder.map(({ at }) => Date.parse(at)), now.getTime()];
  const firstWith = (chain: string, seq: number): number => {
    const index = inOrder.findIndex(({ heads }) => heads.some((head) => nameOf(head) === chain && head.records >= seq));
    return index === -1 ? inOrder.length : index;
  };
  for (const { chain, seq, at } of written) {
    const index = firstWith(chain, seq);
    const before = times[index - 1];
    if (before === undefined || (times[index] ?? Number.NaN) < before - STEP_MS) continue;
    must(at >= before - LATE_MS, `number ${seq} of ${chain} was dated back`);
  }
}
