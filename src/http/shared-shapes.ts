/** What the shapes of several routes share. The OpenAPI document is made from the shapes and their examples. */

import { z } from 'zod';
import { idSchema } from '../input/scalars.ts';

export const instant = z.iso.datetime().describe('RFC 3339, in UTC');
export const nullableInstant = instant.nullable();
export const nullableText = z.string().nullable();

/** The parameters of a path such as `/keys/{id}`. */
export const idParams = z.strictObject({ id: idSchema });

/** An object schema that carries an example for the document. */
export const shape = <Shape extends z.ZodRawShape>(fields: Shape, example: z.input<z.ZodObject<Shape>>) =>
  z.object(fields).meta({ examples: [example] });

/** The example that `shape` was given. */
export const exampleOf = <Schema extends z.ZodType>(schema: Schema): z.input<Schema> =>
  (schema.meta()?.['examples'] as z.input<Schema>[] | undefined)?.[0] as z.input<Schema>;

/** A page of a list: its items, and the cursor of the next page, null at the end. */
export const pageOf = (item: z.ZodType) =>
  shape({ items: z.array(item), nextCursor: nullableText }, { items: [exampleOf(item)], nextCursor: null });
