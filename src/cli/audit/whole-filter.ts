/** What of a filter is found in the database before it is asked with: the key in clear, the callers of a name, and that all names are known. */

import type { Knex } from 'knex';
import { z } from 'zod';
import { findCredential } from '../../audit/query/credential.ts';
import type { DecisionFilter } from '../../audit/query/filters.ts';
import { requireKnown } from '../../audit/query/known-names.ts';
import { type CallerRecord, listCallers } from '../../directory/callers.ts';
import { Refusal } from '../../errors.ts';
import { searchText, validate } from '../../input/scalars.ts';
import type { PresentDatabase } from '../terminal/database.ts';
import { escaped } from '../terminal/output.ts';
import { readStdin } from '../terminal/prompt.ts';
import type { Terminal } from '../terminal/terminal.ts';
import type { FilterOptions } from './options.ts';

/**
 * The whole of a filter whose other options (namesOf) are valid.
 * @throws Refusal: there is no key on standard input; Failure INVALID_REQUEST: it names what never was, as requireKnown
 */
export async function wholeFilter(
  terminal: Terminal,
  { db, peppers, actor }: PresentDatabase,
  { key, caller }: FilterOptions,
  access: Parameters<typeof requireKnown>[2],
  valid: DecisionFilter,
): Promise<DecisionFilter> {
  const filter = {
    ...valid,
    ...(key === '-' && { credential: await findCredential(db, await peppers(), await keyInClear(terminal)) }),
    ...(caller !== undefined && (await callersOf(terminal, db, caller))),
  };
  await requireKnown(db, actor, access, filter);
  return filter;
}

async function keyInClear(terminal: Terminal): Promise<string> {
  if (terminal.stdin.isTTY)
    throw new Refusal('--key - reads the key from standard input, so that no history keeps it: --key - < FILE');
  return readStdin(terminal);
}

/** A rotated caller leaves its name to the next one, and is not forgotten: what it asked was asked under that name. */
async function callersOf(
  { stderr }: Terminal,
  db: Knex,
  text: string,
): Promise<Pick<DecisionFilter, 'callerId' | 'callerIds'>> {
  const { callerId } = validate(z.strictObject({ callerId: searchText(100) }), { callerId: text });
  const callers = await listCallers(db);
  const named = callers.some(({ id }) => id === callerId) ? [] : callers.filter(({ name }) => name === callerId);
  const [only, another] = named;
  if (!only) return { callerId };
  if (another || only.status !== 'active')
    stderr.write(`${escaped(callerId)} is the name of ${named.map(callerText).join(', ')}\n`);
  return another ? { callerIds: named.map(({ id }) => id) } : { callerId: only.id };
}

function callerText({ id, status, createdAt, revokedAt, expiresAt }: CallerRecord): string {
  const since = {
    active: `active since ${createdAt}`,
    revoked: `revoked at ${revokedAt}`,
    expired: `expired at ${expiresAt}`,
  };
  return `${id} (${since[status]})`;
}
