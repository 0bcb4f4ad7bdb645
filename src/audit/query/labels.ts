/** The names of keys and callers, to be shown beside their ids. Users and businesses have none. */

import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import { raw } from './conditions.ts';

/** An id with its name, `ada-main (Main)`; the id alone where there is none, such as of what was deleted. */
export type Labels = Readonly<Record<'key' | 'caller', (id: string | null) => string | null>>;

/** Of all that is shown at once, by one statement. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function labelsOf(
  db: Knex,
  shown: { readonly keys?: readonly (string | null)[]; readonly callers?: readonly (string | null)[] },
): Promise<Labels> {
  const ids = (of: readonly (string | null)[] = []): string[] => [...new Set(of)].filter((id) => id !== null);
  const [keys, callers] = [ids(shown.keys), ids(shown.callers)];
  const names = new Map<string, string>();
  if (keys.length + callers.length > 0) {
    const { rows } = await orFailure(
      raw<{ kind: string; id: string; name: string }>(db, {
        sql: `select 'key' as kind, id, friendly_name as name from audited_keys where id = any(?::text[])
              union all select 'caller', id, name from audited_callers where id = any(?::text[])`,
        bindings: [keys, callers],
      }),
    );
    for (const { kind, id, name } of rows) if (name !== id) names.set(`${kind} ${id}`, name);
  }
  const labelled = (kind: string) => (id: string | null) => {
    const name = names.get(`${kind} ${id}`);
    return name === undefined ? id : `${id} (${name})`;
  };
  return { key: labelled('key'), caller: labelled('caller') };
}
