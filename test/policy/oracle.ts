/**
 * The oracle: the contract's table of codes of POST /authorize, and which facts can occur together, written from its prose
 * alone. They share with `src/policy` the list of facts
 * with their values, and nothing that decides, so that the two can disagree.
 */

import { ACTION_PATH, type Facts } from '../../src/policy/facts.ts';
import { factsSince } from '../../src/policy/recorded-facts.ts';
import type { Row } from '../../src/policy/row.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { productOf } from '../support/facts.ts';

/** The code by the contract's table: the first line that applies. */
export function codeOf({ key, user, target, limit, request, freeze }: Facts): string {
  const noun = request.action.slice(0, request.action.indexOf(':'));
  const hasTarget = target.status !== 'none';

  const invalid = key.status === 'unknown' || key.status === 'revoked' || key.status === 'expired';
  const nobody = user.status === 'unknown';
  if (invalid || nobody) return 'INVALID_API_KEY';

  if (user.status === 'disabled') return 'USER_DISABLED';

  if (limit.exceeded) return 'RATE_LIMITED';

  const mayNotManageUsers = noun === 'user' && !key.userManagement;
  const outsideRestriction = hasTarget && !target.inRestriction;
  const withoutAccess = hasTarget && !(target.role === 'owner' || target.role === 'member');
  const missing = target.status === 'unknown';
  const targetLacks = !hasTarget && noun !== 'user' && noun !== 'account';
  if (mayNotManageUsers || outsideRestriction || withoutAccess || missing || targetLacks) return 'PERMISSION_DENIED';

  if (freeze.active) return 'FROZEN';

  if (target.status === 'disabled' || (hasTarget && user.businesses === 'disabled')) return 'BUSINESS_DISABLED';

  return 'OK';
}

/** Whether these facts can occur. */
export function canOccur({ key, user, target, limit }: Facts): boolean {
  const named = (id: string): boolean => id.length > 0;

  // An id is empty exactly when the thing is unknown or absent.
  if (key.status === 'unknown' ? named(key.id) : !named(key.id)) return false;
  if (user.status === 'unknown' ? named(user.id) : !named(user.id)) return false;
  if (target.status === 'none' ? named(target.id) : !named(target.id)) return false;

  // An unknown key has no permission, environment, user or restriction.
  if (key.status === 'unknown') {
    if (key.userManagement || named(key.environment) || user.status !== 'unknown' || target.inRestriction) return false;
  }
  // An unknown user has no disabled businesses and no role.
  if (user.status === 'unknown' && (user.businesses === 'disabled' || target.role !== 'none')) return false;
  // An unknown business has no members.
  if (target.status === 'unknown' && target.role !== 'none') return false;
  // Without a target there is no role, and no restriction that names it.
  if (target.status === 'none' && (target.role !== 'none' || target.inRestriction)) return false;
  // A point of the limit is consumed only by an active key of an active user.
  if (limit.exceeded && !(key.status === 'active' && user.status === 'active')) return false;
  return true;
}

export const ACTIONS = [
  'user:x',
  'user:usage:read',
  'users:list',
  'account:read',
  'accounts:read',
  'call:create',
  'business:read',
  'a-user:read',
] as const;

/** Of every text that no row names: a value, beside none. */
const OTHER = 'other';

/** An action that the pattern matches. */
const matching = (pattern: string): string[] => (pattern === '*' ? [] : [pattern.replace(/\*$/, 'x')]);

/**
 * The product of the values of the facts, whether it can occur or not: all values of closed facts; of texts those that `rows`
 * name, none, and another. A fact that came after version 1 and that no row names keeps its default.
 */
export function everything(rows: readonly Pick<Row, 'action' | 'when'>[]): Generator<Facts> {
  const named = new Set(rows.flatMap(({ when }) => [...when.facts]));
  const later = new Set(factsSince(1, BUILT_IN));
  const constants = (path: string): string[] => rows.flatMap(({ when }) => [...(when.constants.get(path) ?? [])]);
  const patterns = [...rows.map(({ action }) => action), ...constants(ACTION_PATH)];
  const texts = (path: string): string[] =>
    path === ACTION_PATH ? [...ACTIONS, ...patterns.flatMap(matching)] : ['', OTHER, ...constants(path)];
  const samples = [...BUILT_IN.paths]
    .filter(([path]) => named.has(path) || !later.has(path))
    .map(([path, type]): [string, readonly (string | boolean)[]] => [
      path,
      type === 'text' ? [...new Set(texts(path))] : type === 'boolean' ? [true, false] : type,
    ]);
  return productOf(new Map(samples));
}
