/** The shapes of what /audit answers: decisions, statistics, findings about keys, admin events. */

import { z } from 'zod';
import { type Column, type ColumnType, type DecisionRecord, SHOWN_COLUMNS } from '../../audit/columns.ts';
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
  'KeyFinding',
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
    login: 'authz_prod',
    action: 'member.create',
    kind: 'member',
    subject: 'bakery/ada',
    before: null,
    after: { businessId: 'bakery', userId: 'ada', role: 'owner' },
    requestId: '7f3a',
  },
);
