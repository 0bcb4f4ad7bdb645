/**
 * What an edit of the policy changes: every class of situations that two policies answer differently, never a sample.
 * Both are asked about each class that the rows of either can tell apart, so that "equivalent" is a proof.
 */

import { type Decision, decide, type Policy } from '../decide.ts';
import type { DeclaredValues } from '../declared/declaration.ts';
import { type Gateway, meaningOf, requestsOf } from '../declared/gateway.ts';
import type { Names } from '../declared/names.ts';
import type { Facts } from '../facts.ts';
import type { Code, Effect, Row } from '../row.ts';
import { partitionOf } from './classes.ts';
import { groupByLabel, type LabelledClasses } from './conditions.ts';

/** The situations whose answer changed from one to another. */
export interface Change {
  readonly old: { readonly effect: Effect; readonly code: string };
  readonly new: { readonly effect: Effect; readonly code: string };
  /** The pairs of rows that gave the answers. */
  readonly rules: readonly { readonly old: string; readonly new: string }[];
  /** The change holds exactly where one of these does, among the situations that can occur. */
  readonly when: readonly string[];
  /** How many classes of situations these are. */
  readonly situations: number;
  readonly example: { readonly facts: Facts; readonly old: Decision; readonly new: Decision };
}

/** An entry of codes.yaml that means something else, or that only one of the two has. */
export interface CodeChange {
  readonly code: string;
  readonly old: Code | null;
  readonly new: Code | null;
}

/** What a calling service may state under the old policy, and may no longer: a question that does is refused (400). */
export interface AskedChange {
  readonly name: string;
  /** What it can be. */
  readonly old: readonly (string | boolean)[];
  /** Null: it is not declared. */
  readonly new: readonly (string | boolean)[] | null;
}

/** A name of names.yaml that means something else, or that only one of the two maps: who asks by AuthZEN asks another question. */
export interface NameChange {
  /** Such as `resources record` or `properties subject.role`. */
  readonly name: string;
  readonly old: string | null;
  readonly new: string | null;
}

/** Requests of gateway.yaml that ask for something else, or that only one of the two has a route for; or routes in another order. */
export interface RouteChange {
  /** Such as `GET,HEAD /v1/calls/*`, or `order`. */
  readonly name: string;
  readonly old: string | null;
  readonly new: string | null;
}

export interface Difference {
  /** Digests of the two. */
  readonly old: string;
  readonly new: string;
  /**
   * Proved: every situation gets the same effect and code from both, the code means the same to a client, no question is refused
   * that was not, names mean the same, and so do the requests of gateways.
   */
  readonly equivalent: boolean;
  /** The facts that either depends on. */
  readonly facts: readonly string[];
  /** How many classes of situations the two together tell apart; none is left out. */
  readonly situations: number;
  /** Another effect or code. What is newly allowed comes first, then what no longer is. */
  readonly changes: readonly Change[];
  /** The same effect and code, by another row. */
  readonly ruleChanges: readonly Change[];
  readonly codes: readonly CodeChange[];
  readonly asked: readonly AskedChange[];
  readonly names: readonly NameChange[];
  readonly gateway: readonly RouteChange[];
}

/** One of the policies does not decide a situation; `which` says which one. */
export class Undecided extends Error {
  readonly which: 'old' | 'new';
  readonly facts: Facts;

  constructor(which: 'old' | 'new', facts: Facts, cause: unknown) {
    super(`a situation has no decision (${((cause as Error).cause as Error | undefined)?.message ?? String(cause)})`, {
      cause,
    });
    this.which = which;
    this.facts = facts;
  }
}

interface Pair {
  readonly old: Decision;
  readonly new: Decision;
}

/**
 * Everything that differs between two policies. `onProgress` is told how many of how many classes are done.
 * @throws OverBound · Undecided, which no two checked policies lead to
 */
export function diffOf(
  older: Policy,
  newer: Policy,
  onProgress: (done: number, of: number) => void = () => {},
): Difference {
  const old = new Set(older.rows);
  // Where the same rows match an action in both, the answers are the same.
  const answeredAlike = (rows: readonly Row[]): boolean =>
    textOf(rows.filter((row) => old.has(row))) === textOf(rows.filter((row) => !old.has(row)));
  const partition = partitionOf([older, newer], answeredAlike);
  const pairs = partition.classes.map(({ facts: [before, after] }, index): Pair => {
    if (index % 1000 === 0) onProgress(index, partition.classes.length);
    return { old: ask(older, 'old', before as Facts), new: ask(newer, 'new', after as Facts) };
  });
  const decisions = new Map(partition.classes.map((one, index) => [one, pairs[index] as Pair]));
  const toChange = (group: LabelledClasses): Change => changeOf(group, (one) => decisions.get(one) as Pair);
  const changes = [...groupByLabel(partition, pairs.map(answerLabel)).values()].map(toChange);
  const ruleChanges = [...groupByLabel(partition, pairs.map(ruleLabel)).values()].map(toChange);
  const codes = codeChanges(older.codes, newer.codes);
  const given = new Set(newer.rows.map((row) => row.code));
  const asked = askedChanges(older, newer);
  const names = nameChanges(older.names, newer.names);
  const gateway = routeChanges(older.gateway, newer.gateway);
  const means =
    [asked, names, gateway].every(({ length }) => length === 0) && !codes.some(({ code }) => given.has(code));
  return {
    old: older.digest,
    new: newer.digest,
    equivalent: changes.length === 0 && means,
    facts: partition.dimensions.map(({ path }) => path),
    situations: partition.size,
    changes: changes.sort((a, b) => rank(a) - rank(b)),
    ruleChanges,
    codes,
    asked,
    names,
    gateway,
  };
}

