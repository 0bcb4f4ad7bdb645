/**
 * What `gateway.yaml` of a policy folder maps: the requests that a gateway asks about, by method and path, onto the actions and businesses of
 * the policy. It is part of the policy, so one digest says what a decision was made from. Pure: the gateways, `authz gateway explain` and
 * the checks of the folder all match by it.
 */

import { holdsSecret } from '../../mask.ts';
import { FACTS } from '../facts.ts';
import { folded, type PathReason, type Refused, type RequestPath, readPath } from './request-path.ts';

/** A path with gaps, such as `/v1/businesses/{business}/calls/**`. */
export interface Template {
  readonly text: string;
  /** Literals; undefined: any one segment. */
  readonly segments: readonly (string | undefined)[];
  readonly folded: readonly (string | undefined)[];
  /** Name -> index of its segment. */
  readonly parameters: ReadonlyMap<string, number>;
  /** Whether any number of further segments may follow, none too (`**`). */
  readonly open: boolean;
  /** Whether it ends in a slash. */
  readonly trailing: boolean;
}

/** Where the id of the business stands. */
export type BusinessFrom = { readonly parameter: string } | { readonly header: string };

export interface GatewayRoute {
  /** Undefined: any. */
  readonly methods: ReadonlySet<string> | undefined;
  readonly template: Template;
  readonly action: string;
  /** Undefined: it is about no business. */
  readonly business: BusinessFrom | undefined;
  /** In gateway.yaml. */
  readonly line: number;
}

/** In order: the first that a request meets is its route. */
export type Gateway = readonly GatewayRoute[];

/** Of a folder without `gateway.yaml`: no request has a route. */
export const NO_ROUTES: Gateway = Object.freeze([]);

export type RouteReason = PathReason | 'unmatched' | 'business';

