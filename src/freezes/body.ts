/** Schemas of what is asked of freezes, over HTTP and by command. */

import { z } from 'zod';
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
const end = { until: until.optional(), forSeconds: forSeconds.optional() };
const hasOneEnd = (body: { until?: string | undefined; forSeconds?: number | undefined }): boolean =>
  (body.until === undefined) !== (body.forSeconds === undefined);
const ONE_END = { path: ['until'], message: 'say when it ends: either until or forSeconds' };

export const freezeEndBody = z.strictObject(end).refine(hasOneEnd, ONE_END);
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
  .refine(hasOneEnd, ONE_END)
  .refine(
    ({ action, apiKeyId, userId, businessId, everything }) =>
      everything === [action === '*' ? null : action, apiKeyId, userId, businessId].every((part) => part === null),
    {
      path: ['everything'],
      message:
        'name an action, a key, a user or a business, or, to freeze everything, none of them with everything: true',
    },
  );

/** The end that a parsed body names: `hasOneEnd` holds that it is exactly one. */
export const endOf = ({ until, forSeconds = 0 }: z.output<typeof freezeEndBody>): End =>
  until === undefined ? { forSeconds } : { until };
