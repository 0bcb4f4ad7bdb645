/**
 * JSON Schema of zod schemas. One with a name, `meta({ id })`, stands once among the components of the document, and is referred to
 * wherever it is used: so code that is generated has a type of that name, once.
 */

import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';

export type Json = Record<string, unknown>;

export interface Schemas {
  /**
   * `io`: input for requests, where fields with a default are optional; output for answers.
   * @throws Error: two different schemas have the same name
   */
  readonly of: (schema: z.ZodType, io: 'input' | 'output') => Json;
  /** The named ones of all that `of` was asked, by their names. */
  readonly named: () => Readonly<Record<string, Json>>;
}

export const refTo = (kind: 'schemas' | 'responses', name: string): Json => ({
  $ref: `#/components/${kind}/${name}`,
});

export function createSchemas(): Schemas {
  const named = new Map<string, Json>();
  return {
    of: (schema, io) => {
      const { $schema, $defs, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', override });
      const { own, defs } = relocated({ own: rest, defs: $defs ?? {} });
      for (const [name, def] of Object.entries(defs)) {
        const known = named.get(name);
        if (known && !isDeepStrictEqual(known, def)) throw new Error(`two schemas have the name ${name}; rename one`);
        named.set(name, def);
      }
      return own;
    },
    named: () => Object.fromEntries([...named].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** With references to where the components of an OpenAPI document are. */
const relocated = (schemas: { own: Json; defs: Json }): { own: Json; defs: Record<string, Json> } =>
  JSON.parse(JSON.stringify(schemas).replaceAll('"#/$defs/', '"#/components/schemas/'));

const PLAIN_FORMATS: ReadonlySet<unknown> = new Set(['date-time', 'uuid', 'uri']);

/**
 * Leaves away what says nothing more: the pattern of a format, the bounds of all whole numbers, defaults that are as good as absence (code
 * that is generated takes a field with a default for one that must be sent); and examples, which bodies have.
 */
function override({ jsonSchema: schema }: { jsonSchema: Json }): void {
  // Beside a reference stands what is described anew: the format is the other's.
  if (PLAIN_FORMATS.has(schema['format']) || schema['$ref']) delete schema['pattern'];
  if (schema['minimum'] === Number.MIN_SAFE_INTEGER) delete schema['minimum'];
  if (schema['maximum'] === Number.MAX_SAFE_INTEGER) delete schema['maximum'];
  if (schema['type'] === 'integer' && schema['maximum'] === undefined) schema['format'] = 'int64';
  if (!schema['default'] || typeof schema['default'] === 'object') delete schema['default'];
  delete schema['examples'];
}
