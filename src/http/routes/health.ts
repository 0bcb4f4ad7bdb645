/** GET /healthz (liveness) and /readyz (readiness). */

import type { Service } from '../../service.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { readinessData } from './health-shapes.ts';

export const healthRoutes = (): Route[] => [
  route({
    method: 'get',
    path: '/healthz',
    scope: null,
    summary: 'Is the process up?',
    answers: { 200: { description: 'It is.', message: 'The process is up.' } },
    handle: () => ({ reply: success('The process is up.') }),
  }),
];

export const readinessRoutes = ({ readiness, live }: Service, isDraining: () => boolean): Route[] => [
  route({
    method: 'get',
    path: '/readyz',
    scope: null,
    summary: 'May it be sent requests?',
    answers: {
      200: { description: 'It may.', message: 'The service is ready.', data: readinessData },
      503: { description: 'Not now; Data says why.', message: 'The service is stopping.', data: readinessData },
    },
    handle: async () => {
      const draining = isDraining();
      const found = await readiness();
      const checks = { ...found, policy: live.policy().digest, draining };
      if (Object.values(found).every(Boolean) && !draining) return { reply: success('The service is ready.', checks) };
      const Message = draining ? 'The service is stopping.' : 'The service is not ready; Data says what is missing.';
      return {
        status: 503,
        headers: { 'Retry-After': '1' },
        reply: { Success: false, Code: 'UNAVAILABLE', Message, Data: checks },
      };
    },
  }),
];
