/** What your own client is answered with where it may not go on. */

import type { Allowed, Denied } from './types.ts';

/** A response: the three public fields, and nothing else of the decision. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly Success: false; readonly Code: string; readonly Message: string };
}

/** Of a denial: its status and public fields, Retry-After with RATE_LIMITED, and the scheme that a 401 asks for. */
export function refusalOfDenial({ Code, Message, Data: { status, retryAfterSeconds } }: Denied<string>): Refusal {
  return {
    status,
    headers: {
      'cache-control': 'no-store',
      ...(status === 401 && { 'www-authenticate': 'Token' }),
      ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    },
    body: { Success: false, Code, Message },
  };
}

/** Of a failure, whatever it is: your client can do nothing about it, and reads nothing of it. */
export const refusalOfFailure = (error: unknown): Refusal => ({
  status: 503,
  headers: { 'cache-control': 'no-store', 'retry-after': String(secondsOf(error)) },
  body: {
    Success: false,
    Code: 'UNAVAILABLE',
    Message: 'Whether this API key may do this cannot be told now. Ask again shortly.',
  },
});

/** Of a request that is no question, by its client's fault. */
export const refusalOfRequest = (message: string): Refusal => ({
  status: 400,
  headers: { 'cache-control': 'no-store' },
  body: { Success: false, Code: 'INVALID_REQUEST', Message: message },
});

function secondsOf(error: unknown): number {
  const { retryAfterSeconds } = (error ?? {}) as { readonly retryAfterSeconds?: unknown };
  return Number.isSafeInteger(retryAfterSeconds) && (retryAfterSeconds as number) >= 0
    ? (retryAfterSeconds as number)
    : 1;
}

/** What a check comes to. */
export type Checked =
  | { readonly decision: Allowed; readonly refusal?: undefined }
  | { readonly decision?: Denied<string>; readonly refusal: Refusal };
