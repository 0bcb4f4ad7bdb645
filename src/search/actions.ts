/**
 * What a key, or one of the keys of a user, may do: each action that the policy gives a name to, in its register or in `names.yaml`, is
 * decided as an evaluation would be.
 */

import type { Deadline } from '../deadline.ts';
import type { LoadNamed, Named } from '../facts/load-named.ts';
import { type InForce, withFreeze } from '../freezes/in-force.ts';
import { invalid } from '../input/json.ts';
import { decide, type Policy } from '../policy/decide.ts';
import { type Asked, factsUnder } from '../policy/facts-under.ts';
import { runInTurn } from '../policy/time-slices.ts';

export interface ActionSearch {
  readonly loadNamed: LoadNamed;
  readonly freezes: Pick<InForce, 'current'>;
  readonly policy: Policy;
  readonly named: Named;
  readonly businessId: string | undefined;
  readonly question: Omit<Asked, 'action'>;
  readonly deadline: Deadline;
}

/** More decisions are refused. */
export const MOST_DECISIONS = 20_000;

/**
 * The names, in the order of their characters.
 * @throws Failure INVALID_REQUEST: there are too many keys and names; UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function searchActions(search: ActionSearch): Promise<readonly string[]> {
  const { loadNamed, freezes, policy, named, businessId, question, deadline } = search;
  const { names, rows, schema } = policy;
  const told = rows.flatMap(({ when }) => [...(when.constants.get('r.key.id') ?? [])]);
  const [keys = []] = await loadNamed([{ named, businessId }], told, deadline);
  // A name of the register that names.yaml gives to another action means that one.
  const catalogue = new Map([
    ...[...schema.declaration.actions.known.keys()].map((one) => [one, one] as const),
    ...names.actions,
  ]);
  if (keys.length * catalogue.size > MOST_DECISIONS)
    throw invalid(
      '',
      `the keys of this user and the actions are too many to be decided one by one; ask about one key, as an api_key`,
    );
  const freezeOf = await freezes.current(deadline);
  function* allowed(): Generator<void, readonly string[]> {
    const found: string[] = [];
    for (const [name, action] of catalogue) {
      for (const known of keys) {
        const asked = { ...question, action };
        const freeze = freezeOf({ ...known, request: asked });
        yield;
        if (decide(policy, withFreeze(factsUnder(schema, known, asked), freeze)).effect !== 'allow') continue;
        found.push(name);
        break;
      }
    }
    return found.sort();
  }
  return runInTurn(allowed());
}
