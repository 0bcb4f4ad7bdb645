/**
 * What rows can tell candidates apart by, as dimensions: of each fact that the rows of an action read, the values that it can have, and the
 * SQL that says which of them a stored key, user, business or membership has. Whatever no row reads is no dimension.
 */

import { matchesPattern, unnamedWord } from '../policy/action-patterns.ts';
import type { Policy } from '../policy/decide.ts';
import { GROUP_OF_OWNER } from '../policy/declared/declaration.ts';
import { UNKNOWN } from '../policy/declared/table.ts';
import type { Asked } from '../policy/facts-under.ts';

type Value = string | boolean;
type Owner = keyof typeof GROUP_OF_OWNER;

/** What a dimension is of: `both` of a key or a user and the business that it is to reach. */
export type Part = 'key' | 'user' | 'target' | 'both';

export interface Dimension {
  /** Such as `r.key.environment`. */
  readonly path: string;
  readonly of: Part;
  /** Of an attribute that is stored: its owner. */
  readonly owner?: Owner;
  readonly values: readonly Value[];
  /** An expression over the aliases k, u, b and m: the value as text. Its constants are of the grammars of ids and names. */
  readonly sql: string;
}

/** Names and ids hold neither quotes nor backslashes (the rule language and facts.yaml refuse them). */
const literal = (text: string): string => {
  if (!/^[A-Za-z0-9._:-]*$/.test(text)) throw new Error('a constant of a policy is of no grammar');
  return `'${text}'`;
};
const list = (texts: readonly string[]): string => texts.map(literal).join(', ');

/** What of the built-in facts is stored and may differ between candidates that may be allowed at all. */
const BUILT_IN: readonly {
  readonly path: string;
  readonly of: Part;
  readonly sql: string;
  readonly values?: readonly Value[];
}[] = [
  { path: 'r.key.id', of: 'key', sql: 'k.id::text' },
  { path: 'r.key.userManagement', of: 'key', sql: 'k.allow_user_management::text', values: [true, false] },
  { path: 'r.key.environment', of: 'key', sql: 'k.environment' },
  { path: 'r.user.id', of: 'user', sql: 'u.id::text' },
  {
    path: 'r.user.businesses',
    of: 'user',
    sql: `case when u.businesses_disabled_at is null then 'active' else 'disabled' end`,
    values: ['active', 'disabled'],
  },
  { path: 'r.target.id', of: 'target', sql: 'b.id::text' },
  {
    path: 'r.target.status',
    of: 'target',
    sql: `case when b.disabled_at is null then 'active' else 'disabled' end`,
    values: ['active', 'disabled'],
  },
  {
    path: 'r.target.inRestriction',
    of: 'both',
    sql: `(not k.restricted or exists (
      select from api_key_businesses r where r.key_id = k.id and r.business_id = b.id))::text`,
    values: [true, false],
  },
];

const ALIAS: Readonly<Record<Owner, string>> = { key: 'k', user: 'u', business: 'b' };

/** The dimensions of an action; `stored`: the facts of `asked` that are taken from what is stored. */
export function dimensionsOf(
  { rows, schema }: Policy,
  action: string,
  stored: Asked['stored'] = new Map(),
): readonly Dimension[] {
  const ofAction = rows.filter((row) => matchesPattern(row.action, action));
  const reads = new Set(ofAction.flatMap(({ when }) => [...when.facts]));
  const constants = (path: string): string[] =>
    ofAction.flatMap(({ when }) => [...(when.constants.get(path) ?? [])]).filter((one) => one !== '');
  const { attributes } = schema.declaration;
  for (const [asked, { owners, name }] of stored) {
    if (!reads.has(`r.asked.${asked}`)) continue;
    for (const owner of owners) if (attributes[owner].has(name)) reads.add(`r.${GROUP_OF_OWNER[owner]}.${name}`);
  }
  const builtIn = BUILT_IN.filter(({ path }) => reads.has(path)).map(({ values, sql, ...rest }): Dimension => {
    if (values) return { ...rest, sql, values };
    const named = [...new Set(constants(rest.path))];
    // Those that no row names are one class, whatever it is called.
    const other = unnamedWord(named);
    if (named.length === 0) return { ...rest, sql: literal(other), values: [other] };
    return {
      ...rest,
      sql: `case when ${sql} in (${list(named)}) then ${sql} else ${literal(other)} end`,
      values: [...named, other],
    };
  });
  const role = reads.has('r.target.role')
    ? [roleDimension(schema.paths.get('r.target.role') as readonly string[])]
    : [];
  return [...builtIn, ...role, ...attributeDimensions(attributes, reads)];
}

function roleDimension(roles: readonly string[]): Dimension {
  const sql = `case when m.role is null then 'none' when m.role in (${list(roles)}) then m.role else 'other' end`;
  return { path: 'r.target.role', of: 'both', values: roles, sql };
}

function attributeDimensions(
  attributes: Policy['schema']['declaration']['attributes'],
  reads: ReadonlySet<string>,
): readonly Dimension[] {
  return (Object.keys(GROUP_OF_OWNER) as Owner[]).flatMap((owner) =>
    [...attributes[owner]].flatMap(([name, declared]): Dimension[] => {
      const of = owner === 'business' ? 'target' : owner;
      const path = `r.${GROUP_OF_OWNER[owner]}.${name}`;
      const json = `${ALIAS[owner]}.attributes->${literal(name)}`;
      if (declared.kind === 'grants')
        return declared.grants
          .filter((grant) => reads.has(`${path}.${grant}`))
          .map((grant) => ({
            path: `${path}.${grant}`,
            of,
            owner,
            values: [true, false],
            sql: `coalesce(jsonb_typeof(${json}) = 'array' and ${json} @> '"${grant}"'::jsonb, false)::text`,
          }));
      if (!reads.has(path)) return [];
      const value = `${ALIAS[owner]}.attributes->>${literal(name)}`;
      const known = `jsonb_typeof(${json}) = 'string' and ${value} in (${list(declared.values)})`;
      const values = [...declared.values, UNKNOWN];
      return [{ path, of, owner, values, sql: `case when ${known} then ${value} else '${UNKNOWN}' end` }];
    }),
  );
}
