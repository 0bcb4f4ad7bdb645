/** /keys: make, change, rotate, revoke and delete API keys. */

import { z } from 'zod';
import type { Config } from '../../config.ts';
import { acceptAttributes } from '../../directory/attributes.ts';
import type { Caller } from '../../directory/find-caller.ts';
import { keyBody, keyChanges, pageQuery, reasonBody, rotateBody } from '../../input/resources.ts';
import { idSchema } from '../../input/scalars.ts';
import {
  createKey,
  deleteKey,
  getKey,
  listKeys,
  type NewKey,
  revokeKey,
  rotateKey,
  updateKey,
} from '../../keys/keys.ts';
import type { ApiKey } from '../../keys/resource.ts';
import type { KeyRights } from '../../keys/rights.ts';
import type { Service } from '../../service.ts';
import type { Answered } from '../exchange.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { exampleOf, idParams, pageOf } from '../shared-shapes.ts';
import { ifMatchHeaders, keyData, newKeyData } from './keys-shapes.ts';

const KEY = exampleOf(keyData);
const CHANGED = {
  ...KEY,
  friendlyName: 'The bakery, and the garage',
  restrictedBusinessIds: ['bakery', 'garage'],
};
const REVOKED = {
  ...KEY,
  revokedAt: '2030-01-31T12:00:00.000Z',
  revokedReason: 'Posted in a public channel.',
  status: 'revoked',
};
const ROTATED = { ...exampleOf(newKeyData), key: { ...KEY, rotatedFrom: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e' } };

/** A list, and so over a screen: each route is one value, and none depends on another. */
export const keyRoutes = ({ adminDb: db, cursors, pepper, config, declaration }: Service): Route[] => [
  route({
    method: 'post',
    path: '/keys',
    scope: 'keys',
    heedsBounds: true,
    summary: 'Makes an API key. It is shown in this answer, and never again.',
    body: keyBody,
    bodyExample: {
      userId: 'ada',
      friendlyName: 'Only for the bakery',
      allowUserManagementApiRequests: false,
      restrictedBusinessIds: ['bakery'],
      rateLimit: { requests: 100, windowSeconds: 60 },
    },
    answers: {
      201: {
        description: 'The key, in clear, and its resource.',
        message: 'The key is shown this once. Keep it.',
        data: newKeyData,
        headers: ETAG,
      },
    },
    handle: async ({ body: { userId, ...given }, caller, actor }) => {
      const grants = { ...given, attributes: acceptAttributes(declaration(), 'key', given.attributes) };
      return made(await createKey(db, pepper, actor, rightsOf(caller, config), userId, grants));
    },
  }),
  route({
    method: 'get',
    path: '/keys/{id}',
    scope: 'keys:read',
    heedsBounds: true,
    summary: 'One key. Its ETag is for If-Match.',
    params: idParams,
    answers: { 200: { description: 'The key.', data: keyData, headers: ETAG } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, caller }) => shown('The key.', await getKey(db, params.id, caller.bounds)),
  }),
  route({
    method: 'get',
    path: '/keys',
    scope: 'keys:read',
    heedsBounds: true,
    summary: 'The keys, of one user or of all, in the order of their ids.',
    query: z.strictObject({ ...pageQuery, userId: idSchema.optional() }),
    answers: { 200: { description: 'A page of keys.', data: pageOf(keyData) } },
    handle: async ({ query: { userId, ...page }, caller }) => {
      const { items, nextCursor } = await listKeys(db, userId, page, cursors, caller.bounds);
      return { reply: success('A page of keys.', { items: items.map(resource), nextCursor }) };
    },
  }),
  route({
    method: 'patch',
    path: '/keys/{id}',
    scope: 'keys',
    heedsBounds: true,
    summary: 'Changes what is named, and leaves the rest. With If-Match, only the version that was read.',
    params: idParams,
    headers: ifMatchHeaders,
    body: keyChanges,
    bodyExample: { friendlyName: 'The bakery, and the garage', restrictedBusinessIds: ['bakery', 'garage'] },
    answers: {
      200: {
        description: 'The key, changed or as it was.',
        message: 'The key is as asked.',
        data: keyData,
        example: CHANGED,
        headers: ETAG,
      },
    },
    failures: ['NOT_FOUND', 'CONFLICT', 'PRECONDITION_FAILED'],
    handle: async ({ params, body, caller, actor, headers }) => {
      const mayChange = ifMatch(headers['If-Match']);
      const attributes = body.attributes && acceptAttributes(declaration(), 'key', body.attributes);
      const changes = defined({ ...body, attributes });
      const key = await updateKey(db, actor, rightsOf(caller, config), params.id, changes, mayChange);
      return shown('The key is as asked.', key);
    },
  }),
  route({
    method: 'post',
    path: '/keys/{id}/rotate',
    scope: 'keys',
    heedsBounds: true,
    summary: 'Makes a key with the same grants; the old one works for the overlap, then expires.',
    params: idParams,
    body: rotateBody,
    bodyOptional: true,
    bodyExample: { overlapSeconds: 3600 },
    answers: {
      201: {
        description: 'The new key, in clear, and its resource.',
        message: 'The key is shown this once. Keep it.',
        data: newKeyData,
        example: ROTATED,
        headers: ETAG,
      },
    },
    failures: ['NOT_FOUND', 'CONFLICT'],
    handle: async ({ params, body, caller, actor }) =>
      made(await rotateKey(db, pepper, actor, rightsOf(caller, config), params.id, body.overlapSeconds)),
  }),
  route({
    method: 'post',
    path: '/keys/{id}/revoke',
    scope: 'keys',
    heedsBounds: true,
    summary: 'Ends a key, at once and for good.',
    params: idParams,
    body: reasonBody,
    bodyOptional: true,
    bodyExample: { reason: 'Posted in a public channel.' },
    answers: {
      200: {
        description: 'The key, revoked now or before.',
        message: 'The key is revoked.',
        data: keyData,
        example: REVOKED,
        headers: ETAG,
      },
    },
    failures: ['NOT_FOUND'],
    handle: async ({ params, body, caller, actor }) =>
      shown('The key is revoked.', await revokeKey(db, actor, params.id, body.reason, caller.bounds)),
  }),
  route({
    method: 'delete',
    path: '/keys/{id}',
    scope: 'keys',
    heedsBounds: true,
    summary: 'Deletes a key, at once. The decision log keeps its id.',
    params: idParams,
    answers: { 204: { description: 'It is gone.' } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, caller, actor }) => {
      await deleteKey(db, actor, params.id, caller.bounds);
      return { status: 204 };
    },
  }),
];

