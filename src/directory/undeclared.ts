/**
 * Counts what the directory stores of attributes and roles that a policy does not declare. Under that policy it counts for nothing:
 * whoever removes a value or a role from `facts.yaml` should know who still has it.
 */

import type { Knex } from 'knex';
import { orFailure } from '../db/failure.ts';
import {
  BUILT_IN_ROLES,
  type Declaration,
  type DeclaredGrants,
  type DeclaredValues,
} from '../policy/declared/declaration.ts';
import type { Owner } from './attributes.ts';

/** A value of an attribute, or a role, and how many have it. */
export interface Undeclared {
  readonly of: Owner | 'member';
  /** The attribute; of a member: `role`. */
  readonly name: string;
  readonly value: string;
  readonly count: number;
}

interface Stored extends Undeclared {
  /** `jsonb_typeof` of what the name has; `array`: `value` is one of several. */
  readonly form: string;
}

/** More different ones than any series of policies declares; those that most have come first. */
const MOST = 10_000;

const valuesOf = (owner: Owner, table: string): string => `
  select '${owner}' as of, a.key as name, jsonb_typeof(a.value) as form, v.value
  from ${table} t, jsonb_each(t.attributes) a, jsonb_array_elements_text(
    case when jsonb_typeof(a.value) = 'array' then a.value else jsonb_build_array(a.value) end) v
  where t.attributes <> '{}'`;

const COUNT_STORED = `
  select of, name, form, value, count(*)::float8 as count
  from (
    ${valuesOf('key', 'api_keys')} union all ${valuesOf('user', 'users')} union all ${valuesOf('business', 'businesses')}
    union all select 'member', 'role', 'string', role from business_members
  ) stored
  group by of, name, form, value order by count desc, of, name, value limit ?`;

/** What is stored and not declared, the most frequent first. @throws Failure UNAVAILABLE */
export async function countUndeclared(db: Knex, declaration: Declaration): Promise<Undeclared[]> {
  const { rows } = await orFailure(db.raw<{ rows: Stored[] }>(COUNT_STORED, [MOST]));
  return rows
    .filter(({ of, name, form, value }) =>
      of === 'member'
        ? ![...BUILT_IN_ROLES, ...declaration.roles].includes(value)
        : !isDeclared(declaration.attributes[of].get(name), form, value),
    )
    .map(({ of, name, value, count }) => ({ of, name, value, count }));
}

function isDeclared(declared: DeclaredValues | DeclaredGrants | undefined, form: string, value: string): boolean {
  switch (declared?.kind) {
    case undefined:
      return false;
    case 'boolean':
      return form === 'boolean';
    case 'values':
      return form === 'string' && declared.values.includes(value);
    case 'grants':
      return form === 'array' && declared.grants.includes(value);
  }
}
