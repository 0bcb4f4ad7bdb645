/** The shapes of explanations: of a recorded decision, and of what would be decided now. */

import { z } from 'zod';
import { MOST_SETS } from '../../policy/analysis/smallest-changes.ts';
import type { FactType } from '../../policy/facts.ts';
import { BUILT_IN } from '../../policy/schema.ts';
import { instant, nullableText, shape, smallInt } from '../shared-shapes.ts';

/** The facts by group, with those that a policy declares. A record that is older than a fact lacks it, so none is required. */
export const factsShape: z.ZodType<Readonly<Record<string, unknown>>> = z
  .looseObject(Object.fromEntries(BUILT_IN.groups.map((group) => [group, groupShape(group).optional()])))
  .meta({ id: 'Facts' });
function groupShape(group: string): z.ZodType {
  const facts = BUILT_IN.factsOf(group).map(([fact, { type, says }]) => [
    fact,
    factValue(type).describe(says).optional(),
  ]);
  return z.looseObject(Object.fromEntries(facts));
}
/** A policy may declare more roles, and `other` is a value of no other built-in fact. */
function factValue(type: FactType): z.ZodType {
  if (type === 'text' || type.includes('other')) return z.string();
  return type === 'boolean' ? z.boolean() : z.enum(type as readonly string[]);
}

const effect = z.enum(['allow', 'deny']);
const value = z.union([z.string(), z.boolean()]);
const tried = z
  .object({
    rule: z.string(),
    file: z.string(),
    line: smallInt,
    effect,
    code: z.string(),
    matched: z.boolean(),
    reasons: z
      .array(
        z.object({
          test: z.string().describe('In the rule language'),
          value: z.boolean(),
          fact: z.object({ path: z.string(), value }).optional(),
        }),
      )
      .describe('What settled whether it matched'),
  })
  .meta({ id: 'TriedRow' });

export const explanationFields = {
  policy: z.string(),
  facts: factsShape,
  decision: z.object({ effect, code: z.string(), rule: z.string() }),
  tried: z.array(tried).describe('In their order, up to the row that decided'),
};

export const explanationExample = {
  policy: 'sha256:5ed05654',
  facts: { user: { id: 'ada', status: 'disabled' } },
  decision: { effect: 'deny' as const, code: 'USER_DISABLED', rule: 'user-disabled' },
  tried: [
    {
      rule: 'user-disabled',
      file: '10-api-key.csv',
      line: 4,
      effect: 'deny' as const,
      code: 'USER_DISABLED',
      matched: true,
      reasons: [
        { test: "r.user.status == 'disabled'", value: true, fact: { path: 'r.user.status', value: 'disabled' } },
      ],
    },
  ],
};

const wayShape = z.object({
  changes: z.array(
    z.object({
      path: z.string(),
      from: value,
      to: z.union([
        z.object({ anyOf: z.array(value) }),
        z.object({ noneOf: z.array(value) }).describe('Any other text than these'),
      ]),
    }),
  ),
  advice: z.array(
    z.object({
      says: z.string(),
      command: nullableText.describe(
        'For a shell; words in capitals stand for what is to be chosen. null: none does it',
      ),
    }),
  ),
});

export const liveExplanationData = shape(
  'LiveExplanation',
  {
    ...explanationFields,
    at: instant.describe('The moment that it is decided for'),
    status: smallInt.describe("What the calling service's client would be answered"),
    message: z.string(),
    freezes: z.array(z.object({ id: z.string(), until: instant, reason: z.string() })),
    smallestChanges: z
      .array(wayShape)
      .describe(
        `Of a denial: sets of changes, any of which would make it an allow. At most ${MOST_SETS}, the smallest first`,
      ),
    note: nullableText.describe('Why there may be other sets, or why there is none'),
  },
  {
    policy: 'sha256:5ed05654',
    facts: {
      key: { id: 'ada-main', status: 'active', userManagement: false, environment: 'production' },
      user: { id: 'ada', status: 'active', businesses: 'active' },
      target: { id: 'bakery', status: 'active', role: 'member', inRestriction: true },
      limit: { exceeded: true },
      request: { action: 'call:create', registered: true, addressed: false, byId: false },
      freeze: { active: false },
    },
    decision: { effect: 'deny', code: 'RATE_LIMITED', rule: 'limit-exceeded' },
    tried: [
      {
        rule: 'limit-exceeded',
        file: '20-limit.csv',
        line: 2,
        effect: 'deny',
        code: 'RATE_LIMITED',
        matched: true,
        reasons: [{ test: 'r.limit.exceeded', value: true, fact: { path: 'r.limit.exceeded', value: true } }],
      },
    ],
    at: '2030-01-31T12:00:00.000Z',
    status: 429,
    message: 'The API key is over its rate limit.',
    freezes: [],
    smallestChanges: [
      {
        changes: [{ path: 'r.limit.exceeded', from: true, to: { anyOf: [false] } }],
        advice: [{ says: 'set r.limit.exceeded to false, or leave it as it is stored', command: null }],
      },
    ],
    note: null,
  },
);
