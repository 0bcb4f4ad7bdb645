/** The shapes of what /authorize and /authorize/batch answer, with examples for the OpenAPI document. */

import { z } from 'zod';
import { exampleOf, nullableText, shape } from '../shared-shapes.ts';

export const decisionData = shape(
  {
    decisionId: z.uuid(),
    status: z.int(),
    rule: z.string(),
    policy: z.string(),
    apiKeyId: nullableText,
    userId: nullableText,
    businessId: nullableText,
    action: z.string(),
    rateLimit: z
      .object({ limit: z.int(), remaining: z.int(), resetSeconds: z.int() })
      .describe('With OK and RATE_LIMITED: what the key may still ask in the window under way.')
      .optional(),
    retryAfterSeconds: z.int().describe('With RATE_LIMITED: when to ask again.').optional(),
  },
  {
    decisionId: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
    status: 200,
    rule: 'allow-on-target',
    policy: 'sha256:5ed05654',
    apiKeyId: 'ada-main',
    userId: 'ada',
    businessId: 'bakery',
    action: 'call:create',
    rateLimit: { limit: 600, remaining: 599, resetSeconds: 60 },
  },
);

export const decisionReplyShape = shape(
  {
    Success: z.boolean(),
    Code: z.string(),
    Message: z.string(),
    Data: decisionData,
  },
  { Success: true, Code: 'OK', Message: 'The request is allowed.', Data: exampleOf(decisionData) },
);

export const decisionsData = shape(
  { decisions: z.array(decisionReplyShape) },
  { decisions: [exampleOf(decisionReplyShape)] },
);
