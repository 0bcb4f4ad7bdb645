/** The shapes of the questions, as the contract has them. */

import { z } from 'zod';
import type { AuthorizeRequest } from '../authorize.ts';
import { keyOfHeader } from '../keys/token.ts';
import { actionSchema, idSchema, ipSchema } from '../validate.ts';

const BATCH_MAX = 100;

const credentialSchema = z.string({ error: 'must be text' }).nullish();

/** Text of the client's as the log keeps it: without the keys that somebody put there. */
const clientText = (max: number) =>
  z
    .string()
    .max(max, `must have at most ${max} characters`)
    .transform((text) => text.replace(/iqra_\w+/g, 'iqra_***'));

export const authorizeSchema = z
  .strictObject({
    authorization: credentialSchema,
    apiKey: credentialSchema,
    action: actionSchema,
    businessId: idSchema.nullish(),
    context: z
      .strictObject({
        ip: ipSchema.optional(),
        userAgent: clientText(512).optional(),
        requestId: clientText(128).optional(),
      })
      .optional(),
  })
  .refine((body) => (body.authorization ?? null) === null || (body.apiKey ?? null) === null, {
    path: ['apiKey'],
    message: 'send authorization or apiKey, not both',
  })
  .transform(
    (body): AuthorizeRequest => ({
      apiKey: body.apiKey ?? keyOfHeader(body.authorization ?? ''),
      otherCredential: body.authorization ?? undefined,
      action: body.action,
      businessId: body.businessId ?? undefined,
      context: body.context ?? {},
    }),
  );

export const batchSchema = z.strictObject({
  requests: z.array(authorizeSchema).min(1, 'must hold 1-100 requests').max(BATCH_MAX, 'must hold 1-100 requests'),
});
