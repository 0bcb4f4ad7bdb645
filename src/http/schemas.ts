/** The shapes of the questions, as the contract has them. */

import { isIP } from 'node:net';
import { z } from 'zod';
import type { AuthorizeRequest } from '../authorize.ts';
import { keyOfHeader } from '../keys/token.ts';
import { actionSchema, idSchema, withoutSecrets } from '../validate.ts';

const BATCH_MAX = 100;

const credentialSchema = z.string({ error: 'must be text' }).nullish();

/** An address as the log keeps it: no zone, which would name an interface of the caller's. */
const ipSchema = z
  .string()
  .refine((text) => isIP(text) !== 0 && !text.includes('%'), 'must be an IPv4 or IPv6 address');

export const authorizeSchema = z
  .strictObject({
    authorization: credentialSchema,
    apiKey: credentialSchema,
    action: actionSchema,
    businessId: idSchema.nullish(),
    context: z
      .strictObject({
        ip: ipSchema.optional(),
        userAgent: z.string().max(512, 'must have at most 512 characters').transform(withoutSecrets).optional(),
        requestId: z.string().max(128, 'must have at most 128 characters').transform(withoutSecrets).optional(),
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
      action: body.action,
      businessId: body.businessId ?? undefined,
      context: body.context ?? {},
    }),
  );

export const batchSchema = z.strictObject({
  requests: z.array(authorizeSchema).min(1, 'must hold 1-100 requests').max(BATCH_MAX, 'must hold 1-100 requests'),
});
