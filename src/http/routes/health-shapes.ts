/** The shape of what /readyz answers, with an example for the OpenAPI document. */

import { z } from 'zod';
import { shape } from '../shared-shapes.ts';

export const readinessData = shape(
  'Readiness',
  {
    database: z.boolean(),
    migrations: z.boolean(),
    log: z.boolean(),
    current: z.boolean(),
    policy: z.string(),
    draining: z.boolean(),
  },
  { database: true, migrations: true, log: true, current: true, policy: 'sha256:5ed05654', draining: false },
);
