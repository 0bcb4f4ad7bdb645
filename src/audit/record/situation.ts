/**
 * Situations: what a decision is made from but for the ids of key, user and target, and by which policy. Few are, and thousands of
 * decisions are of each, so each is encoded once, and stored once.
 */

import { hash } from 'node:crypto';
import { FACTS_VERSION, type Facts, type Group } from '../../policy/facts.ts';
import { field } from '../format/record-hash.ts';
import { canonicalGroup } from './entry.ts';

/** The ids of a decision, in the order in which canonical facts have them. */
const WITH_ID = ['key', 'target', 'user'] as const;

export interface Situation {
  /** 32 bytes as the characters of a text. It names the situation: SHA-256 of `content`. */
  readonly digest: string;
  /** JSON of facts, factsVersion and policy. */
  readonly content: string;
  /** The canonical facts in UTF-8, a character a byte, cut where the ids of WITH_ID stand. */
  readonly pieces: readonly [string, string, string, string];
}

/** How many situations, and texts of groups, are kept. Some come of what callers state, so they are bounded: at the bound all are dropped. */
const KEPT = 8192;
/** What is longer is not shared: in UTF-16 code units, of the JSON. */
const LONGEST = 8192;

/** By the numbers of the policy and of the groups, without ids. */
const situations = new Map<string, Situation | undefined>();
/** By text: numbers that are never used again. */
const numbers = new Map<string, number>();
const ofGroups = new WeakMap<Group, number>();
let lastNumber = 0;

/** By the facts, which are the same object where the same question is asked again (verdicts.ts); the policy is that of the last time. */
const ofFacts = new WeakMap<Facts, { readonly policy: string; readonly situation: Situation | undefined }>();

/** Of facts under the policy of a digest; undefined where it is too long to be shared, or the facts lack an id. */
export function situationOf(facts: Facts, policy: string): Situation | undefined {
  const known = ofFacts.get(facts);
  if (known?.policy === policy) return known.situation;
  const situation = situationBy(facts, policy);
  // By identity, which is safe only for an object that cannot change. A group within it is frozen with it (facts.ts, groupFrom).
  if (Object.isFrozen(facts)) ofFacts.set(facts, { policy, situation });
  return situation;
}

function situationBy(facts: Facts, policy: string): Situation | undefined {
  const groups = facts as unknown as Readonly<Record<string, Group>>;
  let key = String(numberOf(policy));
  for (const name in groups) key += ` ${groupNumber(name, groups[name] as Group)}`;
  const known = situations.get(key);
  if (known !== undefined || situations.has(key)) return known;
  const made = make(groups, policy);
  if (situations.size >= KEPT) situations.clear();
  situations.set(key, made);
  return made;
}

/** Frozen groups are kept by identity: they are the same objects from one decision to the next (policy/facts-under.ts), and cannot change. */
function groupNumber(name: string, group: Group): number {
  const known = ofGroups.get(group);
  if (known !== undefined) return known;
  const number = numberOf(`${name} ${canonicalGroup(name in IDS ? withoutId(group) : group)}`);
  if (Object.isFrozen(group)) ofGroups.set(group, number);
  return number;
}

function numberOf(text: string): number {
  const known = numbers.get(text);
  if (known !== undefined) return known;
  if (numbers.size >= KEPT) numbers.clear();
  lastNumber += 1;
  numbers.set(text, lastNumber);
  return lastNumber;
}

const IDS: Readonly<Record<string, true>> = Object.fromEntries(WITH_ID.map((name) => [name, true]));

function withoutId(group: Group): Group {
  const { id: _, ...others } = group;
  return others;
}

function make(facts: Readonly<Record<string, Group>>, policy: string): Situation | undefined {
  if (!WITH_ID.every((name) => typeof facts[name]?.['id'] === 'string')) return undefined;
  const names = Object.keys(facts).sort();
  const whole = (group: (name: string) => string): string =>
    `{${names.map((name) => `"${name}":${group(name)}`).join()}}`;
  const shared = whole((name) =>
    canonicalGroup(name in IDS ? withoutId(facts[name] as Group) : (facts[name] as Group)),
  );
  const content = `{"facts":${shared},"factsVersion":${FACTS_VERSION},"policy":${JSON.stringify(policy)}}`;
  if (content.length > LONGEST) return undefined;
  const cut = whole((name) => canonicalGroup(name in IDS ? { ...facts[name], id: MARK } : (facts[name] as Group)));
  const [first = '', second = '', third = '', fourth, ...more] = latin1(cut).split(JSON.stringify(MARK));
  if (fourth === undefined || more.length > 0) return undefined;
  return { digest: hash('sha256', content, 'binary'), content, pieces: [first, second, third, fourth] };
}

/** Stands for an id; PostgreSQL takes no facts that hold it. */
const MARK = '\0';

/** The canonical facts of ids in the order of WITH_ID, as a field. */
export function factsField({ pieces: [a, b, c, d] }: Situation, key: string, target: string, user: string): string {
  const facts = a + jsonOf(key) + b + jsonOf(target) + c + jsonOf(user) + d;
  return lengthOf(facts.length) + facts;
}

/** 4 bytes. */
export const lengthOf = (length: number): string =>
  String.fromCharCode(length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255);

const jsonOf = (id: string): string => (/^[A-Za-z0-9._:-]*$/.test(id) ? `"${id}"` : latin1(JSON.stringify(id)));

/** UTF-8, a character a byte. */
const latin1 = (text: string): string => field(text).slice(4);
