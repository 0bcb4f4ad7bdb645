/** Who runs a command, as the events that it leaves name them: stated, or as the system has it. */

import { hostname, userInfo } from 'node:os';
import type { Actor } from '../../db/mutate.ts';
import { Refusal } from '../../errors.ts';
import { maskSecrets } from '../../mask.ts';
import { OPERATOR } from '../../setting-forms.ts';

/**
 * `as:` and the name that the operator stated; else `cli:` and the account and machine that run the command, which several people may
 * share. So an event says which of the two it is.
 */
export const operatorActor = (stated: string | undefined): Actor => ({
  id: stated === undefined ? `cli:${account()}@${hostname()}`.slice(0, 128) : maskSecrets(`as:${stated}`),
});

/** The name that `--as` states. @throws Refusal: it is none */
export function statedBy(name: string): string {
  if (!OPERATOR.test(name)) throw new Refusal('--as takes a name of 1 to 100 characters, on one line');
  return name;
}

function account(): string {
  try {
    return userInfo().username;
  } catch {
    // The uid has no passwd entry, as in containers.
    return String(process.getuid?.() ?? 'unknown');
  }
}
