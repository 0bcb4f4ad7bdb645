/**
 * A second implementation of the facts of a question, under the shipped policy and under `EVERY_KIND` of test/support/declared.ts: by
 * hand, fact by fact, with its members in the order of RFC 8785.
 */

import type { Freeze } from '../../src/freezes/covering.ts';
import type { Asked, Stored } from '../../src/policy/facts-under.ts';

export type Under = 'shipped' | 'every kind';

const REGISTER: Readonly<Record<Under, readonly string[]>> = {
  shipped: ['account:read', 'business:read', 'call:create', 'call:read', 'user:usage:read'],
  'every kind': ['call:create', 'call:read', 'user:create'],
};
const ROLES: Readonly<Record<Under, readonly string[]>> = {
  shipped: ['owner', 'member', 'none'],
  'every kind': ['owner', 'member', 'none', 'viewer'],
};

/** The facts as RFC 8785 JSON. */
export function expectedFacts(
  under: Under,
  { key, user, target, stored }: Stored,
  { action, ip, attributes, moment = 0 }: Asked,
  exceeded: boolean,
  frozen: boolean,
): string {
  const all = under === 'every kind';
  const of = <T>(exists: boolean, given: T): T | Record<string, never> => (exists ? given : {});
  const { can } = of(key.status !== 'unknown', stored.key);
  const { plan } = of(user.status !== 'unknown', stored.user);
  const { region } = of(target.status !== 'unknown' && target.status !== 'none', stored.target);
  const has = (grant: string): boolean => Array.isArray(can) && can.includes(grant);
  const oneOf = (values: readonly unknown[], value: unknown): unknown => (values.includes(value) ? value : 'unknown');
  const { soft, state } = attributes ?? {};
  return JSON.stringify({
    ...(all && { asked: { soft: soft === true, state: oneOf(['on', 'off'], state) } }),
    freeze: { active: frozen },
    key: {
      ...(all && { can: { recordings: has('recordings'), sms: has('sms') } }),
      environment: key.environment,
      id: key.id,
      status: key.status,
      userManagement: key.userManagement,
    },
    limit: { exceeded },
    ...(all && { network: networksOf(ip) }),
    request: {
      action,
      addressed: ip !== undefined,
      byId: false,
      ...(all && { group: { reads: action === 'call:read' } }),
      registered: REGISTER[under].includes(action),
    },
    ...(all && { schedule: schedulesAt(new Date(moment)) }),
    target: {
      id: target.id,
      inRestriction: target.inRestriction,
      ...(all && { region: oneOf(['eu', 'us'], region) }),
      role: ROLES[under].includes(target.role) ? target.role : 'other',
      status: target.status,
    },
    user: {
      businesses: user.businesses,
      id: user.id,
      ...(all && { plan: oneOf(['free', 'pro'], plan) }),
      status: user.status,
    },
  });
}

function networksOf(ip = ''): object {
  const last = /^(?:::ffff:)?203\.0\.113\.(\d+)$/.exec(ip)?.[1];
  return { berlin: Number(last ?? 0) >= 128, office: last !== undefined || ip.startsWith('2001:db8:') };
}

function schedulesAt(time: Date): object {
  const hour = time.getUTCHours();
  const day = time.toISOString().slice(0, 10);
  return { morning: hour >= 8 && hour < 12 && day !== '2026-12-25', weekend: [0, 6].includes(time.getUTCDay()) };
}

/** Whether a freeze covers the question at a moment: each of them is tried. */
export const isCovered = (
  freezes: readonly Freeze[],
  { key, user, target }: Stored,
  action: string,
  at: number,
): boolean =>
  freezes.some(
    (freeze) =>
      freeze.until > at &&
      (freeze.action === null ||
        freeze.action === action ||
        action.startsWith(freeze.action.replace(/\*$/, ' ').trimEnd())) &&
      [null, key.id].includes(freeze.keyId) &&
      [null, user.id].includes(freeze.userId) &&
      [null, target.id].includes(freeze.businessId),
  );
