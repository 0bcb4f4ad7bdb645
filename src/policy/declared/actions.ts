/** What the register of `facts.yaml` says of an action: a function of the action alone, so it is never taken from anybody else. */

import type { DeclaredActions } from './declaration.ts';

/** The facts `request.registered` and `request.group.*` of an action, by their names in the table. */
export type RegistrationOf = (action: string) => readonly (readonly [name: string, value: boolean])[];

/** Indexes the register once, since it is asked about each question and each situation. */
export function registrationsIn({ known, groups }: DeclaredActions): RegistrationOf {
  const members = [...groups].map(([name, actions]) => [`group.${name}`, new Set(actions)] as const);
  return (action) => [
    ['registered', known.has(action)],
    ...members.map(([name, actions]) => [name, actions.has(action)] as const),
  ];
}
