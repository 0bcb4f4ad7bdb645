/** /users: the owners of API keys. */

import { z } from 'zod';
import { acceptAttributes } from '../../directory/attributes.ts';
import { refuseToEndUser, refuseToPutUser } from '../../directory/bounds.ts';
import { deleteUser, getUser, listUsers, putUser } from '../../directory/users.ts';
import { pageQuery, reasonBody, userBody } from '../../input/resources.ts';
import { revokeKeysOf } from '../../keys/keys.ts';
import type { Service } from '../../service.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { idParams, pageOf } from '../shared-shapes.ts';
import { revokedData, userData } from './users-shapes.ts';

/** A list, and so over a screen: each route is one value, and none depends on another. */
export const userRoutes = ({ adminDb: db, cursors, declaration }: Service): Route[] => [
  route({
    method: 'put',
    path: '/users/{id}',
    scope: 'directory',
    heedsBounds: true,
    summary: 'Makes a user, or replaces what it is: what is left out is reset.',
    params: idParams,
    body: userBody,
    bodyExample: { disabled: true, disabledReason: 'The account was closed on request.' },
    answers: {
      200: { description: 'The user, changed or as it was.', message: 'The user is as asked.', data: userData },
      201: { description: 'The user, made.', message: 'The user was made.', data: userData },
    },
    handle: async ({ params, body, caller, actor }) => {
      refuseToPutUser(caller.bounds, params.id);
      const state = { ...body, attributes: acceptAttributes(declaration(), 'user', body.attributes) };
      const { user, created } = await putUser(db, actor, params.id, state);
      return {
        status: created ? 201 : 200,
        reply: success(created ? 'The user was made.' : 'The user is as asked.', user),
      };
    },
  }),
  route({
    method: 'get',
    path: '/users/{id}',
    scope: 'directory:read',
    heedsBounds: true,
    summary: 'One user.',
    params: idParams,
    answers: { 200: { description: 'The user.', data: userData } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, caller }) => ({
      reply: success('The user.', await getUser(db, params.id, caller.bounds)),
    }),
  }),
  route({
    method: 'get',
    path: '/users',
    scope: 'directory:read',
    heedsBounds: true,
    summary: 'All users, in the order of their ids.',
    query: z.strictObject(pageQuery),
    answers: { 200: { description: 'A page of users.', data: pageOf(userData) } },
    handle: async ({ query, caller }) => ({
      reply: success('A page of users.', await listUsers(db, query, cursors, caller.bounds)),
    }),
  }),
  route({
    method: 'delete',
    path: '/users/{id}',
    scope: 'directory',
    heedsBounds: true,
    summary: 'Deletes a user, its API keys and its memberships.',
    params: idParams,
    answers: { 204: { description: 'It is gone.' } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, caller, actor }) => {
      refuseToEndUser(caller.bounds, params.id);
      await deleteUser(db, actor, params.id);
      return { status: 204 };
    },
  }),
  route({
    method: 'post',
    path: '/users/{id}/revoke-keys',
    scope: 'keys',
    heedsBounds: true,
    summary: 'Revokes all API keys of a user, at once.',
    params: idParams,
    body: reasonBody,
    bodyOptional: true,
    bodyExample: { reason: 'The laptop was stolen.' },
    answers: {
      200: { description: 'How many were revoked by this.', message: 'Keys that this revoked: 1.', data: revokedData },
    },
    failures: ['NOT_FOUND'],
    handle: async ({ params, body, caller, actor }) => {
      refuseToEndUser(caller.bounds, params.id);
      const revoked = await revokeKeysOf(db, actor, params.id, body.reason);
      return { reply: success(`Keys that this revoked: ${revoked}.`, { revoked }) };
    },
  }),
];
