/** The shapes of what /authorize and /authorize/batch answer, with examples for the OpenAPI document. */

import { z } from 'zod';
import { denialCode, exampleOf, examplesOf, nullableText, shape, smallInt } from '../shared-shapes.ts';

const decisionData = shape(
  'Decision',
  {
    decisionId: z.uuid(),
    status: smallInt,
    rule: z.string(),
    policy: z.string(),
    apiKeyId: nullableText,
    userId: nullableText,
    businessId: nullableText,
    action: z.string(),
    rateLimit: z
      .object({ limit: smallInt, remaining: smallInt, resetSeconds: smallInt })
      .describe('With OK and RATE_LIMITED: what the key may still ask in the window under way.')
      .optional(),
    retryAfterSeconds: smallInt.describe('With RATE_LIMITED: when to ask again.').optional(),
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

const allowed = shape(
  'Allowed',
  { Success: z.literal(true), Code: z.literal('OK'), Message: z.string(), Data: decisionData },
  { Success: true, Code: 'OK', Message: 'The API key may do this.', Data: exampleOf(decisionData) },
);

const { rateLimit: _, ...uncounted } = exampleOf(decisionData);
const denied = shape(
  'Denied',
  { Success: z.literal(false), Code: denialCode, Message: z.string(), Data: decisionData },
  {
    Success: false,
    Code: 'BUSINESS_DISABLED',
    Message: 'The business is disabled. The invoice of June is unpaid.',
    Data: { ...uncounted, status: 403, rule: 'target-disabled', businessId: 'garage' },
  },
);

export const decisionReplyShape = z
  .union([allowed, denied])
  .meta({ id: 'DecisionReply', examples: [exampleOf(allowed), exampleOf(denied)] });

export const decisionsData = shape(
  'Decisions',
  { decisions: z.array(decisionReplyShape) },
  { decisions: [...examplesOf(decisionReplyShape)] },
);
