/** Changes of attributes as the attributes that are to be stored: the facts of a set of grants are one attribute. */

import { GROUP_OF_OWNER } from '../policy/declared/declaration.ts';
import { UNKNOWN } from '../policy/declared/table.ts';
import type { Schema } from '../policy/schema.ts';
import type { Attributes } from './commands.ts';
import { allows, type Left, namedValue, take, valuesText } from './wanted.ts';

export interface AttributesWanted {
  /** All of them that are declared, since a command may reset what it does not name; empty: to be taken away. */
  readonly values: Attributes;
  /** What changes; empty: nothing. */
  readonly says: readonly string[];
}

/** Takes the changes of attributes of a key, a user or a business. */
export function attributesWanted(
  left: Left,
  { declaration }: Schema,
  owner: keyof typeof GROUP_OF_OWNER,
  stored: Attributes = {},
): AttributesWanted {
  const declared = declaration.attributes[owner];
  const values: Record<string, Attributes[string]> = {};
  const says: string[] = [];
  for (const [name, of] of declared) {
    const path = `r.${GROUP_OF_OWNER[owner]}.${name}`;
    const before = stored[name];
    if (before !== undefined) values[name] = before;
    if (of.kind === 'grants') {
      for (const grant of of.grants) {
        const change = take(left, `${path}.${grant}`);
        if (!change) continue;
        const granted = allows(change, true);
        const rest = ([values[name] ?? []].flat() as string[]).filter((one) => one !== grant);
        values[name] = granted ? [...rest, grant] : rest;
        says.push(`${granted ? 'grant' : 'take'} the ${owner} ${name}.${grant}${granted ? '' : ' away'}`);
      }
      continue;
    }
    const change = take(left, path);
    if (!change) continue;
    const value = namedValue(change);
    values[name] = value === undefined || value === UNKNOWN ? '' : value;
    says.push(`give the ${owner} the ${name} ${valuesText(change.to)}`);
  }
  return { values, says };
}
