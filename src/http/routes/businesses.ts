/** /businesses and their members. */

import { z } from 'zod';
import { acceptAttributes, acceptRole } from '../../directory/attributes.ts';
import {
  refuseToDeleteBusiness,
  refuseToDeleteMember,
  refuseToPutBusiness,
  refuseToPutMember,
} from '../../directory/bounds.ts';
import {
  deleteBusiness,
  deleteMember,
  getBusiness,
  listBusinesses,
  listMembers,
  putBusiness,
  putMember,
} from '../../directory/businesses.ts';
import { businessBody, memberBody, pageQuery } from '../../input/resources.ts';
import type { Service } from '../../service.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { idParams, pageOf } from '../shared-shapes.ts';
import { businessData, memberData, memberParams } from './businesses-shapes.ts';

export const businessRoutes = (service: Service): Route[] => [...businesses(service), ...members(service)];

/** A list, and so over a screen: each route is one value, and none depends on another. */
const businesses = ({ adminDb: db, cursors, declaration }: Service): Route[] => [
  route({
    method: 'put',
    path: '/businesses/{id}',
    scope: 'directory',
    heedsBounds: true,
    summary: 'Makes a business, or replaces what it is: what is left out is reset.',
    params: idParams,
    body: businessBody,
    bodyExample: { disabled: true, disabledReason: 'The invoice of June is unpaid.' },
    answers: {
      200: {
        description: 'The business, changed or as it was.',
        message: 'The business is as asked.',
        data: businessData,
      },
      201: { description: 'The business, made.', message: 'The business was made.', data: businessData },
    },
    handle: async ({ params, body, caller, actor }) => {
      refuseToPutBusiness(caller.bounds, params.id);
      const state = { ...body, attributes: acceptAttributes(declaration(), 'business', body.attributes) };
      const { business, created } = await putBusiness(db, actor, params.id, state);
      const message = created ? 'The business was made.' : 'The business is as asked.';
      return { status: created ? 201 : 200, reply: success(message, business) };
    },
  }),
  route({
    method: 'get',
    path: '/businesses/{id}',
    scope: 'directory:read',
    heedsBounds: true,
    summary: 'One business.',
    params: idParams,
    answers: { 200: { description: 'The business.', data: businessData } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, caller }) => ({
      reply: success('The business.', await getBusiness(db, params.id, caller.bounds)),
    }),
  }),
  route({
    method: 'get',
    path: '/businesses',
    scope: 'directory:read',
    heedsBounds: true,
    summary: 'All businesses, in the order of their ids.',
    query: z.strictObject(pageQuery),
    answers: { 200: { description: 'A page of businesses.', data: pageOf(businessData) } },
    handle: async ({ query, caller }) => ({
      reply: success('A page of businesses.', await listBusinesses(db, query, cursors, caller.bounds)),
    }),
  }),
  route({
    method: 'delete',
    path: '/businesses/{id}',
    scope: 'directory',
    heedsBounds: true,
    summary: 'Deletes a business and its memberships. Keys that were restricted to it stay restricted.',
    params: idParams,
    answers: { 204: { description: 'It is gone.' } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, caller, actor }) => {
      refuseToDeleteBusiness(caller.bounds, params.id);
      await deleteBusiness(db, actor, params.id);
      return { status: 204 };
    },
  }),
];

const members = ({ adminDb: db, cursors, declaration }: Service): Route[] => [
  route({
    method: 'put',
    path: '/businesses/{id}/members/{userId}',
    scope: 'directory',
    heedsBounds: true,
    summary: 'Gives a user a role in a business.',
    params: memberParams,
    body: memberBody,
    bodyExample: { role: 'member' },
    answers: {
      200: {
        description: 'The membership, changed or as it was.',
        message: 'The membership is as asked.',
        data: memberData,
      },
      201: { description: 'The membership, made.', message: 'The user is a member now.', data: memberData },
    },
    failures: ['NOT_FOUND'],
    handle: async ({ params, body, caller, actor }) => {
      refuseToPutMember(caller.bounds, params.id, params.userId);
      const role = acceptRole(declaration(), body.role);
      const wanted = { businessId: params.id, userId: params.userId, role };
      const { member, created } = await putMember(db, actor, wanted, caller.bounds);
      const message = created ? 'The user is a member now.' : 'The membership is as asked.';
      return { status: created ? 201 : 200, reply: success(message, member) };
    },
  }),
  route({
    method: 'get',
    path: '/businesses/{id}/members',
    scope: 'directory:read',
    heedsBounds: true,
    summary: 'The members of a business, in the order of the ids of their users.',
    params: idParams,
    query: z.strictObject(pageQuery),
    answers: { 200: { description: 'A page of members.', data: pageOf(memberData) } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, query, caller }) => ({
      reply: success('A page of members.', await listMembers(db, params.id, query, cursors, caller.bounds)),
    }),
  }),
  route({
    method: 'delete',
    path: '/businesses/{id}/members/{userId}',
    scope: 'directory',
    heedsBounds: true,
    summary: "Takes a user's access to a business away.",
    params: memberParams,
    answers: { 204: { description: 'It is gone.' } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, caller, actor }) => {
      refuseToDeleteMember(caller.bounds, params.id, params.userId);
      await deleteMember(db, actor, params.id, params.userId);
      return { status: 204 };
    },
  }),
];
