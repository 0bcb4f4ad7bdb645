/**
 * A model of the database in memory, which changes at random, with the reads that fill a cache and the expected values. It
 * returns what is stored as the loader makes it: frozen records. Attributes and roles are of test/support/declared.ts, and some that it
 * does not declare.
 */

import { randomBytes } from 'node:crypto';
import type { Change } from '../../src/db/mutate.ts';
import type { Found, Read } from '../../src/facts/cache.ts';
import { digestTag, type Poll, tagOf } from '../../src/facts/freshness.ts';
import { WITHOUT_ATTRIBUTES } from '../../src/facts/stored-facts.ts';
import type { StoredAttributes } from '../../src/policy/declared/declaration.ts';
import { closed } from '../../src/policy/facts.ts';
import type { Stored } from '../../src/policy/facts-under.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';

/** Valid ids that code would mix up which joins strings, looks them up in an object, or ignores case. */
export const HOSTILE = [
  '__proto__',
  'constructor',
  'toString',
  'key:1',
  'user:1',
  '1',
  '01',
  'a',
  'A',
  'a:b',
  'a.b',
  '-',
  '..',
  ':',
  'x'.repeat(64),
  `${'x'.repeat(63)}y`,
];

export type Random = (below: number) => number;

/** A seeded random number generator. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Key {
  readonly id: string;
  readonly digest: Buffer;
  readonly user: number;
  exists: boolean;
  revoked: boolean;
  userManagement: boolean;
  restricted: Set<number> | undefined;
  expires: number;
  attributes: StoredAttributes;
}

const ROLES = ['owner', 'member', 'viewer', 'editor'] as const;
const KEY_ATTRIBUTES: readonly StoredAttributes[] = [
  {},
  { can: ['sms'] },
  { can: ['sms', 'recordings', 'x'] },
  { can: 'sms' },
];
const USER_ATTRIBUTES: readonly StoredAttributes[] = [
  {},
  { plan: 'free' },
  { plan: 'pro' },
  { plan: 'gold', more: 'x' },
];
const BUSINESS_ATTRIBUTES: readonly StoredAttributes[] = [{}, { region: 'eu' }, { region: 'us' }, { region: ['eu'] }];

const USERS = 4;
export const KEYS = HOSTILE.length;
export const BUSINESSES = HOSTILE.length;
/** The number that stands for no business. */
export const NONE = BUSINESSES;

