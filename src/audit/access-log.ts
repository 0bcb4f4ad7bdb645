/** Who read the log: PCI DSS 10.2.1.3 requires every access to audit logs to be logged itself. */

import type { Knex } from 'knex';
import { databaseFailure, sqlErrorOf } from '../db/failure.ts';
import type { Actor } from '../db/mutate.ts';
import { despiteRaces } from '../db/write-outcome.ts';
import { Failure } from '../errors.ts';
import { maskSecrets } from '../mask.ts';

const ACCESSES = [
  'query',
  'show',
  'stats',
  'export',
  'tail',
  'timeline',
  'report',
  'findings',
  'replay',
  'shadow',
  'admin',
] as const;
export type Access = (typeof ACCESSES)[number];

/** What the events of reads have as their action. */
export const READ_ACTIONS: ReadonlySet<string> = new Set(ACCESSES.map((access) => `audit.${access}`));

/**
 * Leaves the event of an access: `audit.query` and the like, what was asked for as its `after`.
 * INVARIANT: who reads the log awaits this before anything that was read is shown; where it fails, nothing is shown.
 * @throws Failure TOO_MANY_REQUESTS: an auditor has read too often in this minute; UNAVAILABLE or DEADLINE_EXCEEDED
 */
export const recordAccess = (db: Knex, actor: Actor, access: Exclude<Access, 'show'>, asked: object): Promise<void> =>
  recordRead(db, actor, access, null, asked);

/** Leaves the event of reading one decision. @throws as recordAccess does */
export const recordShow = (db: Knex, actor: Actor, id: string): Promise<void> =>
  recordRead(db, actor, 'show', id, undefined);

/** By the function that an auditor may call, who may not add to the table (migrations/001_initial/reads.ts), whoever reads. */
async function recordRead(
  db: Knex,
  { id: actor, requestId }: Actor,
  access: Access,
  decision: string | null,
  asked: object | undefined,
): Promise<void> {
  const text = asked === undefined ? null : maskSecrets(JSON.stringify(asked));
  const bindings = [access, decision, text, actor, requestId ?? null] as string[];
  try {
    await despiteRaces(async () => db.raw('select authz_record_read(?, ?::uuid, ?::jsonb, ?, ?)', bindings));
  } catch (error) {
    throw tooMany(error) ?? databaseFailure(error);
  }
}

/** Where the function refused the event for the sake of its rate. */
function tooMany(cause: unknown): Failure | undefined {
  const { message, detail } = sqlErrorOf(cause, 'AU020') ?? {};
  if (message === undefined) return undefined;
  const says = `${message}, each with an event of its own, and nothing is shown without one. Ask again in ${detail} s; or for more at once: --limit 200, or authz audit export.`;
  return new Failure('TOO_MANY_REQUESTS', `${says[0]?.toUpperCase()}${says.slice(1)}`, {
    retryAfterSeconds: Number(detail),
    cause,
  });
}
