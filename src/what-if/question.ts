/** Schema of what `policy explain` is asked of live facts, over HTTP and by command. */

import { z } from 'zod';
import { contextSchema, valuesSchema } from '../input/context.ts';
import { oneOfBoth } from '../input/exclusive.ts';
import { actionSchema, idSchema, instantSchema, NO_SECRET, OWN_SECRET } from '../input/scalars.ts';
import { holdsPieceOf, holdsSecret } from '../mask.ts';

// What was asked stays in an admin event, and the facts are in the answer.
const setSchema = valuesSchema('Facts by path, such as r.limit.exceeded, in place of what is stored.').refine(
  (set) => !holdsSecret(JSON.stringify(set)),
  NO_SECRET,
);

export const explainBody = z
  .strictObject({
    apiKeyId: idSchema.nullish(),
    apiKey: z.string('must be text').nullish(),
    action: actionSchema,
    businessId: idSchema.nullish(),
    context: contextSchema.optional(),
    at: instantSchema.optional(),
    set: setSchema.optional(),
  })
  .refine(({ apiKeyId, apiKey }) => (apiKeyId ?? null) === null || (apiKey ?? null) === null, {
    path: ['apiKeyId'],
    message: 'name the key by apiKeyId or by apiKey, not both',
  })
  .refine(({ apiKeyId, apiKey }) => (apiKeyId ?? apiKey ?? null) !== null, {
    path: ['apiKeyId'],
    message: 'name the key, by apiKeyId or by apiKey',
  })
  .meta(oneOfBoth('apiKeyId', 'apiKey').schema)
  .superRefine(({ apiKey, ...rest }, context) => {
    for (const path of Object.keys(rest) as (keyof typeof rest)[]) {
      if (apiKey && holdsPieceOf(apiKey, JSON.stringify(rest[path] ?? '')))
        context.addIssue({ code: 'custom', path: [path], message: OWN_SECRET });
    }
  })
  .transform(({ apiKeyId, apiKey, action, businessId, context, at, set }): LiveQuestion => {
    return {
      key: apiKeyId ? { id: apiKeyId } : { secret: apiKey ?? '' },
      action,
      businessId: businessId ?? undefined,
      ip: context?.ip,
      attributes: context?.attributes,
      at,
      set: new Map(Object.entries(set ?? {})),
    };
  })
  .meta({ id: 'LiveQuestion' });

/** What is to be explained: a question about a key, as if some facts were otherwise. */
export interface LiveQuestion {
  /** By its id, which must be there, or in clear. */
  readonly key: { readonly id: string } | { readonly secret: string };
  readonly action: string;
  readonly businessId: string | undefined;
  /** The client's address. */
  readonly ip: string | undefined;
  /** What the calling service states. */
  readonly attributes: Readonly<Record<string, string | boolean>> | undefined;
  /** RFC 3339: for when it is asked; undefined: now, by the database's clock. */
  readonly at: string | undefined;
  /** Facts by path, in place of what is stored. */
  readonly set: ReadonlyMap<string, string | boolean>;
}
