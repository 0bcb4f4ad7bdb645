/** From an AuthZEN evaluation to a question of ours, by the names that the policy maps. What nothing maps stays a question: it is denied. */

import { isIP } from 'node:net';
import type { Context } from '../../audit/record/entry.ts';
import type { AuthorizeRequest } from '../../authorize.ts';
import type { Named } from '../../facts/load-named.ts';
import { invalid } from '../../input/json.ts';
import { maskSecrets } from '../../mask.ts';
import type { Policy } from '../../policy/decide.ts';
import type { MappedProperty, Names } from '../../policy/declared/names.ts';
import { FACTS, fits } from '../../policy/facts.ts';
import type { Asked } from '../../policy/facts-under.ts';
import { keyOfHeader } from '../../token-form.ts';
import type { Evaluation } from './shapes.ts';

/** The subject that shows its key. */
export const CREDENTIAL = 'credential';

/** Stands in the log for the name of an action that nothing maps, which may be any text. */
const UNMAPPED_ACTION = 'unmapped:action';

/** An evaluation without its credential, and that. */
export interface Shown {
  readonly evaluation: Evaluation;
  /** As in an Authorization header; undefined: none was sent. */
  readonly credential: string | undefined;
  /** Of the client. */
  readonly context: Context;
}

/**
 * Takes the credential out of an evaluation: that of the header, or of the subject's properties.
 * @throws Failure INVALID_REQUEST: both are there, or that of the properties is no text; or `context.ip` is no address
 */
export function shownBy(evaluation: Evaluation, header: string | undefined): Shown {
  const { type, id, properties } = evaluation.subject;
  const context = contextOf(evaluation.context ?? {});
  if (type !== CREDENTIAL) return { evaluation, credential: undefined, context };
  const { authorization, ...rest } = properties ?? {};
  const given = { evaluation: { ...evaluation, subject: { type, id, properties: rest } }, context };
  if (authorization === undefined || authorization === null) return { ...given, credential: header };
  if (typeof authorization !== 'string')
    throw invalid('subject.properties.authorization', 'must be text, such as "Token <API key>"');
  if (header !== undefined)
    throw invalid('subject.properties.authorization', 'send this or the header Iqra-Subject-Authorization, not both');
  return { ...given, credential: authorization };
}

/** The question that an evaluation asks under a policy. */
export function questionOf({ evaluation, credential, context }: Shown, { names, schema }: Policy): AuthorizeRequest {
  const { subject, action, resource } = evaluation;
  const named = namedBy(subject);
  const mapped = actionOf(names, action.name);
  const target = targetOf(names, resource);
  const { attributes, stored } = askedBy(names, schema.declaration.asked, evaluation);
  return {
    apiKey: credential === undefined ? undefined : keyOfHeader(credential),
    otherCredential: credential,
    action: mapped ?? UNMAPPED_ACTION,
    businessId: target?.businessId,
    context,
    attributes,
    stored,
    byId: subject.type !== CREDENTIAL,
    named,
    unmapped: mapped === undefined || target === undefined || (named === undefined && subject.type !== CREDENTIAL),
  };
}

/** Whose key a subject names; undefined where it names none, or shows it. */
export function namedBy({ type, id }: { readonly type: string; readonly id: string }): Named | undefined {
  if (!isId(id)) return undefined;
  if (type === 'api_key') return { keyId: id };
  return type === 'user' ? { userId: id } : undefined;
}

const isId = (text: string): boolean => text !== '' && FACTS.target.id.form.accepts.test(text);

/** The action of a name; undefined: nothing maps it, and it is none of ours. */
export const actionOf = ({ actions }: Names, name: string): string | undefined =>
  actions.get(name) ?? (FACTS.request.action.form.accepts.test(name) ? name : undefined);

/** The target of a resource; undefined: nothing maps it. */
export function targetOf(
  { resources }: Names,
  { type, id }: { readonly type: string; readonly id: string },
): { readonly businessId: string | undefined } | undefined {
  const kind = resources.get(type);
  if (kind === 'account') return { businessId: undefined };
  return kind === 'business' && isId(id) ? { businessId: id } : undefined;
}

/** Entities that bring properties; those that are searched for bring none. */
export type Bringing = {
  readonly [Entity in 'subject' | 'resource' | 'action']?: { readonly properties?: object | null | undefined };
} & { readonly context?: object | null | undefined };

/** The facts that the properties state, and those that what is stored states where they do not. */
export function askedBy(
  { properties }: Names,
  declared: Policy['schema']['declaration']['asked'],
  given: Bringing,
): { readonly attributes: NonNullable<Asked['attributes']>; readonly stored: Asked['stored'] } {
  const attributes: Record<string, string | boolean> = {};
  const stored = new Map<string, { owners: readonly ('key' | 'user' | 'business')[]; name: string }>();
  for (const property of properties) {
    const { of, name, asked } = property;
    const value = broughtBy(given, property);
    if (value === undefined) {
      if (of === 'subject') stored.set(asked, { owners: ['key', 'user'], name });
      if (of === 'resource') stored.set(asked, { owners: ['business'], name });
      continue;
    }
    const one = declared.get(asked);
    const type = one?.kind === 'boolean' ? 'boolean' : (one?.values ?? []);
    // One that is not declared is not known, or false; it was brought all the same, so what is stored does not stand in for it.
    if (fits(type, value)) attributes[asked] = value as string | boolean;
  }
  return { attributes, stored: stored.size > 0 ? stored : undefined };
}

/** The value of a property; undefined: it is not brought, or null. */
function broughtBy(given: Bringing, { of, name }: MappedProperty): unknown {
  const properties = of === 'context' ? given.context : given[of]?.properties;
  const value: unknown =
    properties && Object.hasOwn(properties, name) ? (properties as Record<string, unknown>)[name] : undefined;
  return value ?? undefined;
}

/**
 * The first characters of a text, in UTF-16 code units, without half of one: neither records nor events can say that. Of a text in which
 * `refuseSecrets` found no secret, there is none in it either.
 */
export const beginningOf = (text: string, most: number): string => text.slice(0, most).replace(/[\uD800-\uDBFF]$/, '');

/** What the log keeps of the client, and the address that networks are looked up by. @throws Failure INVALID_REQUEST */
export function contextOf(given: Readonly<Record<string, unknown>>): Context {
  const { ip, userAgent, requestId } = given;
  // To take what cannot be read for no address would skip a row that denies by it.
  if (ip !== undefined && ip !== null && (typeof ip !== 'string' || isIP(ip) === 0 || ip.includes('%')))
    throw invalid('context.ip', 'must be an IPv4 or IPv6 address');
  const kept = (value: unknown, most: number): string | undefined =>
    typeof value === 'string' ? maskSecrets(beginningOf(value, most)) : undefined;
  return { ip: (ip as string | null) ?? undefined, userAgent: kept(userAgent, 512), requestId: kept(requestId, 128) };
}
