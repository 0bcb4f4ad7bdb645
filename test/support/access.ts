/** What tests of AuthZEN share. */

import { importFile } from '../../src/directory/import.ts';
import type { TestService } from './service.ts';

/** Imports a document as `authz import` does; the keys in clear that it made, by their ids. */
export async function importInto(
  { db, pepper, service }: TestService,
  file: string,
): Promise<Readonly<Record<string, string>>> {
  const { generated } = await importFile({
    db,
    peppers: [pepper],
    actor: { id: 'test' },
    file,
    form: 'json',
    maxLifetimeMs: undefined,
    declaration: async () => service.declaration(),
  });
  const keys: Record<string, string> = {};
  for await (const some of generated) for (const { id, apiKey } of some) keys[id] = apiKey;
  return keys;
}