/** Rows without their places, for comparison. */
const textOf = (rows: readonly Row[]): string =>
  JSON.stringify(rows.map(({ id, effect, code, when }) => [id, effect, code, when.text]));

function ask(policy: Policy, which: 'old' | 'new', facts: Facts): Decision {
  try {
    return decide(policy, facts);
  } catch (cause) {
    throw new Undecided(which, facts, cause);
  }
}

const sameAnswer = (pair: Pair): boolean => pair.old.code === pair.new.code && pair.old.effect === pair.new.effect;

const answerLabel = (pair: Pair): string | undefined =>
  sameAnswer(pair) ? undefined : [pair.old, pair.new].map(({ effect, code }) => `${effect} ${code}`).join();

const ruleLabel = (pair: Pair): string | undefined =>
  sameAnswer(pair) && pair.old.rule !== pair.new.rule ? `${pair.old.rule},${pair.new.rule}` : undefined;

function changeOf(
  { when, classes }: LabelledClasses,
  decisionsOn: (one: LabelledClasses['classes'][number]) => Pair,
): Change {
  const [example] = classes;
  if (!example) throw new Error('a group without a class');
  const pair = decisionsOn(example);
  const rules = new Map(
    classes
      .map(decisionsOn)
      .map((one) => [`${one.old.rule},${one.new.rule}`, { old: one.old.rule, new: one.new.rule }]),
  );
  return {
    old: { effect: pair.old.effect, code: pair.old.code },
    new: { effect: pair.new.effect, code: pair.new.code },
    rules: [...rules.values()],
    when,
    situations: classes.length,
    example: { facts: example.facts[1] as Facts, ...pair },
  };
}

/** The order of changes: newly allowed first, then no longer allowed, then the rest. */
const rank = (change: Change): number => (change.new.effect === 'allow' ? 0 : change.old.effect === 'allow' ? 1 : 2);

function codeChanges(older: Policy['codes'], newer: Policy['codes']): CodeChange[] {
  return [...new Set([...older.keys(), ...newer.keys()])].sort().flatMap((code) => {
    const [before, after] = [older.get(code), newer.get(code)];
    const same = (['status', 'message', 'reason'] as const).every((part) => before?.[part] === after?.[part]);
    return same ? [] : [{ code, old: before ?? null, new: after ?? null }];
  });
}

function askedChanges({ schema: older }: Policy, { schema: newer }: Policy): AskedChange[] {
  return [...older.declaration.asked].flatMap(([name, declared]) => {
    const now = newer.declaration.asked.get(name);
    const [before, after] = [valuesOf(declared), now ? valuesOf(now) : null];
    return before.every((value) => after?.includes(value)) ? [] : [{ name, old: before, new: after }];
  });
}

const nameChanges = (older: Names, newer: Names): NameChange[] => meaningChanges(meaningsOf(older), meaningsOf(newer));

/** No two routes of a gateway are for the same requests: the second would have a finding. */
function routeChanges(older: Gateway, newer: Gateway): RouteChange[] {
  const [before, after] = [older, newer].map(
    (gateway) => new Map(gateway.map((route) => [requestsOf(route), meaningOf(route)])),
  ) as [Map<string, string>, Map<string, string>];
  const changes = meaningChanges(before, after);
  // The first that a request meets is its route, so the order counts, of those that both have.
  const [old, now] = [
    [...before.keys()].filter((name) => after.has(name)),
    [...after.keys()].filter((name) => before.has(name)),
  ];
  const at = old.findIndex((name, index) => name !== now[index]);
  const [first, second] = [old[at], now[at]];
  if (first === undefined || second === undefined) return changes;
  return [...changes, { name: 'order', old: `${first} before ${second}`, new: `${second} before ${first}` }];
}

function meaningChanges(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): NameChange[] {
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((name) => {
    const [old, now] = [before.get(name) ?? null, after.get(name) ?? null];
    return old === now ? [] : [{ name, old, new: now }];
  });
}

/** What each name means, by the section of names.yaml that it stands in. */
const meaningsOf = ({ resources, actions, properties }: Names): ReadonlyMap<string, string> =>
  new Map<string, string>([
    ...[...resources].map(([name, kind]) => [`resources ${name}`, kind] as const),
    ...[...actions].map(([name, action]) => [`actions ${name}`, action] as const),
    ...properties.map(({ of, name, asked }) => [`properties ${of}.${name}`, `asked.${asked}`] as const),
  ]);

const valuesOf = ({ kind, values }: DeclaredValues): readonly (string | boolean)[] =>
  kind === 'boolean' ? [true, false] : values;
