/**
 * Where each kind of gateway says what it was asked. The address of ours that it asks at fixes its dialect, and nothing is guessed from the
 * headers that are there: nginx hands on a client's X-Forwarded-Uri, Caddy a client's X-Original-URI.
 */

import type { IncomingMessage } from 'node:http';
import type { Refused } from '../../policy/declared/request-path.ts';

export type Dialect = 'nginx' | 'forwarded' | 'haproxy' | 'envoy';

/** An address that gateways ask at. */
export interface Place {
  readonly dialect: Dialect;
  /** For metrics and logs. */
  readonly route: string;
}

/** What the gateway's own client sent: the method and the target of its request line. */
export interface Original {
  readonly method: string;
  readonly target: string;
}

const ORIGINAL = { method: 'X-Original-Method', target: 'X-Original-URI' };
/** The headers that a gateway sets in each dialect. Envoy asks with the very method and target instead. */
export const NAMED_IN: Readonly<Record<Exclude<Dialect, 'envoy'>, Original>> = {
  nginx: ORIGINAL,
  haproxy: ORIGINAL,
  forwarded: { method: 'X-Forwarded-Method', target: 'X-Forwarded-Uri' },
};

/** Those that a gateway may ask with, but for Envoy, which asks with that of its client. */
export const METHODS: readonly string[] = ['GET', 'HEAD', 'POST'];

const PLACE = /^\/gateway\/(?:(nginx|forwarded|haproxy)(?:$|\?)|(envoy)(?:$|[/?]))/;
const ENVOY = '/gateway/envoy';
const PLACES: Readonly<Record<Dialect, Place>> = {
  nginx: { dialect: 'nginx', route: '/gateway/nginx' },
  forwarded: { dialect: 'forwarded', route: '/gateway/forwarded' },
  haproxy: { dialect: 'haproxy', route: '/gateway/haproxy' },
  envoy: { dialect: 'envoy', route: ENVOY },
};

/** The place of an address. A query is none of ours: Caddy appends its client's. */
export function placeOf(url: string): Place | undefined {
  const [, named, envoy] = PLACE.exec(url) ?? [];
  const dialect = (named ?? envoy) as Dialect | undefined;
  return dialect && PLACES[dialect];
}

/** The values of a header, each as it was sent. `name`: in lower case. */
export function valuesOf({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>, name: string): readonly string[] {
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const field = rawHeaders[at];
    if (field?.length === name.length && field.toLowerCase() === name) values.push(rawHeaders[at + 1] ?? '');
  }
  return values;
}

/** What the gateway was asked. Refused where it does not say so, once: its configuration is at fault, or its client has added to it. */
export function originalOf({ dialect }: Place, request: IncomingMessage): Original | Refused<'unset' | 'doubled'> {
  if (dialect === 'envoy') return { method: request.method ?? '', target: (request.url ?? '').slice(ENVOY.length) };
  const names = NAMED_IN[dialect];
  const methods = valuesOf(request, names.method.toLowerCase());
  const targets = valuesOf(request, names.target.toLowerCase());
  const [method] = methods;
  const [target] = targets;
  const unset = method === undefined ? names.method : names.target;
  if (method === undefined || target === undefined)
    return { reason: 'unset', says: `The gateway does not say what it was asked: let it set ${unset}.` };
  const doubled = methods.length > 1 ? names.method : names.target;
  if (methods.length > 1 || targets.length > 1)
    return { reason: 'doubled', says: `${doubled} is there twice: let the gateway replace what its client sends.` };
  return { method, target };
}
