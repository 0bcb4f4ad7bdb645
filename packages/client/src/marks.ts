/** Which handlers are checks, or say that a route needs none; and which routes lack both. */

import type { Mapping } from './check-request.ts';

interface Mark {
  /** Whether it stands in a router that was sealed: then every route beside it has one, too. */
  sealed: boolean;
}

const marks = new WeakMap<object, Mark>();

/** Marks a handler as a check, or as one that says that none is needed. */
export function mark<Handler extends object>(handler: Handler): Handler {
  marks.set(handler, { sealed: false });
  return handler;
}

export const isMarked = (handler: unknown): boolean => typeof handler === 'function' && marks.has(handler);

/** Lets a marked handler work. */
export function sealMark(handler: object): void {
  const found = marks.get(handler);
  if (found) found.sealed = true;
}

/** A check in a router that nobody sealed proves nothing of the routes beside it. @throws Error */
export function requireSealed(handler: object, advice: string): void {
  if (!marks.get(handler)?.sealed) throw new Error(`Nobody has looked whether every route has a mapping. ${advice}`);
}

/** @throws TypeError: it is no mapping */
export function checkMapping<Request>(mapping: Mapping<Request>): void {
  const { action, business } = mapping ?? {};
  if (typeof action !== 'string' || action.length > 128 || !/^[a-z][a-z0-9_-]*(:[a-z][a-z0-9_-]*)+$/.test(action))
    throw new TypeError('action must be lower-case words joined by colons, such as call:create.');
  if (business !== undefined && typeof business !== 'function' && (typeof business !== 'string' || business === ''))
    throw new TypeError('business must be the name of a parameter of the route, or a function of the request.');
}

/** @throws Error that names the routes */
export function refuseUnmapped(routes: readonly string[]): void {
  if (routes.length === 0) return;
  throw new Error(
    `These routes have no mapping: ${routes.join(', ')}. Give each authz.check({ action, business }) as its first handler, or authz.public().`,
  );
}

/** Lets nothing be added to a list of routes or handlers: nobody would look at it. A router that is used twice is closed once. */
export function close(list: unknown[], advice: string): void {
  if (Object.isFrozen(list)) return;
  const refuse = (): never => {
    throw new Error(`No route can be added behind seal(). ${advice}`);
  };
  for (const change of ['push', 'unshift', 'splice']) Object.defineProperty(list, change, { value: refuse });
  Object.freeze(list);
}
