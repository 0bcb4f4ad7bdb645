/**
 * Decides once for each class of candidates that rows can tell apart. A class is a value of each dimension; which of them are allowed is all
 * that SQL needs to know, so a search costs as many decisions among a million candidates as among ten.
 */

import { invalid } from '../input/json.ts';
import { decide, type Policy } from '../policy/decide.ts';
import { closed } from '../policy/facts.ts';
import { type Asked, factsUnder, type Stored } from '../policy/facts-under.ts';
import type { Dimension } from './dimensions.ts';

type Value = string | boolean;

/** More are refused: each is a decision. */
export const MOST_CLASSES = 10_000;

/** How a class is written, here and in SQL: the values in the order of the dimensions. No value holds the sign between them. */
export const BETWEEN = '|';

export interface Allowed {
  readonly signature: string;
  /** By the paths of the dimensions. */
  readonly values: ReadonlyMap<string, Value>;
}

/** What is asked of every candidate. */
export interface SearchQuestion extends Asked {
  /** Whether there is a business to be reached; otherwise it is about the account. */
  readonly onBusiness: boolean;
}

/**
 * The classes that the policy allows. Yields after each decision.
 * @throws Failure INVALID_REQUEST: there are too many classes; UNAVAILABLE: the policy cannot decide one
 */
export function* allowedClasses(
  policy: Policy,
  dimensions: readonly Dimension[],
  question: SearchQuestion,
): Generator<void, readonly Allowed[]> {
  const count = dimensions.reduce((product, { values }) => product * values.length, 1);
  if (count > MOST_CLASSES)
    throw invalid(
      '',
      `the rows of this action tell ${count} kinds of candidates apart, and a search goes through ${MOST_CLASSES} at most; ask by evaluations instead`,
    );
  const allowed: Allowed[] = [];
  for (let index = 0; index < count; index += 1) {
    const values = valuesAt(dimensions, index);
    const { effect } = decide(policy, factsUnder(policy.schema, storedAs(dimensions, values, question), question));
    if (effect === 'allow') allowed.push({ signature: [...values.values()].join(BETWEEN), values });
    yield;
  }
  return allowed;
}

/** The class of a number, in which each dimension is a digit. */
function valuesAt(dimensions: readonly Dimension[], index: number): ReadonlyMap<string, Value> {
  const values = new Map<string, Value>();
  let rest = index;
  for (const { path, values: all } of dimensions) {
    values.set(path, all[rest % all.length] as Value);
    rest = Math.floor(rest / all.length);
  }
  return values;
}

/** Of what no row reads any value will do. Only what is active may be allowed, so nothing else is a candidate. */
function storedAs(
  dimensions: readonly Dimension[],
  values: ReadonlyMap<string, Value>,
  { onBusiness }: SearchQuestion,
): Stored {
  const value = <T extends Value>(path: string, otherwise: T): T => (values.get(path) as T | undefined) ?? otherwise;
  return {
    key: closed({
      id: value('r.key.id', 'x'),
      status: 'active' as const,
      userManagement: value('r.key.userManagement', false as boolean),
      environment: value('r.key.environment', 'x'),
    }),
    user: closed({
      id: value('r.user.id', 'x'),
      status: 'active' as const,
      businesses: value<'active' | 'disabled'>('r.user.businesses', 'active'),
    }),
    target: onBusiness
      ? closed({
          id: value('r.target.id', 'x'),
          status: value<'active' | 'disabled'>('r.target.status', 'active'),
          role: value<'none'>('r.target.role', 'none'),
          inRestriction: value('r.target.inRestriction', false as boolean),
        })
      : closed({ id: '', status: 'none' as const, role: 'none' as const, inRestriction: false }),
    stored: closed({
      key: attributesOf(dimensions, values, 'key'),
      user: attributesOf(dimensions, values, 'user'),
      target: attributesOf(dimensions, values, 'business'),
    }),
  };
}

/** As they would be stored: a value, or a list of grants. */
function attributesOf(
  dimensions: readonly Dimension[],
  values: ReadonlyMap<string, Value>,
  of: Dimension['owner'],
): Readonly<Record<string, string | readonly string[]>> {
  const attributes: Record<string, string | string[]> = {};
  for (const { path, owner } of dimensions) {
    if (owner !== of) continue;
    const [, , name = '', grant] = path.split('.');
    const value = values.get(path);
    if (grant === undefined) attributes[name] = String(value);
    else if (value === true) attributes[name] = [...(attributes[name] ?? []), grant];
  }
  return closed(attributes);
}