const MOST_SEGMENTS = 64;
const LITERAL = /^[A-Za-z0-9._~!$&'()+,=:@-]+$/;
const PARAMETER = /^\{([a-z][a-z0-9_]{0,63})\}$/;

/** The template of a text, or what is wrong with it. */
export function parseTemplate(text: string): Template | string {
  if (!text.startsWith('/')) return 'a path begins with a slash, such as /v1/calls/*';
  const written = text.slice(1).split('/');
  const trailing = written.length > 1 && written.at(-1) === '';
  if (written.at(-1) === '') written.pop();
  const open = !trailing && written.at(-1) === '**';
  if (open) written.pop();
  if (written.length > MOST_SEGMENTS) return `a path has at most ${MOST_SEGMENTS} segments`;
  const parameters = new Map<string, number>();
  const segments: (string | undefined)[] = [];
  for (const [index, segment] of written.entries()) {
    const name = PARAMETER.exec(segment)?.[1];
    if (name !== undefined && parameters.has(name)) return `the parameter {${name}} stands twice`;
    if (name !== undefined) parameters.set(name, index);
    const fault = name === undefined && segment !== '*' ? literalFault(segment) : undefined;
    if (fault !== undefined) return fault;
    segments.push(name === undefined && segment !== '*' ? segment : undefined);
  }
  const inLowerCase = segments.map((segment) => segment && folded(segment));
  return { text, segments, folded: inLowerCase, parameters, open, trailing };
}

function literalFault(segment: string): string | undefined {
  const quoted = JSON.stringify(segment);
  if (segment === '') return 'it has an empty segment; requests with one (//) are refused';
  if (segment === '.' || segment === '..') return `${quoted} is refused in requests; no route can have it`;
  if (segment === '**') return '** stands for all further segments, so it is the last';
  if (segment.includes('%')) return `${quoted}: write what it is when it is decoded; a literal has no %`;
  if (LITERAL.test(segment)) return undefined;
  return `${quoted} is neither a literal (A-Z a-z 0-9 . _ ~ ! $ & ' ( ) + , = : @ -), nor {name} with a-z 0-9 _, nor *, nor ** at the end`;
}

/** `nearly`: a server that ignores case, a slash at the end or an ending such as .json would say that it does. */
function meets(template: Template, path: RequestPath): boolean | 'nearly' {
  const { length } = template.segments;
  if (template.open ? path.segments.length < length : path.segments.length !== length) return false;
  let exactly = template.open || template.trailing === path.trailing;
  for (let index = 0; index < length; index += 1) {
    const literal = template.folded[index];
    if (literal === undefined) continue;
    const segment = path.folded[index];
    const ends = index === path.segments.length - 1 && isWithEnding(literal, segment);
    if (literal !== segment && !ends) return false;
    if (template.segments[index] !== path.segments[index]) exactly = false;
  }
  return exactly ? true : 'nearly';
}

/** Whether a last segment is a literal with an ending, such as `calls.json`: Rails and others take that for a format, and route it as `calls`. */
const isWithEnding = (literal: string, segment: string | undefined): boolean =>
  segment?.startsWith(`${literal}.`) === true;

/** Whether each path that meets `inner`, even nearly, meets `outer`, even nearly. */
export function covers(outer: Template, inner: Template): boolean {
  const [most, least] = [outer.segments.length, inner.segments.length];
  if (outer.open ? least < most : inner.open || least !== most) return false;
  return outer.folded.every((literal, index) => {
    const other = inner.folded[index];
    return (
      literal === undefined || literal === other || (!inner.open && index === least - 1 && isWithEnding(literal, other))
    );
  });
}

/** A request that has a route. */
export interface Routed {
  readonly route: GatewayRoute;
  readonly path: RequestPath;
}

const METHOD = /^[A-Z][A-Z-]{0,31}$/;
const NO_METHOD: Refused<'malformed'> = {
  reason: 'malformed',
  says: 'The method is none: it is upper-case letters, such as GET. Send one.',
};
const NEARLY: Refused<'ambiguous'> = {
  reason: 'ambiguous',
  says: 'The path differs from a route in case, a slash at the end or an ending such as .json, and servers may take it for that. Send it as the route has it.',
};
const UNMATCHED: Refused<'unmatched'> = {
  reason: 'unmatched',
  says: 'Nothing may be done here: no route leads to it.',
};

/**
 * The route of a request, by its method and its target as they stood in the request line.
 *
 * INVARIANT: a path that an upstream could take for that of an earlier route is never decided by a later one.
 */
export function routeOf(gateway: Gateway, method: string, target: string): Routed | Refused<RouteReason> {
  if (!METHOD.test(method)) return NO_METHOD;
  const path = readPath(target);
  if ('reason' in path) return path;
  for (const route of gateway) {
    if (route.methods && !route.methods.has(method)) continue;
    const met = meets(route.template, path);
    if (met === 'nearly') return NEARLY;
    if (met) return { route, path };
  }
  return UNMATCHED;
}

const business = (says: string): Refused<'business'> => ({ reason: 'business', says });

/** The business that a request is about. `headersOf`: the values of a header, each as it was sent. */
export function businessOf(
  { route: { business: from, template }, path }: Routed,
  headersOf: (name: string) => readonly string[],
): { readonly id: string | undefined } | Refused<'business'> {
  if (from === undefined) return NO_BUSINESS;
  const values =
    'header' in from ? headersOf(from.header) : [path.segments[template.parameters.get(from.parameter) ?? -1]];
  const [id] = values;
  if (id === undefined || values.length > 1)
    return business(
      'The request must name its business in one header of the name that the service expects. Send that once.',
    );
  if (id === '' || !FACTS.target.id.form.accepts.test(id) || holdsSecret(id))
    return business('What stands in the place of a business is no id of one. Send an id.');
  return { id };
}

const NO_BUSINESS = Object.freeze({ id: undefined });

/** A route in one line, without its place: `GET,HEAD /v1/calls/* -> call:read of {business}`. */
export const requestsOf = ({ methods, template }: GatewayRoute): string =>
  `${methods ? [...methods].join(',') : 'any'} ${template.text}`;
export const meaningOf = ({ action, business: from }: GatewayRoute): string =>
  from === undefined
    ? action
    : `${action} of ${'header' in from ? `the header ${from.header}` : `{${from.parameter}}`}`;
