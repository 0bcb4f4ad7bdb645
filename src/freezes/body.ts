/** Schemas of what is asked of freezes, over HTTP and by command. */

import { z } from 'zod';
import { given, oneOfBoth } from '../input/exclusive.ts';
import { idSchema, instantSchema, reasonSchema } from '../input/scalars.ts';
import { ACTION_PATTERN } from '../policy/action-patterns.ts';
import type { End } from './freezes.ts';

const pattern = z
  .string()
  .max(128, 'must have at most 128 characters')
  .regex(ACTION_PATTERN, 'must be an action pattern: *, noun:verb or noun:*');
const until = instantSchema.refine((text) => Date.parse(text) > Date.now(), 'must be in the future');
/** A freeze is for an emergency, and ends by itself. */
const YEAR_SECONDS = 366 * 86_400;
const forSeconds = z.int().min(1, `must be 1 to ${YEAR_SECONDS}`).max(YEAR_SECONDS, `must be 1 to ${YEAR_SECONDS}`);
/** Named, or everything with nothing named: as JSON Schema. The check of it says what to do. */
const EVERYTHING = { required: ['everything'], properties: { everything: { const: true } } };
const NAMED = {
  anyOf: [
    { allOf: [given('action'), { properties: { action: { not: { const: '*' } } } }] },
    ...['apiKeyId', 'userId', 'businessId'].map(given),
  ],
};
const SCOPE = { not: { anyOf: [{ allOf: [EVERYTHING, NAMED] }, { not: { anyOf: [EVERYTHING, NAMED] } }] } };
const end = { until: until.optional(), forSeconds: forSeconds.optional() };
const ONE_END = oneOfBoth('until', 'forSeconds');
const NO_ONE_END = { path: ['until'], message: 'say when it ends: either until or forSeconds' };

export const freezeEndBody = z
  .strictObject(end)
  .refine(ONE_END.holds, NO_ONE_END)
  .meta({ id: 'FreezeEnd', ...ONE_END.schema });
export const freezeBody = z
  .strictObject({
    action: pattern.nullable().default(null),
    apiKeyId: idSchema.nullable().default(null),
    userId: idSchema.nullable().default(null),
    businessId: idSchema.nullable().default(null),
    reason: reasonSchema,
    everything: z.boolean().default(false),
    ...end,
  })
  .refine(ONE_END.holds, NO_ONE_END)
  .refine(
    ({ action, apiKeyId, userId, businessId, everything }) =>
      everything === [action === '*' ? null : action, apiKeyId, userId, businessId].every((part) => part === null),
    {
      path: ['everything'],
      message:
        'name an action, a key, a user or a business, or, to freeze everything, none of them with everything: true',
    },
  )
  .meta({ id: 'FreezeBody', ...ONE_END.schema, ...SCOPE });

/** The end that a parsed body names: `ONE_END` holds that it is exactly one. */
export const endOf = ({ until, forSeconds = 0 }: z.output<typeof freezeEndBody>): End =>
  until === undefined ? { forSeconds } : { until };
