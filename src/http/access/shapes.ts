/**
 * What AuthZEN asks and answers (Authorization API 1.0, sections 5 to 8): the one definition, for validation and for the OpenAPI document. As
 * the standard demands, members that nothing reads are ignored.
 */

import { z } from 'zod';
import { shape } from '../shared-shapes.ts';

const text = z.string('must be text');
/** A property that is null is as good as none. */
const properties = z.looseObject({}, 'must be an object').meta({ id: 'Properties' }).nullish();
const wanted = 'is needed: an object';

const typed = z.looseObject({ type: text, properties }, wanted).meta({ id: 'EntityType' });
export const entitySchema = z.looseObject({ type: text, id: text, properties }, wanted).meta({ id: 'Entity' });
export const actionSchema = z.looseObject({ name: text, properties }, wanted).meta({ id: 'NamedAction' });
export const contextSchema = properties;

export type Entity = z.output<typeof entitySchema>;

export const evaluationSchema = z
  .looseObject({
    subject: entitySchema,
    action: actionSchema,
    resource: entitySchema,
    context: contextSchema,
  })
  .meta({ id: 'Evaluation' });
export type Evaluation = z.output<typeof evaluationSchema>;

export const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;

export const MOST_EVALUATIONS = 100;

/** The items are validated one by one: a bad one is denied, and the others are answered. */
export const evaluationsSchema = z
  .looseObject({
    subject: z.unknown().optional(),
    action: z.unknown().optional(),
    resource: z.unknown().optional(),
    context: z.unknown().optional(),
    evaluations: z
      .array(z.unknown(), 'must be a list of evaluations')
      .max(MOST_EVALUATIONS, `must have at most ${MOST_EVALUATIONS} evaluations`)
      .nullish(),
    options: z
      .looseObject(
        { evaluations_semantic: z.enum(SEMANTICS, `must be one of ${SEMANTICS.join(', ')}`).nullish() },
        'must be an object',
      )
      .nullish(),
  })
  .meta({ id: 'Evaluations' });

const LIMIT = 'must be a whole number from 0';
const pageSchema = z
  .looseObject({ token: text.nullish(), limit: z.int(LIMIT).nonnegative(LIMIT).nullish() }, 'must be an object')
  .meta({ id: 'PageRequest' })
  .nullish();

export const subjectSearchSchema = z
  .looseObject({
    subject: typed,
    action: actionSchema,
    resource: entitySchema,
    context: contextSchema,
    page: pageSchema,
  })
  .meta({ id: 'SubjectSearch' });
export const resourceSearchSchema = z
  .looseObject({
    subject: entitySchema,
    action: actionSchema,
    resource: typed,
    context: contextSchema,
    page: pageSchema,
  })
  .meta({ id: 'ResourceSearch' });
export const actionSearchSchema = z
  .looseObject({
    subject: entitySchema,
    resource: entitySchema,
    context: contextSchema,
    page: pageSchema,
  })
  .meta({ id: 'ActionSearch' });

export const EVALUATION = {
  subject: { type: 'credential', id: 'header' },
  action: { name: 'call:create' },
  resource: { type: 'business', id: 'bakery' },
  context: { ip: '203.0.113.7' },
};

const ANSWER = {
  decision: true,
  context: {
    code: 'OK',
    status: 200,
    decisionId: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
    reason_user: { '200': 'The API key may do this.' },
    reason_admin: { '200': 'allow-on-target' },
    rateLimit: { limit: 600, remaining: 599, resetSeconds: 60 },
  },
};
const decisionFields = {
  decision: z.boolean(),
  context: z
    .looseObject({})
    .describe(
      'What the native API answers: code, status, decisionId, the reasons by status, and rateLimit and retryAfterSeconds where it has them. ' +
        'Where no key was shown, assumes says what was taken for granted; of an item that is no evaluation, error says why.',
    )
    .optional(),
};
export const decisionShape = shape('EvaluationDecision', decisionFields, ANSWER);
export const evaluationsShape = z
  .union([z.object({ evaluations: z.array(decisionShape) }), decisionShape])
  .meta({ examples: [{ evaluations: [ANSWER] }] });

const pageShape = z.object({
  next_token: z.string().describe('For the page behind this one; empty at the end.'),
  count: z.int(),
});
const searchContext = z.looseObject({}).describe('What was taken for granted of every candidate.');
const PAGE = { next_token: '', count: 1 };
const ASSUMED = { assumes: { 'limit.exceeded': false } };
export const entitiesShape = shape(
  'FoundEntities',
  { page: pageShape, context: searchContext, results: z.array(z.object({ type: z.string(), id: z.string() })) },
  { page: PAGE, context: ASSUMED, results: [{ type: 'user', id: 'ada' }] },
);
export const actionsShape = shape(
  'FoundActions',
  { page: pageShape, context: searchContext, results: z.array(z.object({ name: z.string() })) },
  { page: { ...PAGE, count: 2 }, context: ASSUMED, results: [{ name: 'call:create' }, { name: 'call:read' }] },
);
