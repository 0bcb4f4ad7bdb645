/** /audit: what auditors ask. */

import { listAdminEvents } from '../../audit/admin.ts';
import { adminQuery } from '../../bodies.ts';
import type { Service } from '../../service.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { adminData, pageOf } from '../shapes.ts';

export const auditRoutes = ({ adminDb: db, cursors }: Service): Route[] => [
  route({
    method: 'get',
    path: '/audit/admin',
    scope: 'audit',
    summary: 'Who changed what, when, before and after, newest first.',
    query: adminQuery,
    answers: { 200: { description: 'A page of events.', data: pageOf(adminData) } },
    handle: async ({ query: { limit, cursor, ...filter } }) => ({
      reply: success('A page of events.', await listAdminEvents(db, filter, { limit, cursor }, cursors)),
    }),
  }),
];
