/** From a decision to its record: what the log holds of it, in the order and form in which the chain hashes it. */

import { randomFillSync } from 'node:crypto';
import type { Decision } from '../../policy/decide.ts';
import { FACTS_VERSION, type Facts, type Group } from '../../policy/facts.ts';
import { type LogRecord, type Personal, personalDigest } from '../format/record-hash.ts';

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

/** ISO 8601 in UTC, with the milliseconds that are the first 48 bits of a UUIDv7. */
export const timeOf = (uuidv7: string): string =>
  new Date(Number.parseInt(uuidv7.slice(0, 8) + uuidv7.slice(9, 13), 16)).toISOString();

/** The record of an entry at its place in the chain of `boot` and the day of `at`. Salts the personal data anew. */
export function recordOf(entry: Entry, at: string, boot: string, seq: number): LogRecord & Personal {
  const { facts, decision, context } = entry;
  const salt = nextSalt();
  const ip = context.ip ?? null;
  const userAgent = context.userAgent ?? null;
  return {
    boot,
    day: at.slice(0, 10),
    seq,
    id: entry.id,
    at,
    caller_id: entry.callerId,
    api_key_id: facts.key.id || null,
    user_id: facts.user.id || null,
    business_id: facts.target.id || null,
    action: facts.request.action,
    effect: decision.effect,
    code: decision.code,
    rule: decision.rule,
    policy: entry.policy,
    facts_version: FACTS_VERSION,
    facts: canonicalFacts(facts),
    ip,
    user_agent: userAgent,
    personal_salt: salt.toString('hex'),
    personal_digest: personalDigest(salt, ip, userAgent).toString('hex'),
    request_id: context.requestId ?? null,
    caller_request_id: entry.callerRequestId ?? null,
    duration_us: entry.durationUs,
    fingerprint: entry.fingerprint ?? null,
    shadow_policy: entry.shadow?.policy ?? null,
    shadow_code: entry.shadow?.code ?? null,
    shadow_rule: entry.shadow?.rule ?? null,
  };
}

const SALT_BYTES = 16;
const salts = Buffer.alloc(256 * SALT_BYTES);
let unusedSalts = salts.subarray(salts.length);

/** 16 random bytes, good until the next call. Drawn many at a time: a draw costs more than all the rest of a record. */
function nextSalt(): Buffer {
  if (unusedSalts.length === 0) unusedSalts = randomFillSync(salts);
  const salt = unusedSalts.subarray(0, SALT_BYTES);
  unusedSalts = unusedSalts.subarray(SALT_BYTES);
  return salt;
}

const groupTexts = new WeakMap<object, string>();

/**
 * The RFC 8785 JSON of the facts. Groups are frozen, and most are the same objects from one decision to the next, so
 * their texts are kept: ten times as fast as to write them anew.
 */
export const canonicalFacts = (facts: Facts): string => write(facts as unknown as Group);

function canonicalGroup(group: Group): string {
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
