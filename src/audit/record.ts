/** The decision log: what was decided, for whom and on which facts, before anybody hears of it. */

import type { Knex } from 'knex';
import { databaseFailure } from '../db/connect.ts';
import type { Deadline } from '../deadline.ts';
import type { Decision } from '../policy/decide.ts';
import type { Facts } from '../policy/facts.ts';

/** What the asking service told of its client's request. Decides nothing. */
export interface Context {
  readonly ip?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly requestId?: string | undefined;
}

export interface Entry {
  /** UUIDv7: its first 48 bits are the time of the decision, in milliseconds. */
  readonly id: string;
  readonly callerId: string;
  readonly facts: Facts;
  readonly decision: Decision;
  /** Digest of the policy that decided. */
  readonly policy: string;
  /** What a policy on trial would have decided, where that is another code. */
  readonly shadow?: { readonly policy: string; readonly code: string; readonly rule: string } | undefined;
  readonly context: Context;
}

const INSERT = `
  insert into decisions
    (id, at, caller_id, api_key_id, user_id, business_id, action, effect, code, rule, policy, facts, ip, user_agent, request_id)
  select id, at, caller_id, api_key_id, user_id, business_id, action, effect, code, rule, policy, facts, ip, user_agent, request_id
  from jsonb_populate_recordset(null::decisions, ?::jsonb)`;

/** Resolves once all the entries are durable; either all of them are recorded or none. */
export type RecordEntries = (entries: readonly Entry[], deadline: Deadline) => Promise<void>;

/**
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED. After either the entries may have been recorded all the same: the
 * log may hold a decision that nobody was told, never the other way round.
 */
export function recorder(db: Knex): RecordEntries {
  return async (entries, deadline) => {
    try {
      const rows = JSON.stringify(entries.map(rowOf));
      // Who has waited for a connection until it was too late hears of no record, so none is made.
      const insert = db.raw<{ rowCount: number | null }>(INSERT, [rows]).on('start', deadline.check);
      const { rowCount } = await deadline.race(insert.then());
      // A rule or a trigger can make an insert do nothing, and succeed at it.
      if (rowCount !== entries.length) throw new Error(`of ${entries.length} decisions ${rowCount} were recorded`);
    } catch (error) {
      throw databaseFailure(error);
    }
  };
}

const rowOf = ({ id, callerId, facts, decision, policy, context }: Entry) => ({
  id,
  at: new Date(timeOf(id)).toISOString(),
  caller_id: callerId,
  api_key_id: facts.key.id || null,
  user_id: facts.user.id || null,
  business_id: facts.target.id || null,
  action: facts.request.action,
  ...decision,
  policy,
  facts,
  ip: context.ip ?? null,
  user_agent: context.userAgent ?? null,
  request_id: context.requestId ?? null,
});

const timeOf = (uuidv7: string): number => Number.parseInt(uuidv7.slice(0, 8) + uuidv7.slice(9, 13), 16);
