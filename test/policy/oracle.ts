/**
 * The oracle: the contract's table of codes of POST /authorize, and which facts can occur together, written from its prose
 * alone. It shares nothing with `src/policy` but the types, so that the two can disagree.
 */

import type { Facts } from '../../src/policy/facts.ts';

/** The code by the contract's table: the first line that applies. */
export function codeOf({ key, user, target, limit, request }: Facts): string {
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

const ACTIONS = [
  'user:x',
  'user:usage:read',
  'users:list',
  'account:read',
  'accounts:read',
  'call:create',
  'business:read',
  'a-user:read',
] as const;

/** The product of all values of closed facts with sample texts, whether it can occur or not. */
export function* everything(): Generator<Facts> {
  const both = [true, false];
  const keys = ['', 'k1'].flatMap((id) =>
    (['active', 'expired', 'revoked', 'unknown'] as const).flatMap((status) =>
      both.flatMap((userManagement) =>
        ['', 'production'].map((environment) => ({ id, status, userManagement, environment })),
      ),
    ),
  );
  const users = ['', 'u1'].flatMap((id) =>
    (['active', 'disabled', 'unknown'] as const).flatMap((status) =>
      (['active', 'disabled'] as const).map((businesses) => ({ id, status, businesses })),
    ),
  );
  const targets = ['', 'b1'].flatMap((id) =>
    (['none', 'active', 'disabled', 'unknown'] as const).flatMap((status) =>
      (['owner', 'member', 'none'] as const).flatMap((role) =>
        both.map((inRestriction) => ({ id, status, role, inRestriction })),
      ),
    ),
  );
  const limits = both.map((exceeded) => ({ exceeded }));
  const requests = ACTIONS.map((action) => ({ action }));
  for (const key of keys) {
    for (const user of users) {
      for (const target of targets) {
        for (const limit of limits) for (const request of requests) yield { key, user, target, limit, request };
      }
    }
  }
}
