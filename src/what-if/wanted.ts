/** Changes of facts that advice is still to be given on, and how they are said. */

import type { FactChange } from '../policy/analysis/change-sets.ts';
import type { NewValue } from '../policy/analysis/moves.ts';

/** By path. Whoever gives advice on a change takes it out. */
export type Left = Map<string, FactChange>;

export function take(left: Left, path: string): FactChange | undefined {
  const change = left.get(path);
  left.delete(path);
  return change;
}

/** Whether this is one of the values that would do. */
export const allows = ({ to }: FactChange, value: string | boolean): boolean =>
  'anyOf' in to ? to.anyOf.includes(value) : !to.noneOf.includes(value);

/** The first of the values that would do, where they are named. */
export const namedValue = ({ to }: FactChange): string | boolean | undefined =>
  'anyOf' in to ? to.anyOf.find((value) => value !== '') : undefined;

/** `'owner' or 'member'`, `anything but 'sandbox'`. */
export function valuesText(to: NewValue): string {
  if ('anyOf' in to) return to.anyOf.map(literal).join(' or ');
  const others = to.noneOf.filter((value) => value !== '');
  if (others.length === 0) return 'any';
  return `anything but ${to.noneOf.map(literal).join(' and ')}`;
}

const literal = (value: string | boolean): string => (typeof value === 'string' ? `'${value}'` : String(value));

/** `a`, `a and b`, `a, b and c`. */
export const listOf = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;

/** What to do about a fact that no command changes. */
export function inWords(change: FactChange): string {
  const { path, from, to } = change;
  const [, group, ...names] = path.split('.');
  const name = names.join('.');
  const isTo = allows(change, true);
  switch (path) {
    case 'r.limit.exceeded':
      return isTo ? 'use the limit of the key up' : 'wait until the rate limit of the key has room again';
    case 'r.request.registered':
      return isTo
        ? 'add the action to actions.known of facts.yaml'
        : 'take the action out of actions.known of facts.yaml';
    case 'r.request.addressed':
      return isTo ? "state the client's address (context.ip)" : 'state no address of the client (context.ip)';
    case 'r.request.byId':
      return isTo ? 'ask about the key by its id' : 'show the key itself, instead of its id';
  }
  switch (group) {
    case 'network':
      return `ask for a client whose address (context.ip) ${isTo ? 'lies' : 'does not lie'} in ${name}`;
    case 'schedule':
      return `ask ${isTo ? 'during' : 'outside'} ${name}`;
    case 'asked':
      return `state ${name} in context.attributes: ${valuesText(to)}`;
    case 'key':
    case 'user':
      if (name === 'id') return `ask with a key${group === 'user' ? ' of a user' : ''} whose id is ${valuesText(to)}`;
  }
  return `${path} is ${literal(from)}, and would have to be ${valuesText(to)}`;
}
