/** The shapes of what /freezes is asked with and answers, with examples for the OpenAPI document. */

import { z } from 'zod';
import { instant, nullableInstant, nullableText, shape } from '../shared-shapes.ts';

export const freezeData = shape(
  'Freeze',
  {
    id: z.string(),
    action: nullableText,
    apiKeyId: nullableText,
    userId: nullableText,
    businessId: nullableText,
    reason: z.string().describe('Public: it ends the Message of FROZEN'),
    createdAt: instant,
    until: instant,
    liftedAt: nullableInstant,
    status: z.enum(['in force', 'ended', 'lifted']),
  },
  {
    id: '019743c9-0000-7000-8000-000000000000',
    action: 'call:*',
    apiKeyId: null,
    userId: null,
    businessId: 'bakery',
    reason: 'Calls to premium numbers are being looked into.',
    createdAt: '2029-06-01T08:00:00.000Z',
    until: '2029-06-01T10:00:00.000Z',
    liftedAt: null,
    status: 'in force',
  },
);
