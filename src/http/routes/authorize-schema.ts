/** What /authorize and /authorize/batch are asked: the one definition, for validation and for the OpenAPI document. */

import { z } from 'zod';
import type { AuthorizeRequest } from '../../authorize.ts';
import { keyOfHeader } from '../../credentials/token.ts';
import { actionSchema, idSchema, ipSchema } from '../../input/scalars.ts';

const credentialSchema = z.string({ error: 'must be text' }).nullish();

/** Redacts API keys and caller tokens in a text of the client's, which the log would keep in clear. */
const redactKeys = (text: string): string => (text.includes('iqra_') ? text.replace(/iqra_\w+/g, 'iqra_***') : text);
const clientText = (max: number) => z.string().max(max, `must have at most ${max} characters`).transform(redactKeys);

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
  requests: z.array(authorizeSchema).min(1, 'must hold 1-100 requests').max(100, 'must hold 1-100 requests'),
});
