/** The table of facts of a policy: the built-in ones, and those that its `facts.yaml` declares. */

import type { Constraint, FactDefinition, Facts, FactTable, FactType } from '../facts.ts';
import { groupOf } from '../facts.ts';
import { type Declaration, type DeclaredAttributes, GROUP_OF_OWNER } from './declaration.ts';

/** What an enumeration is where nothing is known. */
export const UNKNOWN = 'unknown';

const fact = (type: FactType, says: string): FactDefinition =>
  type === 'boolean' ? { type, none: false, since: 0, says } : { type, none: UNKNOWN, since: 0, says };

type Entries = readonly (readonly [name: string, FactDefinition])[];

/** The facts of attributes, or of what the caller states: by name, of grants one for each. */
export function factsOfAttributes(attributes: DeclaredAttributes, says: string): Entries {
  return [...attributes].flatMap(([name, declared]): Entries => {
    if (declared.kind === 'grants')
      return declared.grants.map((grant) => [`${name}.${grant}`, fact('boolean', `${says}, the grant ${grant}`)]);
    return [[name, fact(declared.kind === 'boolean' ? 'boolean' : [...declared.values, UNKNOWN], says)]];
  });
}

/** `builtIn` with the facts that are declared. A group that would be empty is left out. */
export function declaredTable(builtIn: FactTable, declaration: Declaration): FactTable {
  const { attributes, roles, networks, schedules, asked, actions } = declaration;
  const added: Readonly<Record<string, Entries>> = {
    ...Object.fromEntries(
      Object.entries(GROUP_OF_OWNER).map(([owner, group]) => [
        group,
        factsOfAttributes(attributes[owner as keyof typeof attributes], `declared of the ${owner}`),
      ]),
    ),
    request: [...actions.groups.keys()].map((name) => [
      `group.${name}`,
      fact('boolean', `the action is in the group ${name}`),
    ]),
    network: networks.map(({ name }) => [name, fact('boolean', `the client's address lies in ${name}`)]),
    schedule: schedules.map(({ name }) => [name, fact('boolean', `the moment lies in ${name}`)]),
    asked: factsOfAttributes(asked, 'stated by the calling service'),
  };
  const table: Record<string, Readonly<Record<string, FactDefinition>>> = {};
  for (const group of new Set([...Object.keys(builtIn), ...Object.keys(added)])) {
    const facts = { ...builtIn[group], ...Object.fromEntries(added[group] ?? []) };
    if (Object.keys(facts).length > 0) table[group] = facts;
  }
  const role = table['target']?.['role'];
  if (!role || typeof role.type !== 'object') throw new Error('there is no fact target.role');
  return { ...table, target: { ...table['target'], role: { ...role, type: [...role.type, ...roles] } } };
}

/** Which combinations of declared facts and built-in ones can occur. */
export function declaredConstraints({ attributes, networks }: Declaration): readonly Constraint[] {
  const known = (['key', 'user', 'business'] as const).flatMap((owner): Constraint[] => {
    const names = factsOfAttributes(attributes[owner], '').map(([name, { none }]) => [name.split('.'), none] as const);
    if (names.length === 0) return [];
    const group = GROUP_OF_OWNER[owner];
    return [
      {
        says: `of a ${group} that there is not, no attribute is known`,
        about: [group],
        holds: (facts) => exists(facts, group) || names.every(([name, none]) => at(facts, group, name) === none),
      },
    ];
  });
  if (networks.length === 0) return known;
  return [
    ...known,
    {
      says: 'what has no address lies in no network',
      about: ['request', 'network'],
      holds: (facts) => facts.request.addressed || Object.values(groupOf(facts, 'network')).every((lies) => !lies),
    },
  ];
}

/** Whether there is a key, a user or a target of which something can be known. */
export const exists = (facts: Facts, group: 'key' | 'user' | 'target'): boolean =>
  facts[group].status !== 'unknown' && facts[group].status !== 'none';

const at = (facts: Facts, group: string, [outer = '', within]: readonly string[]): unknown => {
  const value = groupOf(facts, group)[outer];
  return within === undefined ? value : (value as Readonly<Record<string, unknown>> | undefined)?.[within];
};