const rightsOf = ({ scopes, bounds }: Caller, { MAX_KEY_LIFETIME }: Config): KeyRights => ({
  bounds,
  userManagement: scopes.has('keys:grant-user-management'),
  maxLifetimeMs: MAX_KEY_LIFETIME,
});

const ETAG = { ETag: 'Of the version of the key, for If-Match. Uses of the key leave it as it is.' };

const etag = (version: number): string => `"${version}"`;

/** The key resource of the contract: without the version, which is its ETag. */
function resource({ version, ...key }: ApiKey): Omit<ApiKey, 'version'> {
  return key;
}

const shown = (message: string, key: ApiKey): Answered => ({
  reply: success(message, resource(key)),
  headers: { ETag: etag(key.version) },
});

const made = ({ apiKey, key }: NewKey): Answered => ({
  status: 201,
  reply: success('The key is shown this once. Keep it.', { apiKey, key: resource(key) }),
  headers: { ETag: etag(key.version) },
});

/** The fields that a PATCH names: absent ones are left as they are, and null is a value. */
const defined = <T extends object>(body: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as never;

/** The precondition of If-Match (RFC 9110, 13.1.1): `*`, or a list of ETags, compared strongly; undefined: none. */
function ifMatch(header: string | undefined): ((version: number) => boolean) | undefined {
  if (header === undefined || header === '*') return undefined;
  const tags = header.split(',').map((tag) => tag.trim());
  return (version) => tags.includes(etag(version));
}
