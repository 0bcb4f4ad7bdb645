/** What a client is made of, checked when it is made: what is wrong there would be wrong at every call. */

import { isToken, type Token } from './transport.ts';
import type { Told } from './types.ts';

export interface ClientOptions {
  /** Where the service is: `https://authz.internal:8080`. This or `urls`. */
  readonly url?: string | undefined;
  /** Several addresses of the service, in the order in which they are tried. */
  readonly urls?: readonly string[] | undefined;
  /** A caller token, or a function that gives the one that holds now: it is asked before each call. */
  readonly token: Token;
  /** For all that a call does, milliseconds. 500 unless told. */
  readonly deadlineMs?: number | undefined;
  /** In place of the global one. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Whether questions that are asked in one turn of the event loop go as one batch. false unless told. */
  readonly coalesce?: boolean | undefined;
  /** Hears of each decision and each failure; keys are not among what it is told. What it throws is a warning of the process. */
  readonly onDecision?: ((told: Told) => void) | undefined;
}

export interface Settings {
  readonly urls: readonly string[];
  readonly token: Token;
  readonly deadlineMs: number;
  readonly fetch: typeof globalThis.fetch;
  readonly coalesce: boolean;
  readonly onDecision: ((told: Told) => void) | undefined;
}

/** @throws TypeError that says what to change, and quotes no secret */
export function readSettings({
  url,
  urls,
  token,
  deadlineMs = 500,
  fetch,
  coalesce = false,
  onDecision,
}: ClientOptions): Settings {
  if ((url === undefined) === (urls === undefined)) throw new TypeError('Give url or urls, one of them.');
  const addresses = urls ?? [url];
  if (addresses.length === 0) throw new TypeError('Give at least one address in urls.');
  if (typeof token !== 'function' && !isToken(token))
    throw new TypeError('token must be a caller token such as iqra_svc_..., or a function that gives one.');
  return {
    urls: addresses.map(addressOf),
    token,
    deadlineMs: checkDeadline(deadlineMs),
    // Looked up at each call: who instruments the global one may do so later.
    fetch: fetch ?? ((...request) => globalThis.fetch(...request)),
    coalesce,
    onDecision,
  };
}

/** A timer takes 2^31-1 ms at most, and would take more as 1. @throws TypeError */
export function checkDeadline(milliseconds: number): number {
  if (typeof milliseconds === 'number' && milliseconds >= 1 && milliseconds < 2 ** 31) return milliseconds;
  throw new TypeError('deadlineMs must be a number of milliseconds from 1 to 2^31-1.');
}

function addressOf(text: unknown): string {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new TypeError('url must be an address such as https://authz.internal:8080.');
  // An empty query or fragment is none by `search` and `hash`, but would swallow the path all the same.
  if (url.username || url.password || /[?#]/.test(url.href))
    throw new TypeError('url must have no user, password, query or fragment. The token goes into token.');
  return url.href.replace(/\/+$/, '');
}
