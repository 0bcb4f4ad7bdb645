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

/** More different ones than any series of policies declares; those that most have come first. */
const MOST = 10_000;

const COUNT_UNDECLARED = `
  select of, name, value, count(*)::float8 as count from audited_values
  where of || ' ' || name || ' ' || form || ' ' || value <> all(:declared::text[])
  group by of, name, form, value order by count desc, of, name, value limit :most`;

/** What is stored and not declared, the most frequent first. @throws Failure UNAVAILABLE */
export async function countUndeclared(db: Knex, declaration: Declaration): Promise<Undeclared[]> {
  const bindings = { declared: declaredValues(declaration), most: MOST };
  const { rows } = await orFailure(db.raw<{ rows: Undeclared[] }>(COUNT_UNDECLARED, bindings));
  return rows;
}

/** What a policy declares of attributes and roles: of each value the columns of `audited_values`, with spaces between. */
export const declaredValues = ({ attributes, roles }: Declaration): string[] => [
  ...Object.entries(attributes).flatMap(([of, declared]) =>
    [...declared].flatMap(([name, one]) => formsOf(one).map((form) => `${of} ${name} ${form}`)),
  ),
  ...[...BUILT_IN_ROLES, ...roles].map((role) => `member role string ${role}`),
];

function formsOf(declared: DeclaredValues | DeclaredGrants): string[] {
  switch (declared.kind) {
    case 'boolean':
      return ['boolean true', 'boolean false'];
    case 'values':
      return declared.values.map((value) => `string ${value}`);
    case 'grants':
      return declared.grants.map((grant) => `array ${grant}`);
  }
}
