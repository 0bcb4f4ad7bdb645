/**
 * The networks that a policy declares, as one table: all their prefixes cut the addresses into ranges, and each range knows in
 * which networks it lies. So a look-up is one binary search however many networks there are, and what is found is one of few
 * objects: those that some address really gives, which are what the analysis enumerates.
 */

import { Refusal } from '../../errors.ts';
import type { DeclaredNetwork } from './declaration.ts';
import { type Address, parseAddress, parsePrefix } from './prefix.ts';
import { addPrefix, isRange, type Ranges, rangeAt, rangesOf, roomFor } from './ranges.ts';

/** Network -> whether an address lies in it. Frozen, and one object for each combination. */
export type NetworkGroup = Readonly<Record<string, boolean>>;

export interface Networks {
  /** The group of an address, or of none. @throws TypeError for what is no address */
  readonly groupAt: (ip: string | undefined) => NetworkGroup;
  /** Exactly the groups that some address gives. */
  readonly groups: readonly NetworkGroup[];
  /** That of no address: in no network. */
  readonly nowhere: NetworkGroup;
  /** How many ranges the networks cut the addresses into. */
  readonly ranges: number;
}

/** Combinations that are told apart at most, of networks and of schedules; a proof over more would not end in time. */
export const MOST_GROUPS = 4096;

/** What is declared combines in more than `MOST_GROUPS` ways, or cannot be looked through for them. */
export class TooManyGroups extends Refusal {}

/** Yields after so many prefixes. */
const PIECE = 64;

/**
 * The table of networks. Yields often, so that the caller can work in slices. Where a file was not read, there is none: looking up
 * throws.
 * @throws TooManyGroups; TypeError for a prefix that `parsePrefix` refuses
 */
export function* compileNetworks(networks: readonly DeclaredNetwork[]): Generator<void, Networks> {
  const { groups, nowhere, join } = combinations(networks.map(({ name }) => name));
  const lists = networks.map(({ prefixes }) => prefixes).filter((prefixes) => prefixes !== undefined);
  if (lists.length < networks.length) return unread(groups[nowhere] as NetworkGroup);
  const most = lists.reduce((sum, prefixes) => sum + prefixes.length, 0);
  const [v4, v6] = [roomFor(most, 1), roomFor(most, 4)];
  for (const [owner, prefixes] of lists.entries()) {
    for (const [index, text] of prefixes.entries()) {
      if (index % PIECE === 0) yield;
      const prefix = parsePrefix(text);
      if ('fault' in prefix) throw new TypeError(prefix.fault);
      addPrefix(prefix.first.length === 1 ? v4 : v6, prefix, owner);
    }
  }
  const tables = { v4: yield* rangesOf(v4, nowhere, join), v6: yield* rangesOf(v6, nowhere, join) };
  const occurring = new Set<number>();
  yield* collect(tables.v4, undefined, occurring);
  yield* collect(tables.v6, mappedRange(tables.v6), occurring);
  const groupOf = (number: number): NetworkGroup => groups[number] as NetworkGroup;
  const lookUp = (ip: string): NetworkGroup => {
    const address = parseAddress(ip);
    if (!address) throw new TypeError('the address of a question is none');
    const table = address.length === 1 ? tables.v4 : tables.v6;
    return groupOf(table.values[rangeAt(table, address)] as number);
  };
  return Object.freeze({
    groupAt: networks.length === 0 ? () => groupOf(nowhere) : remembering(lookUp, groupOf(nowhere)),
    groups: Object.freeze([...occurring].sort((a, b) => a - b).map(groupOf)),
    nowhere: groupOf(nowhere),
    ranges: tables.v4.values.length + tables.v6.values.length,
  });
}

/** INVARIANT: networks whose files were not read tell of no address that it lies in none. */
function unread(nowhere: NetworkGroup): Networks {
  const fail = (): never => {
    throw new Error('the files of these networks were not read');
  };
  return Object.freeze({
    groupAt: (ip: string | undefined) => (ip === undefined ? nowhere : fail()),
    get groups() {
      return fail();
    },
    nowhere,
    ranges: 0,
  });
}

/** How many addresses are remembered: reading one takes up to twenty times as long as all the rest. */
const REMEMBERED = 4096;

function remembering(lookUp: (ip: string) => NetworkGroup, nowhere: NetworkGroup): Networks['groupAt'] {
  const recent = new Map<string, NetworkGroup>();
  return (ip) => {
    if (ip === undefined) return nowhere;
    const known = recent.get(ip);
    if (known) return known;
    const group = lookUp(ip);
    if (recent.size === REMEMBERED) recent.clear();
    recent.set(ip, group);
    return group;
  };
}

/** Interns combinations of networks, by number. */
function combinations(names: readonly string[]) {
  const groups: NetworkGroup[] = [];
  const numbers = new Map<string, number>();
  const joined = new Map<number, number>();
  const intern = (isIn: readonly boolean[]): number => {
    const known = numbers.get(String(isIn));
    if (known !== undefined) return known;
    if (groups.length === MOST_GROUPS)
      throw new TooManyGroups(
        `these networks overlap in more than ${MOST_GROUPS} ways; declare fewer, or such as do not overlap`,
      );
    const group = Object.create(null) as Record<string, boolean>;
    for (const [index, name] of names.entries()) group[name] = isIn[index] === true;
    numbers.set(String(isIn), groups.length);
    return groups.push(Object.freeze(group)) - 1;
  };
  const nowhere = intern(names.map(() => false));
  /** A combination with one network more. */
  const join = (number: number, owner: number): number => {
    const key = number * names.length + owner;
    const known = joined.get(key);
    if (known !== undefined) return known;
    const made = intern(names.map((name, index) => index === owner || groups[number]?.[name] === true));
    joined.set(key, made);
    return made;
  };
  return { groups, nowhere, join };
}

/** The values of all ranges but one. */
function* collect({ values }: Ranges, except: number | undefined, into: Set<number>): Generator<void> {
  for (const [range, value] of values.entries()) {
    if (range % 4096 === 0) yield;
    if (range !== except) into.add(value);
  }
}

/** `::ffff:0:0/96`, and what follows it. */
const MAPPED: readonly [first: Address, next: Address] = [
  [0, 0, 0xffff, 0],
  [0, 0, 0x1_0000, 0],
];

/**
 * The range of just the addresses that count as IPv4, where there is one: prefixes around it can leave it over, but no look-up
 * comes there. No range lies inside of it, because prefixes inside are those of IPv4.
 */
function mappedRange(v6: Ranges): number | undefined {
  const range = rangeAt(v6, MAPPED[0]);
  return isRange(v6, range, ...MAPPED) ? range : undefined;
}
