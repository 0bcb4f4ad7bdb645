/** Replays recorded decisions: evaluates their facts under another policy, or under the stored policies that made them. */

import type { Knex } from 'knex';
import { copyOut, type TextRow } from '../db/copy-out.ts';
import { orFailure } from '../db/failure.ts';
import { type Policy, UNMAPPED_RULE } from '../policy/decide.ts';
import { versionOf } from '../policy/facts.ts';
import { factsSince } from '../policy/recorded-facts.ts';
import { type Redecide, redecider } from '../policy/replay.ts';
import { BUILT_IN, type Schema } from '../policy/schema.ts';
import { policyOfTime } from './store.ts';
import { createTally, type Shift } from './tally.ts';

export interface Period {
  /** RFC 3339, inclusive. */
  readonly from: string;
  /** RFC 3339, exclusive. */
  readonly to: string;
}

/** Stands for the new code where the other policy throws, or refuses the recorded facts. */
export const FAILS = '(failure)';

export interface ReplayReport extends Period {
  /** Decisions that were evaluated again. */
  readonly replayed: number;
  /** Of those: with another code. */
  readonly changed: number;
  /** Of those: with the same code by another row. */
  readonly ruleChanged: number;
  readonly shifts: readonly Shift[];
  /** The distinct reasons of failures, up to ten. */
  readonly reasons: readonly string[];
  /**
   * The facts, by path, that came after some of the records, and the declared ones that rows read and some lack: those were replayed with
   * their defaults.
   */
  readonly assumed: readonly string[];
}

const COLUMNS = [
  'id',
  'code',
  'rule',
  'policy',
  'api_key_id',
  'user_id',
  'business_id',
  'facts_version',
  'facts',
] as const;

type Show = (replayed: number) => void;

/**
 * Evaluates the decisions of a period under `policy`. `show` gets the count so far.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export function replay(
  db: Knex,
  policy: Policy,
  period: Period,
  show: Show,
  schema = policy.schema,
): Promise<ReplayReport> {
  const redecide = redecider(policy, schema);
  return replayWith(db, () => redecide, period, show, schema);
}

/**
 * Evaluates the decisions of a period under the policies that made them. Any difference is a defect of the log, of the
 * stored policies, or of the evaluator.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function selfCheck(db: Knex, period: Period, show: Show): Promise<ReplayReport> {
  const digests = await orFailure<{ policy: string }[]>(inPeriod(db, period).distinct('policy') as never);
  const known = new Map<string, Redecide>();
  for (const { policy: digest } of digests) known.set(digest, await storedRedecider(db, digest));
  return replayWith(
    db,
    (digest) =>
      known.get(digest) ?? unreplayable(`no decision of the policy ${digest} was there when the replay began`),
    period,
    show,
    BUILT_IN,
  );
}

async function storedRedecider(db: Knex, digest: string): Promise<Redecide> {
  const { policy, why } = await policyOfTime(db, digest);
  return policy === undefined ? unreplayable(why) : redecider(policy);
}

/** Of a policy that cannot be had: each of its decisions is a failure, with the reason. */
const unreplayable = (why: string): Redecide => Object.assign(() => new Error(why), { assumed: new Set<string>() });

async function replayWith(
  db: Knex,
  redeciderOf: (digest: string) => Redecide,
  period: Period,
  show: Show,
  schema: Schema,
): Promise<ReplayReport> {
  const tally = createTally();
  const reasons = new Set<string>();
  const assumed = new Set<string>();
  let [replayed, changed, ruleChanged] = [0, 0, 0];
  let oldest = versionOf(schema.table);
  for await (const rows of copyOut(db, inPeriod(db, period).select(COLUMNS))) {
    for (const row of rows) {
      const [id, code, rule, policy, apiKeyId, userId, businessId, version, facts] = row as Texts;
      const redecide = redeciderOf(policy);
      const outcome = redecide(facts, Number(version));
      for (const path of redecide.assumed) assumed.add(path);
      oldest = Math.min(oldest, Number(version));
      if (outcome instanceof Error && reasons.size < 10) reasons.add(outcome.message);
      const to = outcome instanceof Error ? FAILS : outcome.code;
      if (to !== code) {
        changed += 1;
        tally.add({ id, from: code, to, apiKeyId, userId, businessId });
      } else if (!(outcome instanceof Error) && outcome.rule !== rule) ruleChanged += 1;
    }
    replayed += rows.length;
    show(replayed);
  }
  const found = { replayed, changed, ruleChanged, shifts: tally.shifts(), reasons: [...reasons] };
  return { ...period, ...found, assumed: [...factsSince(oldest, schema), ...assumed] };
}

type Id = string | null;
type Texts = readonly [string, string, string, string, Id, Id, Id, version: string, facts: string] & TextRow;

/** Those that a policy made. */
const inPeriod = (db: Knex, { from, to }: Period): Knex.QueryBuilder =>
  db('decisions').where('at', '>=', from).where('at', '<', to).whereNot('rule', UNMAPPED_RULE);

/** The number of decisions in a period, estimated by PostgreSQL's planner. */
export async function estimateDecisions(db: Knex, period: Period): Promise<number> {
  const query = inPeriod(db, period).select('id').toQuery();
  const { rows } = await orFailure(
    db.raw<{ rows: { 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }[] }>(`explain (format json) ${query}`),
  );
  return rows[0]?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0;
}

/** The recorded disagreements of shadow policies, by their digest. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function shadowShifts(db: Knex, period: Period): Promise<{ policy: string; shifts: Shift[] }[]> {
  const tallies = new Map<string, ReturnType<typeof createTally>>();
  const columns = ['shadow_policy', 'id', 'code', 'shadow_code', 'api_key_id', 'user_id', 'business_id'];
  for await (const rows of copyOut(db, inPeriod(db, period).whereNotNull('shadow_policy').select(columns))) {
    for (const row of rows) {
      const [policy, id, from, to, apiKeyId, userId, businessId] = row as ShadowTexts;
      const tally = tallies.get(policy) ?? createTally();
      tallies.set(policy, tally);
      tally.add({ id, from, to, apiKeyId, userId, businessId });
    }
  }
  return [...tallies].map(([policy, tally]) => ({ policy, shifts: tally.shifts() }));
}

type ShadowTexts = readonly [string, string, string, string, string | null, string | null, string | null] & TextRow;
