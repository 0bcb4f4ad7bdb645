/**
 * A second verifier, written from docs/audit.md and sharing no code with the service: it says whether a log is what its
 * file of checkpoints attests, and not all places where it is not. Simple rather than fast; it reads the whole log into memory.
 */

import { readFile } from 'node:fs/promises';
import type { Knex } from 'knex';
import { ADMINISTRATION, checkChains, checkEvents, daysOf } from './independent/chains.ts';
import { Found, type Head, nameOf, type Value, ZEROS } from './independent/encoding.ts';
import { checkCheckpoints, checkPruned, checkTimes, parseFile } from './independent/file.ts';
import { type Event, type Row, readTables, type Tables } from './independent/tables.ts';

export { canonicalJson, encode, hashOfEvent, hashOfRecord, sha256 } from './independent/encoding.ts';
export type { Row };

/** Every record, by boot, day and number, after a check that all chains are whole and end where their heads say. */
export async function verifiedRows(db: Knex): Promise<Row[]> {
  const tables = await readTables(db);
  checkChains(tables, new Set());
  return [...tables.chains.values()].flat();
}

function* written({ chains }: Tables, events: readonly Event[]) {
  for (const [chain, rows] of chains)
    for (const { seq, at } of rows) yield { chain, seq: Number(seq), at: at.getTime() };
  const chain = nameOf(ADMINISTRATION);
  for (const { seq, chained_at } of events) yield { chain, seq: Number(seq), at: Date.parse(chained_at ?? '') };
}

function check(tables: Tables, text: string, publicKey: string): void {
  const lines = parseFile(text);
  const dropped = checkPruned(tables, lines, daysOf(tables), publicKey);
  checkChains(tables, dropped);
  const events = checkEvents(tables);
  const heads = new Map(tables.heads);
  const { events: records, hash } = tables.ending;
  const administration: Head = { ...ADMINISTRATION, format: 1, opening: ZEROS, records, hash };
  if (records > 0) heads.set(nameOf(administration), administration);
  const hashAt = (chain: string, seq: number): Value => {
    if (chain === nameOf(ADMINISTRATION)) return events[seq - 1]?.['hash'] ?? null;
    return tables.chains.get(chain)?.[seq - 1]?.hash.toString('hex') ?? null;
  };
  checkCheckpoints(tables, lines, heads, dropped, hashAt, publicKey);
  checkTimes(lines, tables.now, written(tables, events));
}

/** What is wrong, or undefined. `publicKey` is SPKI in base64. Throws where it could not be verified. */
export async function verifyIndependently(db: Knex, file: string, publicKey: string): Promise<string | undefined> {
  try {
    check(await readTables(db), await readFile(file, 'utf8'), publicKey);
    return undefined;
  } catch (error) {
    if (error instanceof Found) return error.message;
    throw error;
  }
}
