/** The shapes of what /audit answers: decisions, statistics, findings about keys, admin events. */

import { z } from 'zod';
import { type Column, type ColumnType, type DecisionRecord, SHOWN_COLUMNS } from '../../audit/columns.ts';
import { headingOf } from '../../audit/query/export.ts';
import { instant, nullableInstant, nullableText, shape, smallInt } from '../shared-shapes.ts';
import { explanationExample, explanationFields, factsShape } from './explanation-shapes.ts';

/** A column's value as the API shows it. */
const fieldOf = ({ type, values, nullable, says }: Column): z.ZodType => {
  const value = values === undefined ? VALUES[type]() : z.enum(values);
  const field = nullable ? value.nullable() : value;
  return says === undefined ? field : field.describe(says);
};
const VALUES: Readonly<Record<ColumnType, () => z.ZodType>> = {
  uuid: z.uuid,
  'timestamptz(3)': () => instant,
  bigint: z.int,
  integer: () => smallInt,
  smallint: () => smallInt,
  text: z.string,
  // The only one is `facts`.
  jsonb: () => factsShape,
  bytea: z.string,
};

const recordFields = Object.fromEntries(SHOWN_COLUMNS.map((column) => [column.api, fieldOf(column)])) as {
  readonly [Field in keyof DecisionRecord]: z.ZodType<DecisionRecord[Field]>;
};
const recordExample = Object.fromEntries(SHOWN_COLUMNS.map(({ api, example }) => [api, example])) as DecisionRecord;
const noted = nullableText.describe('How far the search went, where no index leads straight to what is asked for');

export const decisionRecordData = shape('DecisionRecord', recordFields, recordExample);
export const shownDecisionData = shape(
  'ShownDecision',
  {
    ...recordFields,
    explanation: z.object(explanationFields).nullable().describe('Under the policy of its time'),
    note: nullableText.describe(
      'Why there is no explanation, that it contradicts the record, or which facts came later and were assumed',
    ),
  },
  {
    ...recordExample,
    explanation: { ...explanationExample, policy: recordExample.policy, facts: recordExample.facts },
    note: null,
  },
);
export const decisionPage = shape(
  'DecisionRecordPage',
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
  'Stats',
  {
    by: z.string().describe('As it was asked for: `code`, or of two `ip,code`'),
    from: instant,
    to: nullableInstant.describe('null: up to now'),
    total: z.int(),
    distinct: z.int().describe('How many groups have decisions, without those of null'),
    groups: z.array(
      z.object({
        value: nullableText.describe('null: those that have none'),
        second: nullableText.optional().describe('Of the second, where two are counted by'),
        count: z.int(),
      }),
    ),
    note: noted,
  },
  {
    by: 'code',
    from: '2030-01-30T12:00:00.000Z',
    to: null,
    total: 3,
    distinct: 3,
    groups: [
      { value: 'BUSINESS_DISABLED', count: 1 },
      { value: 'OK', count: 1 },
      { value: 'USER_DISABLED', count: 1 },
    ],
    note: null,
  },
);
export const hygieneData = shape(
  'KeyFinding',
  {
    finding: z.string(),
    subject: z
      .string()
      .describe(
        'What it is about: the id of a key, user or freeze, the fingerprint of a credential, an address, a caller, an action or an attribute',
      ),
    says: z.string(),
    advice: z.string(),
    commands: z.array(z.string()).describe('What does so, to be pasted'),
    evidence: z.looseObject({}),
  },
  {
    finding: 'action-unregistered',
    subject: 'callback:read',
    says: '1 question with 1 key asked for callback:read, which is not in the register of facts.yaml, last at 2030-01-31T12:00:00.000Z, by voice-gateway.',
    advice: 'Did it mean call:read? Correct the service that asks, or add it to actions.known.',
    commands: ['authz audit query --action callback:read --from 2030-01-31T12:00:00.000Z'],
    evidence: {
      uses: 1,
      keys: 1,
      callerIds: ['voice-gateway'],
      firstAt: '2030-01-31T12:00:00.000Z',
      lastAt: '2030-01-31T12:00:00.000Z',
    },
  },
);

export const adminData = shape(
  'AdminEvent',
  {
    id: z.uuid(),
    at: instant,
    actor: z.string(),
    login: z.string(),
    action: z.string(),
    kind: z.string(),
    subject: z.string(),
    before: z.looseObject({}).nullable(),
    after: z.looseObject({}).nullable(),
    requestId: nullableText,
  },
  {
    id: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
    at: '2030-01-31T12:00:00.000Z',
    actor: 'bootstrap',
    login: 'authz',
    action: 'member.create',
    kind: 'member',
    subject: 'bakery/ada',
    before: null,
    after: { businessId: 'bakery', userId: 'ada', role: 'member' },
    requestId: '7f3a',
  },
);

export const exportedLines = {
  type: 'application/jsonl',
  example: `${JSON.stringify(recordExample)}\n`,
  or: { type: 'text/csv', example: headingOf('csv') },
};
export const timelineLines = {
  type: 'application/jsonl',
  example: `${JSON.stringify({ at: recordExample.at, type: 'decision', decision: recordExample, policyBefore: null, cursor: 'aTf3…' })}\n`,
};
