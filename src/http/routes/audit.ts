/** /audit: queries of the decision log and of admin events. Each read is recorded itself before it is answered. */

import { recordAccess } from '../../audit/access-log.ts';
import { adminQuery, listAdminEvents } from '../../audit/admin-events.ts';
import { decisionQuery, listDecisions } from '../../audit/query/decisions.ts';
import { showDecision } from '../../audit/query/explanation.ts';
import { noteOf, rangeOf } from '../../audit/query/filters.ts';
import { requireKnown } from '../../audit/query/known-names.ts';
import { countDecisions, statsQuery } from '../../audit/query/stats.ts';
import { hygieneQuery, listHygieneFindings, thresholdsOf } from '../../key-hygiene/findings.ts';
import type { Service } from '../../service.ts';
import type { InTurn } from '../../turns.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { idParams, pageOf } from '../shared-shapes.ts';
import { adminData, decisionPage, hygieneData, shownDecisionData, statsData } from './audit-shapes.ts';

/** A list, and so over a screen: each route is one value, and none depends on another. */
export const auditRoutes = ({ auditDb: db, cursors, declaration, config }: Service, inTurn: InTurn): Route[] => [
  route({
    method: 'get',
    path: '/audit/decisions',
    scope: 'audit',
    summary: 'What was decided, newest first; of the last 24 hours unless `from` says otherwise.',
    query: decisionQuery,
    answers: {
      200: {
        description: 'A page of decisions, and the time range that it is of.',
        message: 'A page of decisions.',
        data: decisionPage,
      },
    },
    handle: async ({ query: { limit, cursor, ...filter }, actor }) => {
      await requireKnown(db, actor, 'query', filter);
      const list = () => listDecisions(db, filter, { limit, cursor }, cursors);
      const page = await (noteOf(filter, rangeOf(filter)) === null ? list() : inTurn(list));
      await recordAccess(db, actor, 'query', { ...filter, from: page.from, limit, cursor });
      return { reply: success('A page of decisions.', page) };
    },
  }),
  route({
    method: 'get',
    path: '/audit/decisions/{id}',
    scope: 'audit',
    summary: 'One decision, the facts that it was taken on, and why.',
    params: idParams,
    answers: { 200: { description: 'The decision.', data: shownDecisionData } },
    failures: ['NOT_FOUND'],
    handle: async ({ params, actor }) => ({
      reply: success('The decision.', await showDecision(db, actor, params.id)),
    }),
  }),
  route({
    method: 'get',
    path: '/audit/stats',
    scope: 'audit',
    summary:
      'How many decisions, by one or two of code, key, user, business, caller, action, rule, address and time; of the last 24 hours by default.',
    query: statsQuery,
    answers: {
      200: {
        description: 'The counts, the largest first; or those of time buckets, newest first.',
        message: 'Decisions that were counted: 3.',
        data: statsData,
      },
    },
    handle: async ({ query: { by, limit, ...filter }, actor }) => {
      await requireKnown(db, actor, 'stats', filter);
      const counted = await inTurn(() => countDecisions(db, by, filter, limit));
      await recordAccess(db, actor, 'stats', { ...filter, from: counted.from, by: counted.by });
      return { reply: success(`Decisions that were counted: ${counted.total}.`, counted) };
    },
  }),
  route({
    method: 'get',
    path: '/audit/findings',
    scope: 'audit',
    summary: 'Which keys should not be as they are, and who tries bad credentials; what to do about each.',
    query: hygieneQuery,
    answers: {
      200: {
        description: 'A page of findings, kind after kind.',
        message: 'A page of findings.',
        data: pageOf(hygieneData),
      },
    },
    handle: async ({ query: { limit, cursor, finding, ...asked }, actor }) => {
      const thresholds = thresholdsOf(config.FINDINGS_THRESHOLDS, asked);
      const page = await listHygieneFindings(
        db,
        { finding, thresholds, declaration: declaration() },
        { limit, cursor },
        cursors,
      );
      await recordAccess(db, actor, 'findings', { finding, ...thresholds, limit, cursor });
      return { reply: success('A page of findings.', page) };
    },
  }),
  route({
    method: 'get',
    path: '/audit/admin',
    scope: 'audit',
    summary: 'Who changed what, when, before and after, and who read the log; newest first.',
    query: adminQuery,
    answers: { 200: { description: 'A page of events.', data: pageOf(adminData) } },
    handle: async ({ query: { limit, cursor, ...filter }, actor }) => {
      const page = await listAdminEvents(db, filter, { limit, cursor }, cursors);
      await recordAccess(db, actor, 'admin', { ...filter, limit, cursor });
      return { reply: success('A page of events.', page) };
    },
  }),
];
