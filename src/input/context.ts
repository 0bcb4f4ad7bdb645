/** Schemas of what a question says beside its key, action and business: the client's context, and values by name. */

import { z } from 'zod';
import { ipSchema } from './scalars.ts';

const clientText = (max: number) => z.string().max(max, `must have at most ${max} characters`);

const MOST_VALUES = 64;
const MOST_CHARACTERS = 64;
const VALUES = `must be an object of at most ${MOST_VALUES} names, each with true, false or a text of at most ${MOST_CHARACTERS} characters`;

/**
 * Values by name: which there may be is what a policy declares, so whoever uses them refuses all others. A record of zod would drop a
 * field named `__proto__`.
 */
export const valuesSchema = (description: string) =>
  z.custom<Readonly<Record<string, string | boolean>>>(areValues, VALUES).meta({
    type: 'object',
    maxProperties: MOST_VALUES,
    additionalProperties: { anyOf: [{ type: 'string', maxLength: MOST_CHARACTERS }, { type: 'boolean' }] },
    description,
  });

function areValues(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const values: unknown[] = Object.values(value);
  return (
    values.length <= MOST_VALUES &&
    values.every((one) => typeof one === 'boolean' || (typeof one === 'string' && one.length <= MOST_CHARACTERS))
  );
}

export const contextSchema = z
  .strictObject({
    ip: ipSchema.optional(),
    userAgent: clientText(512).optional(),
    requestId: clientText(128).optional(),
    attributes: valuesSchema(
      'By the names that `asked` in facts.yaml of the policy declares. One that is left out is unknown, or false.',
    ).optional(),
  })
  .meta({ id: 'Context' });
