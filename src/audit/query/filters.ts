/** Which decisions are asked for: the filters and the time range, as they are named over HTTP, on the command line and in events. */

import { isIPv6, SocketAddress } from 'node:net';
import { z } from 'zod';
import { actionSchema, idSchema, ipSchema, momentSchema, searchText } from '../../input/scalars.ts';
import { withNearest } from '../../nearest.ts';
import { type FilterField, SHOWN_COLUMNS } from '../columns.ts';
import type { Credential } from './credential.ts';

const ACTIONS = 'must be an action such as call:create, or all of a noun such as call:*';
const ALL_OF_A_NOUN = /^[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*)*:\*$/;

/** An address or a network in its canonical form, `203.0.113.0/24`; IPv4 that is mapped into IPv6 is meant as IPv4. */
const networkSchema = z
  .string()
  .max(64)
  .transform((text, context) => {
    const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
    const [host, shift] = ipSchema.safeParse(address).success ? unmapped(address) : ['', 0];
    const bits = prefix === undefined ? undefined : Number(prefix) - shift;
    if (host !== '' && (bits === undefined || (bits >= 0 && bits <= (isIPv6(host) ? 128 : 32))))
      return bits === undefined ? host : `${host}/${bits}`;
    context.addIssue('must be an IPv4 or IPv6 address, or a network such as 203.0.113.0/24');
    return z.NEVER;
  });

function unmapped(address: string): [address: string, shift: number] {
  if (!isIPv6(address)) return [address, 0];
  const canonical = new SocketAddress({ address, family: 'ipv6' }).address;
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(canonical) ?? [];
  return mapped === undefined ? [canonical, 0] : [mapped, 96];
}

/** What a decision has, or with `not` has not: one value each. */
const properties = {
  apiKeyId: idSchema,
  userId: idSchema,
  businessId: idSchema,
  callerId: idSchema,
  action: z.union([actionSchema, z.string().max(128).regex(ALL_OF_A_NOUN)], { error: ACTIONS }),
  code: z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/, 'must be a code such as USER_DISABLED'),
  effect: z.enum(['allow', 'deny'], 'must be allow or deny'),
  rule: searchText(128),
  policy: z
    .string()
    .regex(/^(?:sha256:)?[0-9a-f]{8,64}$/, 'must be a policy digest, or its first 8 or more hex digits'),
  ip: networkSchema,
  userAgent: searchText(256),
  requestId: searchText(128),
  traceId: z.string().regex(/^[0-9a-f]{32}$/, 'must be the id of a trace: 32 hex digits in lower case'),
  fingerprint: z.string().regex(/^[0-9a-f]{16}$/, 'must be a fingerprint: 16 hex digits in lower case'),
} satisfies Readonly<Record<FilterField | 'action' | 'policy' | 'ip' | 'userAgent', z.ZodType<string, unknown>>>;

export type Property = keyof typeof properties;
export const PROPERTIES = Object.keys(properties) as readonly Property[];

export interface Not {
  readonly property: Property;
  readonly value: string;
}

const MOST_NOT = 16;
const HOW_NOT = `must be property=value, several of them with semicolons between, such as code=OK;ip=10.0.0.0/8; at most ${MOST_NOT}`;

const notSchema = z
  .string()
  .max(2048)
  .transform((text, context): Not[] => {
    const pairs = text.split(';').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
    if (pairs.length > MOST_NOT) context.addIssue(HOW_NOT);
    return pairs.map(([name = '', value = '']) => {
      const property = PROPERTIES.find((known) => known === name);
      const read = property && properties[property].safeParse(value);
      for (const { message } of read?.error?.issues ?? []) context.addIssue(`${name} ${message}`);
      if (!property) context.addIssue(withNearest(HOW_NOT, name, PROPERTIES));
      return { property: property as Property, value: String(read?.data) };
    });
  });

const optional = Object.fromEntries(PROPERTIES.map((name) => [name, properties[name].optional()])) as {
  readonly [P in Property]: z.ZodOptional<(typeof properties)[P]>;
};

/**
 * What decisions can be filtered by, as parameters. Those that are given must all hold; each that is the field of a column
 * with `filter` is its equality, and `requestId` is that of either request, the client's or the caller's; `userAgent` is a part of it, whatever
 * the case of its letters A to Z. `not` holds where a property is another or none. Times are RFC 3339, from inclusive, to exclusive;
 * without `from` the range is of 24 hours.
 */
export const decisionFilter = {
  ...optional,
  /** Asked with no credential at all. */
  withoutCredential: z
    .literal('true', 'must be true, or left out')
    .transform(() => true as const)
    .optional(),
  not: notSchema.optional(),
  from: momentSchema.optional(),
  to: momentSchema.optional(),
};

/** A filter that has passed its schema. */
export interface DecisionFilter extends Readonly<z.output<z.ZodObject<typeof decisionFilter>>> {
  /** What was asked with a credential while it was a key, and while it was none. */
  readonly credential?: Credential | undefined;
  /** What was asked by any of these: callers that have, or had, one name. */
  readonly callerIds?: readonly string[] | undefined;
}

/** For the `refine` of each schema that contains decisionFilter. */
export const isInOrder = ({ from, to }: { from?: string | undefined; to?: string | undefined }): boolean =>
  from === undefined || to === undefined || from <= to;
export const notInOrder = { path: ['to'], message: 'must not be before from' };

/** The filter alone: of an export or a tail, which come as streams and have no pages. */
export const decisionRange = z.strictObject(decisionFilter).refine(isInOrder, notInOrder);

/** The half-open interval [from, to), in RFC 3339 and UTC. `to` is null where it has no end. */
export interface TimeRange {
  readonly from: string;
  readonly to: string | null;
}

const DAY_MS = 86_400_000;

/** The interval of a filter. `from` is by default 24 hours before `to`, or before now where there is no `to`. */
export function rangeOf({ from, to }: DecisionFilter): TimeRange {
  const end = to === undefined ? Date.now() : Date.parse(to);
  return { from: from ?? new Date(end - DAY_MS).toISOString(), to: to ?? null };
}

/** The columns that decisions can be filtered by, with the index that leads to them. */
export const FILTER_COLUMNS = SHOWN_COLUMNS.filter(({ filter }) => filter).map(({ api, column, indexed }) => ({
  field: api as FilterField,
  column,
  indexed,
}));

/** The names of those of its filters that an index serves. */
export function indexedParts(filter: DecisionFilter): string[] {
  const columns = FILTER_COLUMNS.filter(({ field, indexed }) => {
    const value = filter[field];
    return value !== undefined && indexed !== undefined && (indexed === true || value !== indexed.except);
  });
  return [...(filter.credential === undefined ? [] : ['credential']), ...columns.map(({ field }) => field)];
}

const PLAIN = new Set(['from', 'to']);

/** Says which filters no index serves, so that a range of decisions was scanned for them; null where an index serves each. */
export function noteOf(filter: DecisionFilter, { from, to }: TimeRange): string | null {
  const given = Object.entries(filter)
    .filter(([name, value]) => value !== undefined && !PLAIN.has(name))
    .map(([name]) => name);
  const indexed = indexedParts(filter);
  const searched = given.filter((name) => !indexed.includes(name));
  if (searched.length === 0) return null;
  const range = `from ${from} to ${to ?? 'now'}`;
  const among = indexed.length > 0 ? `decisions of this ${indexed.join(' and ')}` : 'decisions';
  return `No index serves ${searched.join(' and ')}: all ${among} ${range} were searched. A narrower range is faster.`;
}
