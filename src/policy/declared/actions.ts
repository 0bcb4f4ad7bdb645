/** What the register of `facts.yaml` says of an action: a function of the action alone, so it is never taken from anybody else. */

import type { DeclaredActions } from './declaration.ts';

/** The facts `request.registered` and `request.group.*` of an action, by their names in the table. */
export const registrationOf = (
  { known, groups }: DeclaredActions,
  action: string,
): readonly (readonly [name: string, value: boolean])[] => [
  ['registered', known.has(action)],
  ...[...groups].map(([name, actions]) => [`group.${name}`, actions.includes(action)] as const),
];
