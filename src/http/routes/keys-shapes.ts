/** The shapes of what /keys is asked with and answers, with examples for the OpenAPI document. */

import { z } from 'zod';
import { attributesSchema } from '../../input/resources.ts';
import { rateLimitSchema } from '../../input/scalars.ts';
import { exampleOf, instant, nullableInstant, nullableText, shape } from '../shared-shapes.ts';

export const ifMatchHeaders = z.object({
  'If-Match': z
    .string()
    .regex(
      /^(?:\*|(?:W\/)?"[!#-~]*"(?: *, *(?:W\/)?"[!#-~]*")*)$/,
      'If-Match takes the ETag of what was read, quotes included',
    )
    .describe('The ETag of what was read, or *. Without it the last write wins.')
    .optional(),
});

export const keyData = shape(
  'Key',
  {
    id: z.string(),
    userId: z.string(),
    friendlyName: z.string(),
    hint: z.string(),
    allowUserManagementApiRequests: z.boolean(),
    restrictedBusinessIds: z.array(z.string()).nullable(),
    environment: z.string(),
    rateLimit: rateLimitSchema.nullable(),
    attributes: attributesSchema,
    createdAt: instant,
    expiresAt: nullableInstant,
    revokedAt: nullableInstant,
    revokedReason: nullableText,
    rotatedFrom: nullableText,
    rotatedTo: nullableText,
    lastUsedAt: nullableInstant,
    status: z.enum(['active', 'expired', 'revoked']),
  },
  {
    id: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
    userId: 'ada',
    friendlyName: 'Only for the bakery',
    hint: 'iqra_4fGh...x2Pq',
    allowUserManagementApiRequests: false,
    restrictedBusinessIds: ['bakery'],
    environment: 'production',
    rateLimit: { requests: 100, windowSeconds: 60 },
    attributes: {},
    createdAt: '2029-06-01T08:00:00.000Z',
    expiresAt: null,
    revokedAt: null,
    revokedReason: null,
    rotatedFrom: null,
    rotatedTo: null,
    lastUsedAt: null,
    status: 'active',
  },
);

export const newKeyData = shape(
  'NewKey',
  { apiKey: z.string(), key: keyData },
  { apiKey: 'iqra_...', key: exampleOf(keyData) },
);
