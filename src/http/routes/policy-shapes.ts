/** The shape of what /policy answers of the live policy and the shadow policy, with examples for the OpenAPI document. */

import { z } from 'zod';
import { exampleOf, instant, shape, smallInt } from '../shared-shapes.ts';

const findingData = shape(
  'PolicyFinding',
  { file: z.string(), line: smallInt, column: smallInt, rule: z.string(), message: z.string() },
  {
    file: '20-limit.csv',
    line: 2,
    column: 1,
    rule: 'unknown-code',
    message: 'codes.yaml has no code "RATE_LIMITTED"',
  },
);

const refusedData = shape(
  'RefusedPolicy',
  { at: instant, reason: z.string(), findings: z.array(findingData) },
  { at: '2030-01-31T12:00:00.000Z', reason: 'The check has findings. Mend them.', findings: [exampleOf(findingData)] },
);

const shadowData = shape(
  'ShadowPolicy',
  {
    digest: z.string().nullable().describe('null while there is none that passes'),
    refused: refusedData.nullable(),
    compared: z.int(),
    disagreed: z.int(),
    failed: z.int(),
    skipped: z.int(),
  },
  { digest: 'sha256:77a1b0c2', refused: null, compared: 48210, disagreed: 12, failed: 0, skipped: 0 },
);

const rowData = shape(
  'PolicyRow',
  {
    id: z.string(),
    action: z.string(),
    when: z.string(),
    effect: z.enum(['allow', 'deny']),
    code: z.string(),
    file: z.string(),
    line: smallInt,
  },
  {
    id: 'user-disabled',
    action: '*',
    when: "(r.user.status == 'disabled')",
    effect: 'deny',
    code: 'USER_DISABLED',
    file: '10-api-key.csv',
    line: 4,
  },
);

export const policyData = shape(
  'LivePolicy',
  {
    digest: z.string(),
    loadedAt: instant.describe('when it went live in the process that answers'),
    rows: z.array(rowData).describe('in the order in which they are tried'),
    refused: refusedData.nullable().describe('what the folder holds instead, where that was refused'),
    shadow: shadowData.nullable().describe('the shadow policy; null: none is configured'),
  },
  {
    digest: 'sha256:5ed05654',
    loadedAt: '2030-01-31T12:00:00.000Z',
    rows: [exampleOf(rowData)],
    refused: null,
    shadow: null,
  },
);
