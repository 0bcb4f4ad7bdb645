/**
 * Messages of new findings, kept until the webhook has taken them (an outbox): each is delivered at least once, whichever replica dies when,
 * and always with the same id and the same bytes, so that a receiver knows one that it has seen.
 */

import type { Knex } from 'knex';
import { maskSecrets } from '../mask.ts';
import { uuidv7 } from '../uuid.ts';
import { takeTurn } from './look.ts';
import { SEND_LIMIT_MS } from './webhook.ts';

/** Findings of one message, and characters of their JSON. */
const MOST_FINDINGS = 100;
const MOST_CHARACTERS = 65_536;
/** Messages that wait. What is new while so many do is told once there is room. */
const MOST_WAITING = 20;
/** Seconds from the first attempt to the second; each further wait is four times as long, up to an hour. */
const FIRST_WAIT = (2 * SEND_LIMIT_MS) / 1000;
const LONGEST_WAIT = 3600;
/** After which a message is given up. */
export const GIVE_UP_DAYS = 3;

const NEW = `
  select kind, subject, says, advice, commands, first_seen, last_seen from findings
  where message is null order by first_seen, kind, subject limit ${MOST_FINDINGS}`;
const ADD = 'insert into finding_messages (id, body) values (:id, :body)';
const TELL = `
  update findings set message = :id
  where (kind, subject) in (select kind, subject from jsonb_to_recordset(:told::jsonb) as t (kind text, subject text))`;

interface Row {
  readonly kind: string;
  readonly subject: string;
  readonly says: string;
  readonly advice: string;
  readonly commands: readonly string[];
  readonly first_seen: Date;
  readonly last_seen: Date;
}

/** Makes messages of what no message tells, unless another replica is at it. @throws what the database throws */
export const makeMessages = (db: Knex): Promise<void> =>
  db.transaction(async (trx) => {
    if ((await takeTurn(trx)) === undefined) return;
    for (;;) {
      const { rows: counted } = await trx.raw<{ rows: { waiting: number }[] }>(
        'select count(*)::integer as waiting from finding_messages',
      );
      if ((counted[0]?.waiting ?? 0) >= MOST_WAITING) return;
      const { rows } = await trx.raw<{ rows: Row[] }>(NEW);
      const told = upTo(MOST_CHARACTERS, rows);
      if (told.length === 0) return;
      const id = uuidv7();
      await trx.raw(ADD, { id, body: bodyOf(told) });
      await trx.raw(TELL, { id, told: JSON.stringify(told.map(({ kind, subject }) => ({ kind, subject }))) });
    }
  });

/** The first rows whose JSON together is no longer, but one at least. */
function upTo(characters: number, rows: readonly Row[]): readonly Row[] {
  let length = 0;
  const end = rows.findIndex((row) => {
    length += JSON.stringify(row).length;
    return length > characters;
  });
  return end === -1 ? rows : rows.slice(0, Math.max(1, end));
}

/** The bytes that are signed; docs/key-hygiene.md describes them. */
const bodyOf = (rows: readonly Row[]): string =>
  maskSecrets(
    JSON.stringify({
      type: 'authz.findings',
      timestamp: new Date().toISOString(),
      data: {
        findings: rows.map(({ kind, subject, says, advice, commands, first_seen: first, last_seen: last }) => ({
          finding: kind,
          subject,
          says,
          advice,
          commands,
          firstSeenAt: first.toISOString(),
          lastSeenAt: last.toISOString(),
        })),
      },
    }),
  );

// INVARIANT: the wait is noted before the message is sent, and is longer than a sending takes: so no other replica sends it meanwhile,
// and if this one dies, another sends it later.
const CLAIM = `
  update finding_messages set attempts = attempts + 1,
    next_attempt_at = now() + make_interval(secs =>
      least(${LONGEST_WAIT}, ${FIRST_WAIT} * power(4, least(attempts, 10))) * (1 + random() / 4))
  where id = (
    select id from finding_messages where next_attempt_at <= now() order by next_attempt_at limit 1 for update skip locked)
  returning id, body, made_at < now() - interval '${GIVE_UP_DAYS} days' as old`;
const SETTLE = `
  with done as (delete from finding_messages where id = :id returning id)
  update findings set notified_at = now() from done where message = done.id and :delivered`;

/** What became of the message that was due first. */
export interface Attempt {
  readonly id: string;
  readonly outcome: 'delivered' | 'failed' | 'given up';
  readonly error?: unknown;
}

/** Sends the message that is due first; undefined: none is. @throws what the database throws */
export async function deliverNext(
  db: Knex,
  send: (id: string, body: string) => Promise<void>,
): Promise<Attempt | undefined> {
  const { rows } = await db.raw<{ rows: { id: string; body: string; old: boolean }[] }>(CLAIM);
  const [message] = rows;
  if (message === undefined) return undefined;
  const { id, body, old } = message;
  try {
    await send(id, body);
  } catch (error) {
    if (old) await db.raw(SETTLE, { id, delivered: false });
    return { id, outcome: old ? 'given up' : 'failed', error };
  }
  await db.raw(SETTLE, { id, delivered: true });
  return { id, outcome: 'delivered' };
}
