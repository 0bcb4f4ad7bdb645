/** From a decision to its record: what the log holds of it, in the order and form in which the chain hashes it. */

import type { Decision } from '../../policy/decide.ts';
import type { Facts, Group } from '../../policy/facts.ts';

/** What the caller says of its own client's request, as it is recorded. Of it rules read which networks `ip` lies in, which is a fact. */
export interface Context {
  readonly ip?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly requestId?: string | undefined;
}

export interface Entry {
  /** UUIDv7: its first 48 bits are the time of the decision by the database's clock, in milliseconds. */
  readonly id: string;
  readonly callerId: string;
  /** What the caller calls its own request to us. */
  readonly callerRequestId: string | undefined;
  /** Of the trace that it was asked in: 32 hex digits. */
  readonly traceId: string | undefined;
  readonly facts: Facts;
  readonly decision: Decision;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly context: Context;
  /** Microseconds from the question to the decision. */
  readonly durationUs: number;
  /** Of the credential, where there was one and no key was found for it. */
  readonly fingerprint: string | undefined;
  /** What a shadow policy would have decided, where that is another code. */
  readonly shadow: { readonly policy: string; readonly code: string; readonly rule: string } | undefined;
}

/** Milliseconds since 1970: the first 48 bits of a UUIDv7. */
export const millisecondsOf = (uuidv7: string): number => Number.parseInt(uuidv7.slice(0, 8) + uuidv7.slice(9, 13), 16);

/** ISO 8601 in UTC, with the milliseconds of a UUIDv7. */
export const timeOf = (uuidv7: string): string => new Date(millisecondsOf(uuidv7)).toISOString();

const groupTexts = new WeakMap<object, string>();

/**
 * The RFC 8785 JSON of the facts. Groups are frozen, and most are the same objects from one decision to the next, so
 * their texts are kept: ten times as fast as to write them anew.
 */
export const canonicalFacts = (facts: Facts): string => write(facts as unknown as Group);

/** Of one group of the facts. */
export function canonicalGroup(group: Group): string {
  const known = groupTexts.get(group);
  if (known !== undefined) return known;
  const text = write(group);
  // Kept by identity, which is safe only for an object that cannot change. A group within it is frozen with it (facts.ts, groupFrom).
  if (Object.isFrozen(group)) groupTexts.set(group, text);
  return text;
}

/**
 * INVARIANT: facts are strings and booleans, which JSON.stringify writes as RFC 8785 does, and their names are of a-z, A-Z, 0-9 and _,
 * which need no escapes and whose order by UTF-16 code units is that of `sort`.
 */
function write(group: Group): string {
  const members = Object.keys(group)
    .sort()
    .map((name) => {
      const value = group[name];
      return `"${name}":${typeof value === 'object' ? canonicalGroup(value) : JSON.stringify(value)}`;
    });
  // Joined, not added up: V8 keeps a sum as its parts, and whoever hashes or sends it puts them together, each time.
  return `{${members.join()}}`;
}
