/** The shapes of what auditors are answered from the decision log, and of findings about keys. */

import { z } from 'zod';
import { instant, nullableInstant, nullableText, shape } from '../shapes.ts';

const recordFields = {
  id: z.uuid(),
  at: instant,
  callerId: z.string(),
  apiKeyId: nullableText,
  userId: nullableText,
  businessId: nullableText,
  action: z.string(),
  effect: z.enum(['allow', 'deny']),
  code: z.string(),
  rule: z.string(),
  policy: z.string(),
  facts: z.looseObject({}),
  ip: nullableText,
  userAgent: nullableText,
  requestId: nullableText,
  durationUs: z.int().nullable(),
  fingerprint: nullableText.describe('Of a credential that no key was found for'),
  shadowPolicy: nullableText,
  shadowCode: nullableText,
  shadowRule: nullableText,
  boot: z.uuid().describe('With the day of `at` it names the chain that the record stands in'),
  seq: z.int(),
  hash: z.string(),
};
const recordExample = {
  id: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
  at: '2030-01-31T12:00:00.000Z',
  callerId: 'voice-gateway',
  apiKeyId: 'ada-main',
  userId: 'ada',
  businessId: 'bakery',
  action: 'call:create',
  effect: 'deny' as const,
  code: 'USER_DISABLED',
  rule: 'user-disabled',
  policy: 'sha256:5ed05654',
  facts: {
    key: { id: 'ada-main', status: 'active', userManagement: false, environment: 'production' },
    user: { id: 'ada', status: 'disabled', businesses: 'active' },
    target: { id: 'bakery', status: 'active', role: 'owner', inRestriction: true },
    limit: { exceeded: false },
    request: { action: 'call:create' },
  },
  ip: '203.0.113.7',
  userAgent: 'curl/8.5',
  requestId: '7f3a',
  durationUs: 412,
  fingerprint: null,
  shadowPolicy: null,
  shadowCode: null,
  shadowRule: null,
  boot: '0f9ae1de-6cde-4b8e-9e53-6f3bdf0c0a11',
  seq: 4711,
  hash: '5ed05654e0a1a5f4b7a8c0d6f1d2b3a4958677665544332211ffeeddccbbaa99',
};
const noted = nullableText.describe('How far the search went, where no index leads straight to what is asked for');

export const decisionRecordData = shape(recordFields, recordExample);
const effect = z.enum(['allow', 'deny']);
const tried = z.object({
  rule: z.string(),
  file: z.string(),
  line: z.int(),
  effect,
  code: z.string(),
  matched: z.boolean(),
  reasons: z
    .array(
      z.object({
        test: z.string().describe('In the rule language'),
        value: z.boolean(),
        fact: z.object({ path: z.string(), value: z.union([z.string(), z.boolean()]) }).optional(),
      }),
    )
    .describe('What settled whether it matched'),
});
export const shownDecisionData = shape(
  {
    ...recordFields,
    explanation: z
      .object({
        policy: z.string(),
        facts: z.looseObject({}),
        decision: z.object({ effect, code: z.string(), rule: z.string() }),
        tried: z.array(tried).describe('In their order, up to the row that decided'),
      })
      .nullable()
      .describe('Under the policy of its time'),
    note: nullableText.describe('Why there is no explanation, or that it contradicts the record'),
  },
  {
    ...recordExample,
    explanation: {
      policy: recordExample.policy,
      facts: recordExample.facts,
      decision: { effect: 'deny', code: 'USER_DISABLED', rule: 'user-disabled' },
      tried: [
        {
          rule: 'user-disabled',
          file: '10-api-key.csv',
          line: 4,
          effect: 'deny',
          code: 'USER_DISABLED',
          matched: true,
          reasons: [
            {
              test: "r.user.status == 'disabled'",
              value: true,
              fact: { path: 'r.user.status', value: 'disabled' },
            },
          ],
        },
      ],
    },
    note: null,
  },
);
export const decisionPage = shape(
  {
    items: z.array(decisionRecordData),
    nextCursor: nullableText,
    from: instant,
    to: nullableInstant.describe('null: up to now'),
    note: noted,
  },
  { items: [recordExample], nextCursor: null, from: '2030-01-30T12:00:00.000Z', to: null, note: null },
);
export const statsData = shape(
  {
    by: z.string(),
    from: instant,
    to: nullableInstant.describe('null: up to now'),
    total: z.int(),
    distinct: z.int().describe('How many groups there are, without that of null'),
    groups: z.array(z.object({ value: nullableText.describe('null: those that have none'), count: z.int() })),
    note: noted,
  },
  {
    by: 'code',
    from: '2030-01-30T12:00:00.000Z',
    to: null,
    total: 1200,
    distinct: 2,
    groups: [
      { value: 'OK', count: 1180 },
      { value: 'USER_DISABLED', count: 20 },
    ],
    note: null,
  },
);
export const hygieneData = shape(
  {
    finding: z.string(),
    subject: z.string().describe('The id of a key, the fingerprint of a credential, or an address'),
    says: z.string(),
    advice: z.string(),
    commands: z.array(z.string()).describe('What does so, to be pasted'),
    evidence: z.looseObject({}),
  },
  {
    finding: 'key-unrestricted',
    subject: 'ada-main',
    says: 'The key ada-main ("Main") of the user ada may reach every business of its user, and was used for bakery alone in 90 days.',
    advice: 'Restrict it to them.',
    commands: ['authz key update ada-main --restrict bakery'],
    evidence: { userId: 'ada', friendlyName: 'Main', businessIds: ['bakery'] },
  },
);
