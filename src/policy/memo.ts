/**
 * Memoizes `decide`: the same immutable facts under the same policy give the same decision. Entries are found by identity of
 * the policy and of each group of facts (WeakMap), never by a joined string that two questions could share, and never expire
 * by time.
 */

import { type Decision, decide, type Policy } from './decide.ts';
import type { Facts } from './facts.ts';

/** The decisions on one target for one key and user; another key or user replaces them. */
interface Remembered {
  readonly key: Facts['key'];
  readonly user: Facts['user'];
  /** By the `limit` group, of which there are two objects, then by action. */
  readonly decisions: Map<Facts['limit'], Map<string, Decision>>;
}

/** Bounds for one target: actions, and `limit` objects. At a bound, all of its entries are dropped. */
const ACTIONS = 64;
const LIMITS = 2;

/**
 * A memoizing `decide`. Entries are garbage-collected with the facts and the policy that they are of.
 *
 * INVARIANT: only groups that can never change are keys: frozen, without prototype, and of plain values. Others are decided
 * on each time.
 */
export function memoizedDecide(): typeof decide {
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
    // Each part is read once, so that what is decided on is what the entry is filed under.
    const { key, user, target, limit, request } = given;
    const { action } = request;
    // INVARIANT: entries are filed under every fact of `request`. One that is added must become part of that, too.
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