export function createWorld(random: Random) {
  const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
  const users = Array.from({ length: USERS }, () => ({
    disabled: false,
    businesses: false,
    attributes: USER_ATTRIBUTES[0] as StoredAttributes,
  }));
  const businesses = Array.from({ length: BUSINESSES }, () => ({
    exists: true,
    disabled: false,
    attributes: BUSINESS_ATTRIBUTES[0] as StoredAttributes,
  }));
  const members = new Map<number, (typeof ROLES)[number]>();
  const keys = HOSTILE.map(
    (id, index): Key => ({
      id,
      digest: randomBytes(32),
      user: index % USERS,
      exists: random(4) > 0,
      revoked: false,
      userManagement: random(2) === 0,
      restricted: undefined,
      expires: Number.POSITIVE_INFINITY,
      attributes: pick(KEY_ATTRIBUTES),
    }),
  );
  const log: (Change & { seq: number })[] = [];
  let clock = 1e12;

  const idOf = (index: number): string => HOSTILE[index] ?? '';
  const change = (kind: Change['kind'], index: number): void => {
    const digest = kind === 'key' ? keys[index]?.digest : undefined;
    log.push({ seq: log.length + 1, kind, id: kind === '*' ? '' : idOf(index), digest });
  };

  /** One commit. */
  const mutate = (): void => {
    const k = random(KEYS);
    const u = random(USERS);
    const b = random(BUSINESSES);
    const key = keys[k] as Key;
    const user = users[u] as (typeof users)[number];
    const business = businesses[b] as (typeof businesses)[number];
    const acts: (() => readonly [Change['kind'], number] | undefined)[] = [
      () => {
        key.exists = !key.exists;
        key.revoked = false;
        return ['key', k];
      },
      () => {
        key.revoked = true;
        return ['key', k];
      },
      () => {
        key.userManagement = !key.userManagement;
        return ['key', k];
      },
      () => {
        key.restricted = random(2) ? new Set([random(BUSINESSES), b]) : undefined;
        return ['key', k];
      },
      () => {
        key.expires = random(3) ? clock + random(3000) : Number.POSITIVE_INFINITY;
        return ['key', k];
      },
      () => {
        user.disabled = !user.disabled;
        return ['user', u];
      },
      () => {
        user.businesses = !user.businesses;
        return ['user', u];
      },
      () => {
        business.disabled = !business.disabled;
        return ['business', b];
      },
      () => {
        business.exists = !business.exists;
        return ['business', b];
      },
      () => {
        members.set(u * BUSINESSES + b, pick(ROLES));
        return ['user', u];
      },
      () => {
        members.delete(u * BUSINESSES + b);
        return ['user', u];
      },
      () => {
        key.attributes = pick(KEY_ATTRIBUTES);
        return ['key', k];
      },
      () => {
        user.attributes = pick(USER_ATTRIBUTES);
        return ['user', u];
      },
      () => {
        business.attributes = pick(BUSINESS_ATTRIBUTES);
        return ['business', b];
      },
      () => (random(50) === 0 ? ['*', 0] : undefined),
    ];
    const changed = acts[random(acts.length)]?.();
    if (changed) change(...changed);
  };

  const truth = (k: number, b: number): Stored => {
    const key = keys[k] as Key;
    const business = businesses[b];
    const id = b === NONE ? '' : idOf(b);
    const status = b === NONE ? 'none' : !business?.exists ? 'unknown' : business.disabled ? 'disabled' : 'active';
    if (!key.exists) {
      return {
        key: closed({ ...BUILT_IN.nothingKnown.key }),
        user: closed({ ...BUILT_IN.nothingKnown.user }),
        target: closed({ ...BUILT_IN.nothingKnown.target, id, status: b === NONE ? 'none' : 'unknown' }),
        stored: WITHOUT_ATTRIBUTES,
      };
    }
    const user = users[key.user] as (typeof users)[number];
    const role = b === NONE || status === 'unknown' ? 'none' : (members.get(key.user * BUSINESSES + b) ?? 'none');
    const inRestriction = b !== NONE && (!key.restricted || (business?.exists === true && key.restricted.has(b)));
    return {
      key: closed({
        ...BUILT_IN.nothingKnown.key,
        id: key.id,
        status: key.revoked ? 'revoked' : key.expires <= clock ? 'expired' : 'active',
        userManagement: key.userManagement,
        environment: 'production',
      }),
      user: closed({
        ...BUILT_IN.nothingKnown.user,
        id: idOf(key.user),
        status: user.disabled ? 'disabled' : 'active',
        businesses: user.businesses ? 'disabled' : 'active',
      }),
      target: closed({
        ...BUILT_IN.nothingKnown.target,
        id,
        status,
        // As it is stored: which roles are declared is not known here.
        role: role as Stored['target']['role'],
        inRestriction,
      }),
      stored: {
        key: key.attributes,
        user: user.attributes,
        target: b === NONE || !business?.exists ? {} : business.attributes,
      },
    };
  };

  const found = (k: number, b: number): Found<Stored> => {
    const key = keys[k] as Key;
    const value = truth(k, b);
    const digests = [digestTag(key.digest)];
    const times = { since: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY };
    if (!key.exists) return { value, exists: false, tags: digests, ...times };
    if (value.key.status === 'expired') times.since = key.expires;
    if (value.key.status === 'active') times.until = key.expires;
    const business = b === NONE ? [] : [tagOf('business', idOf(b))];
    return {
      value,
      exists: true,
      tags: [tagOf('key', key.id), tagOf('user', idOf(key.user)), ...business, ...digests],
      ...times,
    };
  };

  return {
    mutate,
    truth,
    last: () => log.length,
    nameOf: (k: number, b: number): string => (keys[k] as Key).digest.toString('latin1') + (b === NONE ? '' : idOf(b)),
    /** Whether a change above `seq` concerns the key or the business. */
    touchedSince: (seq: number, k: number, b: number): boolean => {
      const { tags } = found(k, b);
      const key = tagOf('key', (keys[k] as Key).id);
      return log
        .slice(seq)
        .some(({ kind, id }) => kind === '*' || tagOf(kind, id) === key || tags.includes(tagOf(kind, id)));
    },
    read: (k: number, b: number): Read<Stored> => ({ seq: log.length, found: [found(k, b)] }),
    commitAt: (seq: number) => ({ seq, changes: [log[seq - 1] as Change] }),
    pass: (milliseconds: number): void => {
      clock += milliseconds;
    },
    poll: (after: number | undefined, at: number): Poll => ({
      after,
      sentAt: at,
      receivedAt: at,
      history: 'h',
      last: log.length,
      anchor: after ? `at ${after}` : null,
      newest: log.length > 0 ? `at ${log.length}` : null,
      clock,
      changes: after === undefined ? [] : log.slice(after),
    }),
  };
}
