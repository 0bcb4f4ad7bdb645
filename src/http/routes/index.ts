/** All routes of the service, and the document that describes them. */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Policy } from '../../policy/decide.ts';
import type { Service } from '../../service.ts';
import { turns } from '../../turns.ts';
import { discoveryRoutes } from '../access/discovery.ts';
import { evaluationRoutes } from '../access/evaluation.ts';
import { searchRoutes } from '../access/search.ts';
import { gatewayComponents, gatewayPaths } from '../gateway/document.ts';
import { type Document, openApi, withDenialCodes, withServers } from '../openapi/document.ts';
import { type Route, route } from '../route.ts';
import { auditRoutes } from './audit.ts';
import { auditStreamRoutes } from './audit-streams.ts';
import { authorizeRoutes } from './authorize.ts';
import { businessRoutes } from './businesses.ts';
import { freezeRoutes } from './freezes.ts';
import { healthRoutes, readinessRoutes } from './health.ts';
import { keyRoutes } from './keys.ts';
import { metricsRoutes } from './metrics.ts';
import { policyRoutes } from './policy.ts';
import { userRoutes } from './users.ts';

const OPENAPI = z.looseObject({ openapi: z.string() });
const DOCUMENT = 'An OpenAPI 3.1 document, not in the shape of the other answers.';
const ifNoneMatchHeaders = z.object({
  'If-None-Match': z
    .string()
    .describe('The ETag of a document that one has: 304 while it is the present one.')
    .optional(),
});

const AUDIT_WAIT_MS = 30_000;
const BUSY =
  'Other searches of the log are under way in this replica. Ask again after Retry-After, name a shorter range, or ask another replica.';

/** All routes, by the listener that has them where ADMIN_PORT makes two. */
export interface Routes {
  /** What services and gateways ask: of the main listener alone. */
  readonly questions: readonly Route[];
  /** Whether the process is up: of both. */
  readonly health: readonly Route[];
  /** All else: of the listener of ADMIN_PORT alone. */
  readonly administration: readonly Route[];
}

export function routesOf(service: Service, isDraining: () => boolean): Routes {
  const { config, live } = service;
  // What reads much of the log, of all auditors together: it would take the cores of the database from revocations.
  const inTurn = turns(1, AUDIT_WAIT_MS, BUSY);
  const questions = [
    ...authorizeRoutes(service),
    ...evaluationRoutes(service),
    ...searchRoutes(service),
    ...discoveryRoutes(service),
  ];
  const health = healthRoutes();
  const others = [
    ...keyRoutes(service),
    ...userRoutes(service),
    ...businessRoutes(service),
    ...auditRoutes(service, inTurn),
    ...auditStreamRoutes(service, inTurn),
    ...freezeRoutes(service),
    ...policyRoutes(service),
    ...readinessRoutes(service, isDraining),
    ...metricsRoutes(service),
  ];
  const self: Route = route({
    method: 'get',
    path: '/openapi.json',
    scope: null,
    summary: 'This document.',
    headers: ifNoneMatchHeaders,
    answers: {
      200: { description: DOCUMENT, body: OPENAPI, headers: { ETag: 'Of the document, for If-None-Match.' } },
      304: { description: 'The document is the one that If-None-Match names.', headers: { ETag: 'Of the document.' } },
    },
    handle: ({ headers }) => {
      const answer = answerFor(live.policy());
      const { ETag } = answer.headers;
      return isAmong(ETag, headers['If-None-Match']) ? { status: 304, headers: { ETag } } : answer;
    },
  });
  const administration = [...others, self];
  const document = openApi([...questions, ...health, ...administration], { paths: gatewayPaths, ...gatewayComponents });
  const answerFor = documentAnswers(withServers(document, config, new Set(administration.map(({ path }) => path))));
  return { questions, health, administration };
}

/** Those of both listeners, which are one where ADMIN_PORT is unset. */
export const allRoutes = (service: Service, isDraining: () => boolean): Route[] =>
  Object.values(routesOf(service, isDraining)).flat();

interface DocumentAnswer {
  readonly text: Buffer;
  readonly headers: { readonly ETag: string; readonly 'Content-Type': string };
}

/** The document with the codes of a policy, made once for each, as bytes, which all connections share that wait to send them. */
function documentAnswers(document: Document) {
  let made: { readonly policy: Policy; readonly answer: DocumentAnswer } | undefined;
  return (policy: Policy): DocumentAnswer => {
    if (made?.policy !== policy) {
      const text = Buffer.from(JSON.stringify(withDenialCodes(document, policy.codes.keys())));
      const ETag = `"${createHash('sha256').update(text).digest('base64url')}"`;
      made = { policy, answer: { text, headers: { ETag, 'Content-Type': 'application/json; charset=utf-8' } } };
    }
    return made.answer;
  };
}

/** Whether the ETag is one of If-None-Match, which compares them weakly and takes `*` for any (RFC 9110, 13.1.2). */
const isAmong = (etag: string, header = ''): boolean => header.trim() === '*' || header.includes(etag);
