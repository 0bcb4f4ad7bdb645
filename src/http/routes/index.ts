/** All routes of the service. */

import { z } from 'zod';
import type { Service } from '../../service.ts';
import { openApi } from '../openapi.ts';
import { type Route, route } from '../route.ts';
import { auditRoutes } from './audit.ts';
import { authorizeRoutes } from './authorize.ts';
import { businessRoutes } from './businesses.ts';
import { healthRoutes } from './health.ts';
import { keyRoutes } from './keys.ts';
import { metricsRoutes } from './metrics.ts';
import { policyRoutes } from './policy.ts';
import { userRoutes } from './users.ts';

const OPENAPI = z.looseObject({ openapi: z.string() });

export function allRoutes(service: Service, isDraining: () => boolean): Route[] {
  const routes = [
    ...authorizeRoutes(service),
    ...keyRoutes(service),
    ...userRoutes(service),
    ...businessRoutes(service),
    ...auditRoutes(service),
    ...policyRoutes(service),
    ...healthRoutes(service, isDraining),
    ...metricsRoutes(service),
  ];
  const self = route({
    method: 'get',
    path: '/openapi.json',
    scope: null,
    summary: 'This document.',
    answers: {
      200: { description: 'An OpenAPI 3.1 document, not in the shape of the other answers.', body: OPENAPI },
    },
    handle: () => ({ reply: document }),
  });
  const document = openApi([...routes, self]);
  return [...routes, self];
}
