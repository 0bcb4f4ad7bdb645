/** /freezes: deny at once, for a while, what an incident asks for, without an edit of the policy. */

import { z } from 'zod';
import { endOf, freezeBody, freezeEndBody } from '../../freezes/body.ts';
import { createFreeze, extendFreeze, getFreeze, liftFreeze, listFreezes } from '../../freezes/freezes.ts';
import { pageQuery } from '../../input/resources.ts';
import type { Service } from '../../service.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { idParams, pageOf } from '../shared-shapes.ts';
import { freezeData } from './freezes-shapes.ts';

/** A list, and so over a screen: each route is one value, and none depends on another. */
export const freezeRoutes = ({ adminDb: db, cursors }: Service): Route[] => [
  route({
    method: 'post',
    path: '/freezes',
    scope: 'freeze',
    summary: 'Denies with FROZEN, everywhere within a second, what fits all that is named.',
    body: freezeBody,
    bodyExample: {
      action: 'call:*',
      businessId: 'bakery',
      forSeconds: 7200,
      reason: 'Calls to premium numbers are being looked into.',
    },
    answers: { 201: { description: 'The freeze, in force.', message: 'It is frozen.', data: freezeData } },
    handle: async ({ body: { reason, everything: _, until, forSeconds, ...scope }, actor }) => ({
      status: 201,
      reply: success('It is frozen.', await createFreeze(db, actor, scope, reason, endOf({ until, forSeconds }))),
    }),
  }),
  route({
    method: 'get',
    path: '/freezes/{id}',
    scope: 'freeze',
    summary: 'One freeze, in force or not.',
    params: idParams,
    answers: { 200: { description: 'The freeze.', data: freezeData } },
    failures: ['NOT_FOUND'],
    handle: async ({ params }) => ({ reply: success('The freeze.', await getFreeze(db, params.id)) }),
  }),
  route({
    method: 'get',
    path: '/freezes',
    scope: 'freeze',
    summary: 'Freezes, the newest first.',
    query: z.strictObject({
      ...pageQuery,
      inForce: z.enum(['true', 'false']).default('false').describe('true: only those in force'),
    }),
    answers: { 200: { description: 'A page of freezes.', data: pageOf(freezeData) } },
    handle: async ({ query: { inForce, ...page } }) => ({
      reply: success('A page of freezes.', await listFreezes(db, inForce === 'true', page, cursors)),
    }),
  }),
  route({
    method: 'patch',
    path: '/freezes/{id}',
    scope: 'freeze',
    summary: 'Moves the end of a freeze in force, without a gap.',
    params: idParams,
    body: freezeEndBody,
    bodyExample: { forSeconds: 3600 },
    answers: {
      200: { description: 'The freeze, with its new end.', message: 'The freeze has a new end.', data: freezeData },
    },
    failures: ['NOT_FOUND', 'CONFLICT'],
    handle: async ({ params, body, actor }) => ({
      reply: success('The freeze has a new end.', await extendFreeze(db, actor, params.id, endOf(body))),
    }),
  }),
  route({
    method: 'delete',
    path: '/freezes/{id}',
    scope: 'freeze',
    summary: 'Lifts a freeze, at once. It stays in the list.',
    params: idParams,
    answers: { 204: { description: 'It is lifted, now or before, or had ended.' } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, actor }) => {
      await liftFreeze(db, actor, params.id);
      return { status: 204 };
    },
  }),
];
