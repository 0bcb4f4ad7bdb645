/**
 * The same immutable facts under the same policy give the same decision, so it is made once. Sameness is identity, of the
 * policy and of each group of facts: no text is joined that two questions could share, and nothing ends by time.
 */

import { type Decision, decide } from './decide.ts';
import type { Facts } from './facts.ts';
import type { Policy } from './policy.ts';

/** What was decided of one target with one key and user; another key or user takes its place. */
interface Remembered {
  readonly key: Facts['key'];
  readonly user: Facts['user'];
  /** By the facts about the limit, of which there are two, and the action. */
  readonly decisions: Map<Facts['limit'], Map<string, Decision>>;
}

/** Most actions, and most facts about the limit, that are remembered of one target. Beyond it all of them are forgotten. */
const ACTIONS = 64;
const LIMITS = 2;

/**
 * `decide`, that remembers. What is not needed any more goes with the facts and the policy that it was of.
 *
 * INVARIANT: only groups that can never say anything else are remembered by: frozen, without prototype, and of plain
 * values. Others are decided on each time.
 */
export function rememberingDecide(): typeof decide {
  const byPolicy = new WeakMap<Policy, WeakMap<Facts['target'], Remembered>>();

  const actionsOf = (policy: Policy, { key, user, target, limit }: Facts): Map<string, Decision> | undefined => {
    const remembered = byPolicy.get(policy)?.get(target);
    return remembered?.key === key && remembered.user === user ? remembered.decisions.get(limit) : undefined;
  };

  const remember = (policy: Policy, { key, user, target, limit, request }: Facts, decision: Decision): void => {
    const byTarget = byPolicy.get(policy) ?? new WeakMap<Facts['target'], Remembered>();
    byPolicy.set(policy, byTarget);
    const before = byTarget.get(target);
    const same = before?.key === key && before.user === user;
    const remembered: Remembered = same ? before : { key, user, decisions: new Map() };
    byTarget.set(target, remembered);
    const { decisions } = remembered;
    if (decisions.size === LIMITS && !decisions.has(limit)) decisions.clear();
    const actions = decisions.get(limit) ?? new Map<string, Decision>();
    decisions.set(limit, actions);
    if (actions.size === ACTIONS) actions.clear();
    actions.set(request.action, decision);
  };

  return (policy, given) => {
    // Each part is read once, so that what is decided on is what is remembered by.
    const { key, user, target, limit, request } = given;
    const { action } = request;
    const facts: Facts = { key, user, target, limit, request: { action } };
    const known = typeof action === 'string' ? actionsOf(policy, facts)?.get(action) : undefined;
    if (known) return known;
    const decision = Object.freeze(decide(policy, facts));
    if (isFixed(policy) && [key, user, target, limit].every(isConstant)) remember(policy, facts, decision);
    return decision;
  };
}

const isFixed = (policy: Policy): boolean => Object.isFrozen(policy) && Object.isFrozen(policy.rows);

const isConstant = (group: object): boolean =>
  Object.isFrozen(group) &&
  Object.getPrototypeOf(group) === null &&
  Object.values(Object.getOwnPropertyDescriptors(group)).every(({ value }) =>
    ['string', 'boolean'].includes(typeof value),
  );
