/** GET /.well-known/authzen-configuration: where the endpoints are, for AuthZEN clients. From a setting: a header could be anybody's. */

import { z } from 'zod';
import { Failure } from '../../errors.ts';
import type { Service } from '../../service.ts';
import { type Route, route } from '../route.ts';
import { shape } from '../shared-shapes.ts';

const WELL_KNOWN = '/.well-known/authzen-configuration';

/** Name in the document -> path. */
const ENDPOINTS = {
  access_evaluation_endpoint: '/access/v1/evaluation',
  access_evaluations_endpoint: '/access/v1/evaluations',
  search_subject_endpoint: '/access/v1/search/subject',
  search_resource_endpoint: '/access/v1/search/resource',
  search_action_endpoint: '/access/v1/search/action',
} as const;

const documentOf = (base: string): Record<'policy_decision_point' | keyof typeof ENDPOINTS, string> => ({
  policy_decision_point: base,
  ...(Object.fromEntries(Object.entries(ENDPOINTS).map(([name, path]) => [name, base + path])) as Record<
    keyof typeof ENDPOINTS,
    string
  >),
});

const EXAMPLE = documentOf('https://authz.example.com');
const documentShape = shape(
  'AuthzenConfiguration',
  Object.fromEntries(Object.keys(EXAMPLE).map((name) => [name, z.url()])) as Record<keyof typeof EXAMPLE, z.ZodURL>,
  EXAMPLE,
);

/** The standard puts the path of the base URL behind the well-known one. */
export const discoveryRoutes = ({ config: { AUTHZEN_BASE_URL: base } }: Pick<Service, 'config'>): Route[] => [
  route({
    method: 'get',
    path: WELL_KNOWN + (base === undefined ? '' : new URL(base).pathname.replace(/\/$/, '')),
    scope: null,
    summary: 'AuthZEN: where the endpoints are. 404 while AUTHZEN_BASE_URL is unset.',
    answers: { 200: { description: 'The metadata of this policy decision point.', body: documentShape } },
    failures: ['NOT_FOUND'],
    handle: () => {
      if (base === undefined) throw new Failure('NOT_FOUND');
      return { reply: documentOf(base), headers: { 'Cache-Control': 'public, max-age=3600' } };
    },
  }),
];
