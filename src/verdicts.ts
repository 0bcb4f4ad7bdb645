/**
 * What the live policy says of a question, remembered by all that it depends on: with the facts, the public message and all else that every
 * such question is answered and recorded with. The same question of the same key is so the same frozen object each time, which is what the
 * texts of replies and records are kept by.
 */

import type { Known } from './facts/load.ts';
import type { Freeze } from './freezes/covering.ts';
import { withFreeze } from './freezes/in-force.ts';
import { withLimit } from './limits/limits.ts';
import { type Decision, type Policy, UNMAPPED_RULE } from './policy/decide.ts';
import type { Facts, Group } from './policy/facts.ts';
import { type Asked, askedUnder, factsUnder, spanAt } from './policy/facts-under.ts';
import { memoizedDecide } from './policy/memo.ts';
import { toldOf } from './policy/message.ts';
import type { Schema } from './policy/schema.ts';

export interface Verdict extends Decision {
  /** The HTTP status for the calling service to answer its own client with. */
  readonly status: number;
  /** Public, for that client. */
  readonly message: string;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly facts: Facts;
}

/** All that a verdict depends on beside the policy. */
export interface Situation {
  readonly known: Known;
  readonly asked: Asked;
  /** The key is over its rate limit. */
  readonly exceeded: boolean;
  /** What covers the question. */
  readonly freeze: Freeze | undefined;
  /** What to tell the client of a credential that is no key, where its own text says it. */
  readonly hint: string | undefined;
}

/** The facts of a situation under the policy of a schema. @throws what `factsUnder` throws */
export const factsOf = (schema: Schema, { known, asked, exceeded, freeze }: Situation): Facts =>
  withFreeze(withLimit(factsUnder(schema, known, asked), { exceeded }), freeze);

/** What one verdict was of, beside what is stored. Groups and freezes are compared by identity. */
interface Kept {
  readonly policy: Policy;
  readonly action: string;
  readonly addressed: boolean;
  readonly exceeded: boolean;
  readonly freeze: Freeze | undefined;
  readonly network: Group | undefined;
  readonly schedule: Group | undefined;
  readonly asked: Group | undefined;
  readonly verdict: Verdict;
}

/** How many verdicts are kept of a key and a business; more take the place of the oldest. */
const MOST_OF_ONE = 8;
/** How many pairs of them: those used last, up to twice as many. 1 KB each, and as much again for the texts that are kept by it. */
const MOST = 10_000;

/**
 * Returns what gives the verdict of a policy on a situation.
 * INVARIANT: a verdict is given again only where everything that it was made of is the same: the policy, what is stored (`known`, which is
 * immutable, and replaced when anything of it changes), and whatever `factsOf` and the message read beside them.
 * @throws Failure UNAVAILABLE: undecided; Error: the policy has no such code
 */
export function rememberedVerdicts(): (policy: Policy, situation: Situation) => Verdict {
  const decide = memoizedDecide();
  const keptOf = newest<Known, Kept[]>(MOST);
  return (policy, situation) => {
    const { known, asked, exceeded, freeze, hint } = situation;
    // What is known of no key is another object each time, of which anybody can ask for any number; so is what is loaded by an id.
    if (hint !== undefined || known.key.status === 'unknown' || asked.byId || asked.stored)
      return verdictOf(policy, situation, decide);
    const { schema } = policy;
    const { networks, schedules } = schema.declaration;
    const network = networks.length === 0 ? undefined : schema.networks.groupAt(asked.ip);
    const schedule =
      schedules.length === 0 || asked.moment === undefined ? undefined : spanAt(schema, asked.moment).group;
    const stated = askedUnder(schema, asked.attributes);
    const addressed = asked.ip !== undefined;
    const mine = keptOf.get(known) ?? [];
    for (const kept of mine) {
      if (
        kept.policy === policy &&
        kept.action === asked.action &&
        kept.addressed === addressed &&
        kept.exceeded === exceeded &&
        kept.freeze === freeze &&
        kept.network === network &&
        kept.schedule === schedule &&
        kept.asked === stated
      )
        return kept.verdict;
    }
    const verdict = verdictOf(policy, situation, decide);
    if (mine.length === 0) keptOf.set(known, mine);
    if (mine.length === MOST_OF_ONE) mine.shift();
    const { action } = asked;
    mine.push({ policy, action, addressed, exceeded, freeze, network, schedule, asked: stated, verdict });
    return verdict;
  };
}

function verdictOf(policy: Policy, situation: Situation, decide: ReturnType<typeof memoizedDecide>): Verdict {
  const facts = factsOf(policy.schema, situation);
  const { effect, code, rule } = decide(policy, facts);
  const { known, freeze, hint } = situation;
  const { status, message } = toldOf(policy.codes, code, { ...known.reasons, freeze: freeze?.reason }, hint);
  return Object.freeze({ effect, code, rule, status, message, policy: policy.digest, facts });
}

/** The verdict on what nothing maps, whatever the policy says. */
export const unmappedVerdict = (policy: Policy, situation: Situation): Verdict => ({
  effect: 'deny',
  code: 'PERMISSION_DENIED',
  rule: UNMAPPED_RULE,
  status: 403,
  message: 'Nothing here has the name that was asked about.',
  policy: policy.digest,
  facts: factsOf(policy.schema, situation),
});

/** A map of those used last: at `size` of them, those that were not used since the last time are dropped. */
function newest<K, V>(size: number) {
  let young = new Map<K, V>();
  let old = new Map<K, V>();
  const set = (key: K, value: V): void => {
    if (young.size >= size) {
      old = young;
      young = new Map();
    }
    young.set(key, value);
  };
  return {
    set,
    get: (key: K): V | undefined => {
      const here = young.get(key);
      if (here !== undefined) return here;
      const before = old.get(key);
      if (before !== undefined) set(key, before);
      return before;
    },
  };
}
