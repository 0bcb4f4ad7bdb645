/** What /authorize and /authorize/batch are asked: the one definition, for validation and for the OpenAPI document. */

import { z } from 'zod';
import type { Context } from '../../audit/record/entry.ts';
import type { AuthorizeRequest } from '../../authorize.ts';
import { contextSchema } from '../../input/context.ts';
import { notBoth } from '../../input/exclusive.ts';
import { actionSchema, idSchema, OWN_SECRET } from '../../input/scalars.ts';
import { holdsPieceOf, maskSecrets } from '../../mask.ts';
import { keyOfHeader } from '../../token-form.ts';

const credentialSchema = z.string({ error: 'must be text' }).nullish();

const ONE_CREDENTIAL = notBoth('authorization', 'apiKey');
const questionSchema = z
  .strictObject({
    authorization: credentialSchema,
    apiKey: credentialSchema,
    action: actionSchema,
    businessId: idSchema.nullish(),
    context: contextSchema.optional(),
  })
  .refine(ONE_CREDENTIAL.holds, { path: ['apiKey'], message: 'send authorization or apiKey, not both' })
  .meta(ONE_CREDENTIAL.schema);
type Body = z.output<typeof questionSchema>;

const keepsSecret = (textOf: (body: Body) => string | null | undefined) => (body: Body) =>
  !holdsPieceOf(body.apiKey ?? body.authorization ?? '', textOf(body) ?? '');
const ownSecret = (...path: string[]) => ({ path, message: OWN_SECRET });

export const authorizeSchema = questionSchema
  .refine(
    keepsSecret(({ businessId }) => businessId),
    ownSecret('businessId'),
  )
  .refine(
    keepsSecret(({ action }) => action),
    ownSecret('action'),
  )
  .refine(
    keepsSecret(({ context }) => context?.userAgent),
    ownSecret('context', 'userAgent'),
  )
  .refine(
    keepsSecret(({ context }) => context?.requestId),
    ownSecret('context', 'requestId'),
  )
  .refine(
    (body) =>
      Object.values(body.context?.attributes ?? NO_ATTRIBUTES).every((value) => keepsSecret(() => String(value))(body)),
    ownSecret('context', 'attributes'),
  )
  .transform(
    (body): AuthorizeRequest => ({
      apiKey: body.apiKey ?? keyOfHeader(body.authorization ?? ''),
      otherCredential: body.authorization ?? undefined,
      action: body.action,
      businessId: body.businessId ?? undefined,
      context: body.context ? masked(body.context) : NO_CONTEXT,
      attributes: body.context?.attributes,
    }),
  )
  .meta({ id: 'Question' });

const NO_ATTRIBUTES: Readonly<Record<string, string | boolean>> = Object.freeze({});
const NO_CONTEXT: Context = Object.freeze({});

/** The client's texts as the log keeps them. */
const masked = ({ ip, userAgent, requestId }: Context): Context => ({
  ip,
  userAgent: userAgent && maskSecrets(userAgent),
  requestId: requestId && maskSecrets(requestId),
});

export const batchSchema = z
  .strictObject({
    requests: z.array(authorizeSchema).min(1, 'must hold 1-100 requests').max(100, 'must hold 1-100 requests'),
  })
  .meta({ id: 'Questions' });
