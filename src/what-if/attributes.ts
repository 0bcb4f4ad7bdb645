/** Changes of attributes as the attributes that are to be stored: the facts of a set of grants are one attribute. */

import { type DeclaredAttributes, GROUP_OF_OWNER } from '../policy/declared/declaration.ts';
import { UNKNOWN } from '../policy/declared/table.ts';
import type { Schema } from '../policy/schema.ts';
import type { Attributes } from './commands.ts';
import { allows, type Left, namedValue, take, valuesText } from './wanted.ts';

export interface AttributesWanted {
  /** Those that change, each whole: all grants of a set. Empty: to be taken away. */
  readonly changed: Attributes;
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
  const changed: Record<string, Attributes[string]> = {};
  const says: string[] = [];
  const held = declaredPart(stored, declaration.attributes[owner]);
  for (const [name, of] of declaration.attributes[owner]) {
    const path = `r.${GROUP_OF_OWNER[owner]}.${name}`;
    if (of.kind === 'grants') {
      for (const grant of of.grants) {
        const change = take(left, `${path}.${grant}`);
        if (!change) continue;
        const granted = allows(change, true);
        const rest = [changed[name] ?? held[name] ?? []].flat().filter((one) => one !== grant) as string[];
        changed[name] = granted ? [...rest, grant] : rest;
        says.push(`${granted ? 'grant' : 'take'} the ${owner} ${name}.${grant}${granted ? '' : ' away'}`);
      }
      continue;
    }
    const change = take(left, path);
    if (!change) continue;
    const value = namedValue(change);
    changed[name] = value === undefined || value === UNKNOWN ? '' : value;
    says.push(`give the ${owner} the ${name} ${valuesText(change.to)}`);
  }
  return { changed, says };
}

/** What of stored attributes is declared: no command takes anything else. */
export function declaredPart(stored: Attributes, declared: DeclaredAttributes): Attributes {
  const part: Record<string, Attributes[string]> = {};
  for (const [name, of] of declared) {
    const value = stored[name];
    if (of.kind === 'grants') {
      if (Array.isArray(value)) part[name] = of.grants.filter((grant) => value.includes(grant));
    } else if (typeof value === 'string' && of.values.includes(value)) part[name] = value;
  }
  return part;
}
