/** What the client that a decision is about is told: the status and message of the code, and the public reason that the code shows. */

import type { Code } from './row.ts';

/** Why the user or the target is disabled, and of the freeze; undefined: nobody said why. */
export type PublicReasons = Readonly<Partial<Record<NonNullable<Code['reason']>, string | undefined>>>;

/** `status`: the HTTP status for that client. */
export interface Told {
  readonly status: number;
  readonly message: string;
}

/** `hint`: what to say of a credential that is no key, where its own text says it. @throws Error: there is no such code */
export function toldOf(
  codes: ReadonlyMap<string, Code>,
  code: string,
  reasons: PublicReasons,
  hint: string | undefined,
): Told {
  const means = codes.get(code);
  if (!means) throw new Error(`the policy has no code ${code}`);
  const reason = code === 'INVALID_API_KEY' ? hint : means.reason && reasons[means.reason];
  return { status: means.status, message: reason === undefined ? means.message : `${means.message} ${reason}` };
}

/** Which header is wanted, where another one was sent. It depends on that header's text alone, so it tells nothing of any key. */
export const WANTED_FORM = 'Send it as "Authorization: Token <API key>".';
