/**
 * Why a recorded decision was taken: its facts, explained under the policy of its time, which the record names by digest.
 * `audit show`, the API and `policy explain ID` all answer from here.
 */

import type { Knex } from 'knex';
import type { Actor } from '../../db/mutate.ts';
import { Failure } from '../../errors.ts';
import { freezesAt } from '../../freezes/freezes.ts';
import { type Decision, isSameDecision, type Policy, UNMAPPED_RULE } from '../../policy/decide.ts';
import { type Explanation, explaining } from '../../policy/explain.ts';
import { type RecordedFacts, readRecordedFacts } from '../../policy/recorded-facts.ts';
import type { Schema } from '../../policy/schema.ts';
import { runInTurn, runToEnd } from '../../policy/time-slices.ts';
import { policyOfTime } from '../../rollout/store.ts';
import { recordShow } from '../access-log.ts';
import type { DecisionRecord } from '../columns.ts';
import { getDecision } from './decisions.ts';

/** What an explanation needs of a record. */
export type Explicable = Pick<DecisionRecord, 'effect' | 'code' | 'rule' | 'policy' | 'factsVersion' | 'facts'>;

/** How what was recorded compares with what a policy says of the recorded facts. */
export type Verdict = 'same policy, same decision' | 'another policy' | 'CONTRADICTS THE RECORD';

export type Account =
  | {
      readonly explanation: Explanation;
      readonly verdict: Verdict;
      /** What the reader must know: that the record contradicts its policy, or which facts were assumed; null: nothing. */
      readonly note: string | null;
      readonly failure?: never;
    }
  | {
      readonly explanation: null;
      readonly verdict?: never;
      /** Why there is no explanation. */
      readonly note: string;
      /** Where the policy does not decide the recorded facts: what `decide` threw. */
      readonly failure?: Failure;
    };

/**
 * Explains a record under `policy`: the one that decided, or any other. Facts that are younger than the record take their
 * declared defaults.
 * @throws Error: the policy contradicts itself, a defect of this program
 */
export const explainUnder = (policy: Policy, recorded: Explicable, schema = policy.schema): Account =>
  runToEnd(explainingUnder(policy, recorded, schema));

/** As `explainUnder`. Yields often. */
function* explainingUnder(policy: Policy, recorded: Explicable, schema: Schema): Generator<void, Account> {
  const withoutExplanation = (why: string, failure?: Failure): Account => ({
    explanation: null,
    note: `It cannot be explained: the policy ${policy.digest} ${why}.`,
    ...(failure && { failure }),
  });
  // A decision that no row made: its facts are not why.
  if (recorded.rule === UNMAPPED_RULE) return { explanation: null, note: UNMAPPED };
  let readable: RecordedFacts;
  try {
    readable = readRecordedFacts(recorded.facts, recorded.factsVersion, schema);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return withoutExplanation(`does not take the recorded facts: ${error.message}`);
  }
  const { facts, assumed } = readable;
  let explanation: Explanation;
  try {
    explanation = yield* explaining(policy, facts);
  } catch (error) {
    // Any other error is a contradiction inside this program, which says nothing of the record.
    if (!(error instanceof Failure)) throw error;
    const { message } = (error.cause ?? error) as Error;
    return withoutExplanation(`does not decide the recorded facts: ${message}`, error);
  }
  const verdict = verdictOn(recorded, explanation);
  const notes = [
    ...(verdict === 'CONTRADICTS THE RECORD' ? [contradiction(explanation.decision)] : []),
    ...(assumed.length > 0 ? [assumption(recorded.factsVersion, assumed)] : []),
  ];
  return { explanation, verdict, note: notes.length > 0 ? notes.join(' ') : null };
}

/**
 * Explains a record under the policy of its time. A contradiction inside this program must not hide the record: it is the note.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function explainRecorded(db: Knex, recorded: Explicable): Promise<Account> {
  const { policy, why } = await policyOfTime(db, recorded.policy);
  if (policy === undefined) return { explanation: null, note: `It cannot be explained: ${why}.` };
  try {
    return await runInTurn(explainingUnder(policy, recorded, policy.schema));
  } catch (error) {
    if (error instanceof Failure) throw error;
    const note = `It cannot be explained, by a defect of this program, which says nothing of the record: ${(error as Error).message}.`;
    return { explanation: null, note };
  }
}

export type ShownDecision = DecisionRecord & Pick<Account, 'explanation' | 'note'>;

/** One decision and its explanation. Leaves the event `audit.show`. @throws Failure NOT_FOUND, UNAVAILABLE or DEADLINE_EXCEEDED */
export async function showDecision(db: Knex, actor: Actor, id: string): Promise<ShownDecision> {
  const record = await getDecision(db, id);
  const { explanation, note } = await explainRecorded(db, record);
  const notes = [note, await frozenBy(db, record)].filter((each) => each !== null);
  await recordShow(db, actor, record.id);
  return { ...record, explanation, note: notes.length > 0 ? notes.join(' ') : null };
}

/** Which freezes covered a decision that was taken under one; null: none did. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function frozenBy(
  db: Knex,
  { at, action, apiKeyId, userId, businessId, facts }: DecisionRecord,
): Promise<string | null> {
  const { freeze } = facts as { readonly freeze?: { readonly active?: unknown } };
  if (freeze?.active !== true) return null;
  const freezes = await freezesAt(db, at, { action, apiKeyId, userId, businessId });
  if (freezes.length === 0)
    return 'It was frozen; the freeze is not in the table any more: see authz audit admin --kind freeze.';
  return `It was frozen by ${freezes.map(({ id, until, reason }) => `${id} (until ${until}: ${reason})`).join(', ')}.`;
}

const UNMAPPED =
  'It was asked, by AuthZEN, about a type, a name or an id that nothing here has: see names.yaml of its policy. No row decided it.';

function verdictOn(recorded: Explicable, { policy, decision }: Explanation): Verdict {
  if (recorded.policy !== policy) return 'another policy';
  return isSameDecision(recorded, decision) ? 'same policy, same decision' : 'CONTRADICTS THE RECORD';
}

const contradiction = ({ effect, code, rule }: Decision): string =>
  `THE RECORD CONTRADICTS ITS POLICY, which says ${effect} ${code} by the row ${rule} of these facts. See to who can ` +
  'write to the decision log, and run authz audit verify.';

const assumption = (version: number, assumed: readonly string[]): string =>
  `It was recorded under version ${version} of the facts, which did not have ${assumed.join(', ')}: the explanation ` +
  'assumes their defaults.';
