/**
 * The days whose records were dropped: each must be one that a holder of the signing key has said may be, and the heads
 * that stay must be those of that statement.
 */

import type { Knex } from 'knex';
import type { CheckpointFiles } from '../checkpoint/file.ts';
import { type Pruned, printPruned, prunedBytes } from '../format/checkpoint-line.ts';
import { chainOf, createHeads, type Head } from '../format/heads.ts';
import { signatureChecker } from '../format/signatures.ts';
import type { CheckpointState } from './checkpoints.ts';
import { printChain, type VerifyFindings } from './findings.ts';

interface Options {
  readonly files: CheckpointFiles | undefined;
  /** Keys that may have signed. */
  readonly accepted: ReadonlySet<string>;
  readonly heads: ReadonlyMap<string, Head>;
  readonly state: CheckpointState;
  readonly findings: VerifyFindings;
}

/** The sum over the heads of a day that a statement signs. */
export interface DaySum {
  readonly records: number;
  /** Lower-case hex. */
  readonly root: string;
}

export interface PrunedDays {
  /** Whether the database says that the records of the day were dropped. */
  readonly recorded: (day: string) => boolean;
  /** A statement with an accepted signature, of just the heads that the day has. */
  readonly statementOf: (day: string) => Pruned | undefined;
  /** Whether a day without any record may have none: there is a sound statement. Adds a finding where its row is missing. */
  readonly accept: (day: string) => boolean;
}

const READ = `
  select day::text, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, records::float8 as records,
    encode(root, 'hex') as root, encode(public_key, 'base64') as "publicKey", encode(signature, 'base64') as signature
  from pruned_days order by day`;

async function storedStatements(db: Knex): Promise<Pruned[]> {
  const { rows } = await db.raw<{ rows: Omit<Pruned, 'type'>[] }>(READ);
  return rows.map((row) => ({
    ...row,
    type: 'pruned',
    publicKey: row.publicKey.replaceAll('\n', ''),
    signature: row.signature.replaceAll('\n', ''),
  }));
}

export function sumOf(heads: readonly Head[]): DaySum {
  const set = createHeads();
  set.put(heads);
  return { records: heads.reduce((sum, { records }) => sum + records, 0), root: set.root() };
}

/**
 * Adds a finding for every statement that is not valid, and for every dropped day without a valid statement. Longer than a
 * screen, because its checks share the statements of a day.
 */
export async function verifyPruned(
  db: Knex,
  { files, accepted, heads, state, findings }: Options,
): Promise<PrunedDays> {
  const verify = signatureChecker();
  const stored = new Map((await storedStatements(db)).map((statement) => [statement.day, statement]));
  const fault = (day: string, message: string): void => findings.add({ code: 'pruned', day, message });

  const isSound = (statement: Pruned, where: string): boolean => {
    const { day, publicKey, signature } = statement;
    const says = `${where}, that ${day} was pruned,`;
    if (!accepted.has(publicKey)) fault(day, `${says} is signed with a key that is not accepted`);
    else if (verify(publicKey, prunedBytes(statement), signature)) return true;
    else fault(day, `${says} has a signature that is wrong`);
    return false;
  };

  const sound = new Map<string, Pruned[]>();
  const lines = files?.pruned ?? [...stored.values()].map((statement) => ({ statement, where: 'pruned_days' }));
  for (const { statement, where } of lines) {
    const { day } = statement;
    if (isSound(statement, where)) sound.set(day, [...(sound.get(day) ?? []), statement]);
  }

  const headsOf = (day: string): Head[] => [...heads.values()].filter((head) => head.day === day);
  const statementOf = (day: string): Pruned | undefined => {
    const statements = sound.get(day);
    if (statements === undefined) return undefined;
    const { records, root } = sumOf(headsOf(day));
    return statements.find((statement) => statement.records === records && statement.root === root);
  };

  /** The heads of a dropped day have no records any more to be held against; the statement takes their place. */
  const checkHeads = (day: string): void => {
    if (!sound.has(day) || statementOf(day) !== undefined) return;
    fault(day, `the heads of ${day} are not those that were there when it was pruned`);
    for (const { boot, records, hash } of headsOf(day)) {
      const attested = state.chains.get(chainOf({ boot, day }))?.longest.head;
      if (attested === undefined || (attested.records === records && attested.hash === hash)) continue;
      const message = `${printChain({ boot, day })}: its head was altered after its records were pruned`;
      findings.add({ code: 'head', boot, day, seq: records, message });
    }
  };

  for (const [day, statement] of stored) {
    const same = (line: Pruned): boolean => printPruned(line) === printPruned(statement);
    if (files !== undefined && !sound.get(day)?.some(same)) {
      fault(
        day,
        `the database says that ${day} was pruned, and no sound line outside it says the same: give all files`,
      );
    }
    checkHeads(day);
  }

  return {
    recorded: (day) => stored.has(day),
    statementOf,
    accept: (day) => {
      if (!sound.has(day)) return false;
      if (!stored.has(day)) {
        // Records and row go in one transaction: a crash leaves both or neither.
        fault(
          day,
          `the records of ${day} are gone, as a line outside the database allows, but pruned_days has no row of it`,
        );
        checkHeads(day);
      }
      return true;
    },
  };
}
