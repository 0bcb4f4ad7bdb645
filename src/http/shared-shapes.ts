/** What the shapes of several routes share. The OpenAPI document is made from the shapes and their examples. */

import { z } from 'zod';
import { idSchema } from '../input/scalars.ts';

export const instant = z.iso.datetime().meta({ id: 'Instant', description: 'RFC 3339, in UTC' });
export const nullableInstant = instant.nullable();
export const nullableText = z.string().nullable();

/** A number that 32 bits hold, such as a status, a line, seconds. */
export const smallInt = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);

/** The parameters of a path such as `/keys/{id}`. */
export const idParams = z.strictObject({ id: idSchema });

/** An object schema that carries a name and an example for the document. */
export const shape = <Shape extends z.ZodRawShape>(id: string, fields: Shape, example: z.input<z.ZodObject<Shape>>) =>
  z.object(fields).meta({ id, examples: [example] });

/** The examples that a schema was given. */
export const examplesOf = <Schema extends z.ZodType>(schema: Schema): readonly z.input<Schema>[] =>
  (schema.meta()?.['examples'] as z.input<Schema>[] | undefined) ?? [];

/** The example that `shape` was given. */
export const exampleOf = <Schema extends z.ZodType>(schema: Schema): z.input<Schema> =>
  examplesOf(schema)[0] as z.input<Schema>;

/** The name of the codes of denials, which are the live policy's to say: the document enumerates them (openapi/document.ts). */
export const DENIAL_CODE = 'DenialCode';
export const denialCode = z.string().meta({
  id: DENIAL_CODE,
  description: 'Those of the policy that is live. One that a client does not know is a denial like any other.',
});

/** A page of a list: its items, and the cursor of the next page, null at the end. */
export const pageOf = (item: z.ZodType) =>
  shape(
    `${item.meta()?.id}Page`,
    { items: z.array(item), nextCursor: nullableText },
    { items: [exampleOf(item)], nextCursor: null },
  );
