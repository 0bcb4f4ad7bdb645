/** The shapes of what /users answers, with examples for the OpenAPI document. */

import { z } from 'zod';
import { attributesSchema } from '../../input/resources.ts';
import { rateLimitSchema } from '../../input/scalars.ts';
import { instant, nullableInstant, nullableText, shape } from '../shared-shapes.ts';

export const userData = shape(
  'User',
  {
    id: z.string(),
    disabled: z.boolean(),
    disabledReason: nullableText,
    disabledAt: nullableInstant,
    businessesDisabled: z.boolean(),
    rateLimit: rateLimitSchema.nullable(),
    attributes: attributesSchema,
    createdAt: instant,
  },
  {
    id: 'ada',
    disabled: true,
    disabledReason: 'The account was closed on request.',
    disabledAt: '2030-01-31T12:00:00.000Z',
    businessesDisabled: false,
    rateLimit: null,
    attributes: {},
    createdAt: '2029-06-01T08:00:00.000Z',
  },
);

export const revokedData = shape('RevokedKeys', { revoked: z.int() }, { revoked: 1 });
