/** A database that is cut off at a moment, the history that goes on without it, and what each of them permits. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { printEventLine } from '../../src/audit/format/event-line.ts';
import { readChainedEvents } from '../../src/audit/query/chained-events.ts';
import { connect } from '../../src/db/connect.ts';

let clones = 0;

/** A copy of a database that nobody is connected to. */
export async function cloneOf(url: string): Promise<string> {
  const name = new URL(url).pathname.slice(1);
  const clone = new URL(url);
  clone.pathname = `${name}_clone_${++clones}`;
  const elsewhere = new URL(url);
  elsewhere.pathname = 'authz';
  const db = connect({ url: elsewhere.href, poolSize: 1 });
  await db.raw(`create database ${clone.pathname.slice(1)} template ${name}`).finally(() => db.destroy());
  return clone.href;
}

/** As `authz audit events` writes them. */
export const exportOf = async (db: Knex): Promise<string> =>
  (await readChainedEvents(db, 1, 100_000)).map((event) => `${printEventLine(event)}\n`).join('');

/** What a key may do, on a business or without one: all that a policy can see of it. */
interface Permit {
  readonly key: string;
  readonly business: string | null;
  readonly management: boolean;
  readonly until: string;
  readonly role: string | null;
  /** What has no order. */
  readonly values: string;
  readonly requests: number | null;
  readonly frozen: readonly string[];
}

/**
 * Written anew over the tables, and sharing nothing with what decides or reconciles: the keys that are live, with each business that they
 * reach, and the actions that are frozen for them.
 */
const PERMITS = `
  with live as (
    select k.*, u.businesses_disabled_at as shut, u.attributes as user_attributes, u.rate_limit_requests as user_requests,
      u.rate_limit_window_seconds as user_window
    from api_keys k join users u on u.id = k.user_id
    where k.revoked_at is null and coalesce(k.expires_at, 'infinity') > now() and u.disabled_at is null),
  pairs as (
    select live.*, null as business, null as role, null::jsonb as business_attributes from live
    union all
    select live.*, b.id, m.role, b.attributes from live
      join business_members m on m.user_id = live.user_id join businesses b on b.id = m.business_id
    where b.disabled_at is null and live.shut is null
      and (not live.restricted or exists (select from api_key_businesses r where r.key_id = live.id and r.business_id = b.id)))
  select p.id as key, p.business, p.allow_user_management as management, coalesce(p.expires_at, 'infinity')::text as until, p.role,
    jsonb_build_array(p.environment, p.attributes, p.user_attributes, p.business_attributes, p.rate_limit_window_seconds, p.user_window)::text as values,
    coalesce(p.rate_limit_requests, p.user_requests) as requests,
    array(select coalesce(f.action, '*') from freezes f where f.lifted_at is null and f.until > now()
      and (f.key_id is null or f.key_id = p.id) and (f.user_id is null or f.user_id = p.user_id)
      and (f.business_id is null or f.business_id = p.business) order by 1) as frozen
  from pairs p`;

async function permitsOf(db: Knex): Promise<Map<string, Permit>> {
  const { rows } = await db.raw<{ rows: Permit[] }>(PERMITS);
  return new Map(rows.map((row) => [`${row.key} ${row.business}`, row]));
}

/** Expects that the restored database permits nothing that the whole history denies; `since`: keys that it has made itself. */
export async function expectNoWider(restored: Knex, whole: Knex, since: readonly string[]): Promise<void> {
  const later = await permitsOf(whole);
  for (const [pair, permit] of await permitsOf(restored)) {
    if (since.includes(permit.key)) continue;
    const allowed = later.get(pair);
    expect(allowed, `${pair} is permitted`).not.to.equal(undefined);
    if (allowed === undefined) continue;
    expect(permit.management && !allowed.management, `${pair}: user management`).to.equal(false);
    expect(permit.until <= allowed.until, `${pair}: ${permit.until} <= ${allowed.until}`).to.equal(true);
    expect(permit.values, pair).to.equal(allowed.values);
    if (allowed.requests !== null)
      expect(permit.requests ?? Infinity, `${pair}: limit`).to.be.at.most(allowed.requests);
    if (allowed.role !== 'owner') expect(permit.role, `${pair}: role`).to.equal(allowed.role);
    const thawed = allowed.frozen.filter((action) => !permit.frozen.includes(action) && !permit.frozen.includes('*'));
    expect(thawed, `${pair}: frozen in the whole history alone`).to.deep.equal([]);
  }
  const callers = async (db: Knex): Promise<string[]> =>
    db('callers')
      .whereNull('revoked_at')
      .whereRaw(`coalesce(expires_at, 'infinity') > now()`)
      .pluck('id') as unknown as Promise<string[]>;
  const alive = await callers(whole);
  expect((await callers(restored)).filter((id) => !alive.includes(id))).to.deep.equal([]);
}

/** How many pairs of a key and a business are permitted: a test in which it is always none says nothing. */
export const countPermits = async (db: Knex): Promise<number> => (await permitsOf(db)).size;
