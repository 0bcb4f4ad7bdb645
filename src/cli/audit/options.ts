/** What the verbs that read the decision log share: the options that name decisions. */

import type { Command } from 'commander';
import { type decisionFilter, FILTER_COLUMNS, PROPERTIES, type Property } from '../../audit/query/filters.ts';
import { Refusal } from '../../errors.ts';
import { withNearest } from '../../nearest.ts';
import { type NamedPeriod, type PeriodOptions, periodOptions } from '../terminal/moment.ts';
import type { TableOptions } from '../terminal/options.ts';

/** Each property as an option: its flag, what it takes, and what it does. */
const OPTIONS = {
  apiKeyId: ['key', 'id', 'of this API key; - reads a key in clear from standard input, also one that is deleted'],
  userId: ['user', 'id', 'of keys of this user'],
  businessId: ['business', 'id', 'on this business'],
  callerId: ['caller', 'id or name', 'asked by this caller; of a name by all that ever had it'],
  action: ['action', 'action', 'such as call:create, or call:* for all of a noun'],
  code: ['code', 'code', 'such as USER_DISABLED'],
  effect: ['effect', 'effect', 'allow or deny'],
  rule: ['rule', 'name', 'decided by this rule'],
  policy: ['policy', 'digest', 'decided by this policy; its first 8 or more hex digits will do'],
  ip: ['ip', 'address', "from this client's address, or a network such as 203.0.113.0/24"],
  userAgent: ['user-agent', 'text', 'whose user agent has this in it, in capitals or not'],
  fingerprint: ['fingerprint', 'digits', 'with this credential that was no key: 16 hex digits'],
  requestId: ['request-id', 'id', 'of this request of the client, or of the caller (X-Request-Id)'],
  traceId: ['trace-id', 'id', 'asked in this trace: 32 hex digits'],
} as const satisfies Readonly<Record<Property, readonly [flag: string, takes: string, help: string]>>;

/** As commander names an option: `--request-id` is `requestId`. */
type Camel<Flag extends string> = Flag extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Tail>}` : Flag;
type OptionName<Name extends Property> = Camel<(typeof OPTIONS)[Name][0]>;
const optionName = (name: Property): OptionName<Property> =>
  OPTIONS[name][0].replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()) as OptionName<Property>;

export type FilterOptions = TableOptions &
  PeriodOptions & { readonly [Name in Property as OptionName<Name>]?: string } & {
    readonly withoutCredential?: true;
    readonly not?: readonly string[];
  };

export function filterOptions(command: Command): Command {
  for (const [flag, takes, help] of Object.values(OPTIONS)) command.option(`--${flag} <${takes}>`, help);
  command
    .option('--without-credential', 'asked with no credential at all')
    .option(
      '--not <flag=value>',
      'of another value of an option above, or none: --not code=OK; may be repeated',
      (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
    );
  return periodOptions(command, '24 hours before --to');
}

const INDEXED = FILTER_COLUMNS.flatMap(({ field, indexed }) => {
  if (indexed === undefined) return [];
  const flag = `--${OPTIONS[field][0]}`;
  return indexed === true ? flag : `${flag} (but ${indexed.except})`;
});

export const FILTER_HELP = `
These have an index: ${INDEXED.join(', ')}. Another filter alone searches all decisions of the time range, and
the answer says so: name a range that is no longer than needed.`;

/** The options under the names that the filters have over HTTP. A key that stands on standard input (`-`) and a caller come with wholeFilter. */
export const namesOf = (
  options: FilterOptions,
  { from, to }: Pick<NamedPeriod, 'from' | 'to'>,
): Partial<Record<keyof typeof decisionFilter, string | undefined>> => ({
  ...Object.fromEntries(
    PROPERTIES.map((name) => [name, options[optionName(name)]]).filter(
      ([name, value]) => !(name === 'apiKeyId' && value === '-') && name !== 'callerId',
    ),
  ),
  withoutCredential: options.withoutCredential && 'true',
  not: options.not?.map(pairOf).join(';'),
  from,
  to,
});

const PROPERTY_OF = new Map<string, Property>(PROPERTIES.map((name) => [OPTIONS[name][0], name]));

/** `code=OK` under the name that the property has over HTTP. @throws Refusal: it is none */
function pairOf(pair: string): string {
  const flag = pair.slice(0, Math.max(pair.indexOf('='), 0)).replace(/^--/, '');
  const property = PROPERTY_OF.get(flag);
  const flags = [...PROPERTY_OF.keys()];
  if (property === undefined)
    throw new Refusal(withNearest(`--not takes ${flags.join(', ')}, each with =value`, flag || pair, flags));
  return `${property}${pair.slice(pair.indexOf('='))}`;
}
