/** Worlds and questions in them, drawn at random, and how a world is stored in a real service. */

import fc from 'fast-check';
import type { Question } from '../../packages/client/src/index.ts';
import type { World, WorldFreeze, WorldKey } from '../../packages/policy/src/index.ts';
import type { Client as HttpClient } from '../support/client.ts';
import { insertKey, type TestService } from '../support/service.ts';

export const credentialOf = (key: string, form: string): Partial<Question> => {
  if (form === 'none') return {};
  return form === 'key' ? { apiKey: key } : { authorization: form.replace('KEY', key) };
};

const [USERS, BUSINESSES] = [
  ['ann', 'bob'],
  ['bakery', 'garage', 'kiosk'],
];
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const rarely = fc.integer({ max: 5, min: 0 }).map((drawn) => drawn === 0);
const reason = fc.constantFrom(null, 'It was closed on request.');
const past = '2020-01-01T00:00:00.000Z';
const future = '2999-01-01T00:00:00.000Z';

const drawnKey = fc.record({
  user: fc.constantFrom(...USERS),
  allowUserManagementApiRequests: fc.boolean(),
  restrictedBusinessIds: fc.option(fc.uniqueArray(fc.constantFrom(...BUSINESSES), { minLength: 1 })),
  environment: fc.constantFrom('production', 'staging'),
  expiresAt: fc.constantFrom(null, null, past, future),
  revoked: rarely,
  rateLimitExceeded: rarely,
  can: maybe(fc.uniqueArray(fc.constantFrom('sms', 'recordings'))),
});
const drawnFreeze = fc.record({
  action: fc.constantFrom(null, 'call:*', 'call:create', 'trial:*'),
  user: fc.constantFrom(null, ...USERS),
  business: fc.constantFrom(...BUSINESSES),
  forSeconds: fc.constant(1800),
});
const KIOSK = { action: null, user: null, business: 'kiosk' };
export const drawnWorld = fc.record({
  users: fc.array(
    fc.record({
      disabled: rarely,
      disabledReason: reason,
      businessesDisabled: rarely,
      plan: maybe(fc.constantFrom('free', 'pro')),
    }),
    { minLength: USERS.length, maxLength: USERS.length },
  ),
  businesses: fc.array(
    fc.record({
      disabled: rarely,
      disabledReason: reason,
      region: maybe(fc.constantFrom('eu', 'us')),
      roles: fc.array(fc.constantFrom(undefined, 'owner', 'member'), {
        minLength: USERS.length,
        maxLength: USERS.length,
      }),
    }),
    { minLength: BUSINESSES.length, maxLength: BUSINESSES.length },
  ),
  keys: fc.array(drawnKey, { minLength: 6, maxLength: 6 }),
  // Of the two that cover all of the kiosk, the one that lasts longer is told.
  freezes: drawnFreeze.map((one) => [one, ...[7200, 3600].map((forSeconds) => ({ ...KIOSK, forSeconds }))]),
});
export type Drawn = typeof drawnWorld extends fc.Arbitrary<infer T> ? T : never;

export const drawnQuestion = fc.record({
  key: fc.nat(),
  form: fc.constantFrom(
    'key',
    'key',
    'key',
    'key',
    'Token KEY',
    'Token KEY',
    'Token KEY',
    'token KEY',
    'Bearer KEY',
    'Token  KEY',
    'KEY',
    '',
    'none',
  ),
  action: fc.constantFrom(
    'call:create',
    'call:read',
    'user:read',
    'account:read',
    'trial:start',
    'sms:send',
    'region:read',
  ),
  business: fc.constantFrom(undefined, null, ...BUSINESSES, ...BUSINESSES, 'nowhere'),
  context: maybe(
    fc.record(
      {
        ip: fc.constantFrom('203.0.113.7', '198.51.100.7', '::ffff:203.0.113.9'),
        attributes: fc.record(
          { soft: fc.boolean(), state: fc.constantFrom('active', 'archived') },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
  ),
});

/** Stores a drawn world in the service, its ids with their names, and returns it as the double is given it. */
export async function store(
  service: TestService,
  http: HttpClient,
  drawn: Drawn,
  name: (id: string) => string,
): Promise<World> {
  const users: Record<string, object> = {};
  for (const [at, { plan, ...user }] of drawn.users.entries()) {
    const given = { ...user, ...(user.disabled ? {} : { disabledReason: null }), attributes: plan ? { plan } : {} };
    users[name(USERS[at] as string)] = given;
    await http.data('PUT', `/users/${name(USERS[at] as string)}`, given);
  }
  const businesses: Record<string, object> = {};
  for (const [at, { region, roles, ...business }] of drawn.businesses.entries()) {
    const id = name(BUSINESSES[at] as string);
    const given = {
      ...business,
      ...(business.disabled ? {} : { disabledReason: null }),
      attributes: region ? { region } : {},
    };
    await http.data('PUT', `/businesses/${id}`, given);
    const members = Object.fromEntries(
      roles.flatMap((role, user) => (role ? [[name(USERS[user] as string), role] as const] : [])),
    );
    for (const [user, role] of Object.entries(members))
      await http.data('PUT', `/businesses/${id}/members/${user}`, { role });
    businesses[id] = { ...given, members };
  }
  const keys: Record<string, WorldKey> = {};
  for (const [at, { user, restrictedBusinessIds, can, ...grants }] of drawn.keys.entries()) {
    const id = name(`key${at}`);
    const restricted = restrictedBusinessIds?.map(name);
    const attributes = can ? { can } : {};
    const row = {
      id,
      user_id: name(user),
      allow_user_management: grants.allowUserManagementApiRequests,
      environment: grants.environment,
      expires_at: grants.expiresAt,
      revoked_at: grants.revoked ? past : null,
      attributes: JSON.stringify(attributes),
      ...(grants.rateLimitExceeded && { rate_limit_requests: 1, rate_limit_window_seconds: 86_400 }),
    };
    const apiKey = await insertKey(service, row, restricted);
    // The only one that its limit lets through, where it counts.
    if (grants.rateLimitExceeded) await http.decide(apiKey);
    keys[id] = { ...grants, apiKey, userId: name(user), restrictedBusinessIds: restricted ?? null, attributes };
  }
  const freezes: WorldFreeze[] = [];
  for (const { action, user, business, forSeconds } of drawn.freezes) {
    const freeze = {
      action,
      userId: user && name(user),
      businessId: name(business),
      reason: `It takes ${forSeconds} seconds.`,
    };
    const { until } = await http.data('POST', '/freezes', { ...freeze, forSeconds });
    freezes.push({ ...freeze, until: String(until) });
  }
  return { users, businesses, keys, freezes };
}
