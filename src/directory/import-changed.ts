/**
 * What an import has changed: the events of its entries, as those of single changes, and of very many a digest that a file with all of
 * them proves. It is what the tables say before and after, whatever the statements in between were to do.
 */

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Knex } from 'knex';
import { copyOut } from '../db/copy-out.ts';
import type { AdminEvent } from '../db/mutate.ts';
import { Refusal } from '../errors.ts';
import { maskSecrets } from '../mask.ts';

/** Entries that leave an event each; the rest is counted and digested. */
export const MOST_EVENTS = 10_000;

/** What follows the first MOST_EVENTS: how many lines, and the SHA-256 of them, each with its line end, in hex. */
export interface Rest {
  readonly count: number;
  readonly sha256: string;
}

const LIMIT = `case when rate_limit_requests is not null
  then jsonb_build_object('requests', rate_limit_requests, 'windowSeconds', rate_limit_window_seconds) end`;
const instant = (column: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** The entries that the import names, as far as they are in the tables: kind, id, and what an import can say of them. */
const STATE = `
  select 'user' as kind, id::text as id, jsonb_build_object('id', id, 'disabled', disabled_at is not null,
    'disabledReason', disabled_reason, 'businessesDisabled', businesses_disabled_at is not null, 'rateLimit', ${LIMIT},
    'attributes', attributes) as state
  from users where id in (select id from staged_users)
  union all
  select 'business', id::text, jsonb_build_object('id', id, 'disabled', disabled_at is not null,
    'disabledReason', disabled_reason, 'attributes', attributes)
  from businesses where id in (select id from staged_businesses)
  union all
  select 'member', t.business_id || '/' || t.user_id,
    jsonb_build_object('businessId', t.business_id, 'userId', t.user_id, 'role', t.role)
  from business_members t join staged_members s on t.business_id = s."businessId" and t.user_id = s."userId"
  union all
  select 'key', id::text, jsonb_build_object('id', id, 'userId', user_id, 'friendlyName', friendly_name,
    'allowUserManagementApiRequests', allow_user_management, 'restrictedBusinessIds', case when restricted then
      (select coalesce(jsonb_agg(business_id order by business_id), '[]') from api_key_businesses where key_id = api_keys.id) end,
    'environment', environment, 'rateLimit', ${LIMIT}, 'attributes', attributes, 'expiresAt', ${instant('expires_at')},
    'revokedAt', ${instant('revoked_at')}, 'revokedReason', revoked_reason)
  from api_keys where id in (select id from staged_keys)`;

/** To be run under the lock, before anything is merged. */
export const KEEP_STATE: readonly string[] = [
  `create temporary table stated on commit drop as ${STATE}`,
  'analyze stated',
];

const CHANGED = `
  select jsonb_build_object('action', now.kind || case when was.state is null then '.create' else '.update' end,
    'kind', now.kind, 'id', now.id, 'before', was.state, 'after', now.state)::text
  from (${STATE}) now left join stated was on was.kind = now.kind and was.id = now.id
  where was.state is distinct from now.state
  order by now.kind collate "C", now.id collate "C"`;

/**
 * To be called when all is merged. With `file`, writes all lines there: JSON, sorted by kind and id.
 * @returns the first events, and what the others were
 * @throws Refusal: the file cannot be written; Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function readChanged(
  trx: Knex.Transaction,
  file: string | undefined,
): Promise<{ readonly events: readonly AdminEvent[]; readonly rest: Rest | undefined }> {
  const events: AdminEvent[] = [];
  const digest = createHash('sha256');
  let count = 0;
  const output = await openChanges(file);
  try {
    for await (const rows of copyOut(trx, trx.raw(CHANGED))) {
      const lines = rows.map(([line]) => maskSecrets(line ?? ''));
      for (const line of lines) {
        if (events.length < MOST_EVENTS) events.push(JSON.parse(line) as AdminEvent);
        else {
          digest.update(`${line}\n`);
          count += 1;
        }
      }
      await output.write(lines.map((line) => `${line}\n`).join(''));
    }
  } finally {
    await output.close();
  }
  return { events, rest: count > 0 ? { count, sha256: digest.digest('hex') } : undefined };
}

interface Output {
  readonly write: (text: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

const NO_OUTPUT: Output = { write: async () => undefined, close: async () => undefined };

/** Flushed when it is closed: what is committed then can be proved. */
async function openChanges(file: string | undefined): Promise<Output> {
  if (file === undefined) return NO_OUTPUT;
  const orRefusal = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      const reason = (error as Error).message;
      throw new Refusal(`what is changed cannot be written to ${file} (${reason}), so nothing is loaded`);
    });
  const handle = await orRefusal(open(file, 'w', 0o600));
  return {
    write: (text) => orRefusal(handle.appendFile(text)),
    close: () => orRefusal(handle.sync().finally(() => handle.close())),
  };
}
