/** The shapes of what /businesses and their members are asked with and answer, with examples for the OpenAPI document. */

import { z } from 'zod';
import { attributesSchema, roleSchema } from '../../input/resources.ts';
import { idSchema } from '../../input/scalars.ts';
import { instant, nullableInstant, nullableText, shape } from '../shared-shapes.ts';

export const memberParams = z.strictObject({ id: idSchema, userId: idSchema });

export const businessData = shape(
  'Business',
  {
    id: z.string(),
    disabled: z.boolean(),
    disabledReason: nullableText,
    disabledAt: nullableInstant,
    attributes: attributesSchema,
    createdAt: instant,
  },
  {
    id: 'bakery',
    disabled: true,
    disabledReason: 'The invoice of June is unpaid.',
    disabledAt: '2030-01-31T12:00:00.000Z',
    attributes: {},
    createdAt: '2029-06-01T08:00:00.000Z',
  },
);

export const memberData = shape(
  'Member',
  { businessId: z.string(), userId: z.string(), role: roleSchema },
  { businessId: 'bakery', userId: 'ada', role: 'member' },
);
