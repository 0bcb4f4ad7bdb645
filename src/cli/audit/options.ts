/** What the verbs that read the decision log share: the options that name decisions, and a key in clear. */

import type { Command } from 'commander';
import { findCredential } from '../../audit/query/credential.ts';
import type { DecisionFilter } from '../../audit/query/filters.ts';
import { Refusal } from '../../errors.ts';
import type { CommandDatabase } from '../terminal/database.ts';
import type { Format } from '../terminal/options.ts';
import { readStdin } from '../terminal/prompt.ts';

export interface FilterOptions extends Format {
  readonly key?: string;
  readonly user?: string;
  readonly business?: string;
  readonly caller?: string;
  readonly action?: string;
  readonly code?: string;
  readonly effect?: string;
  readonly rule?: string;
  readonly policy?: string;
  readonly ip?: string;
  readonly requestId?: string;
  readonly from?: string;
  readonly to?: string;
}

export const filterOptions = (command: Command): Command =>
  command
    .option('--key <id>', 'of this API key; - reads a key in clear from standard input, also one that is deleted')
    .option('--user <id>', 'of keys of this user')
    .option('--business <id>', 'on this business')
    .option('--caller <id>', 'asked by this caller')
    .option('--action <action>', 'such as call:create, or call:* for all of a noun')
    .option('--code <code>', 'such as USER_DISABLED')
    .option('--effect <effect>', 'allow or deny')
    .option('--rule <name>', 'decided by this rule')
    .option('--policy <digest>', 'decided by this policy; its first 8 or more hex digits will do')
    .option('--ip <address>', "from this client's address")
    .option('--request-id <id>', "of this client's request")
    .option('--from <time>', 'RFC 3339, inclusive; default: 24 hours before --to')
    .option('--to <time>', 'RFC 3339, exclusive; default: now');

export const FILTER_HELP = `
Key, user, business and any code but OK have an index. Another filter alone searches all decisions of the time range, and
the answer says so: name a range that is no longer than needed.`;

/** The options under the names that the filter has over HTTP. */
export const namesOf = ({ key, user, business, caller, action, code, effect, ...rest }: FilterOptions) => ({
  ...(key !== '-' && { apiKeyId: key }),
  userId: user,
  businessId: business,
  callerId: caller,
  action,
  code,
  effect,
  rule: rest.rule,
  policy: rest.policy,
  ip: rest.ip,
  requestId: rest.requestId,
  from: rest.from,
  to: rest.to,
});

/** The filter, once it is valid, with the key that stands in clear on standard input. @throws Refusal: it is empty */
export async function withCredential(
  { db, peppers }: CommandDatabase,
  { key }: FilterOptions,
  filter: DecisionFilter,
): Promise<DecisionFilter> {
  if (key !== '-') return filter;
  if (process.stdin.isTTY)
    throw new Refusal('--key - reads the key from standard input, so that no history keeps it: --key - < FILE');
  return { ...filter, credential: await findCredential(db, peppers, await readStdin()) };
}
