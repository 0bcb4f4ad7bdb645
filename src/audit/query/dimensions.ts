/** What decisions can be counted by: a property or a part of their time, in SQL. */

import { z } from 'zod';
import { invalid } from '../../input/json.ts';
import { withNearest } from '../../nearest.ts';
import type { ColumnName } from '../columns.ts';
import { ADDRESS } from './conditions.ts';

export interface Dimension {
  /** What records are grouped by, in SQL. */
  readonly sql: string;
  /** The text of such a value, where it is none: made for each group, and not for each record. */
  readonly text?: (value: string) => string;
  /** Whether an index has all that is counted, but for the records without a value. */
  readonly indexed?: true;
  /** All its values in a range of time, in their order, where they are known beforehand: so those of no decision are told, too. */
  readonly values?: (range: { readonly from: number; readonly to: number }) => readonly string[];
}

const ofColumn = (column: ColumnName): Dimension => ({ sql: column });
const inIndex = (column: ColumnName): Dimension => ({ sql: column, indexed: true });

const DAY_MS = 86_400_000;
export const MOST_BUCKETS = 1500;
const UTC = `at time zone 'UTC'`;

/** Buckets of time, named by their beginnings, the newest first. */
const buckets = (name: string, length: number): Dimension => ({
  sql: `date_bin('1 ${name}', at, timestamptz 'epoch')`,
  text: (value) => `to_char(${value} ${UTC}, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`,
  values: ({ from, to }) => {
    const first = Math.floor(from / length);
    const count = Math.max(Math.ceil(to / length) - first, 0);
    if (count > MOST_BUCKETS)
      throw invalid(
        'by',
        `the range has more than ${MOST_BUCKETS} buckets of a ${name}; take larger ones or a shorter range`,
      );
    return Array.from({ length: count }, (_, index) =>
      new Date((first + count - 1 - index) * length).toISOString().replace('.000', ''),
    );
  },
});

const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const HOURS = Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0'));

const DIMENSIONS = {
  code: inIndex('code'),
  key: inIndex('api_key_id'),
  user: inIndex('user_id'),
  business: inIndex('business_id'),
  caller: inIndex('caller_id'),
  action: inIndex('action'),
  rule: ofColumn('rule'),
  policy: ofColumn('policy'),
  ip: { sql: `host(${ADDRESS})` },
  network: { sql: `network(set_masklen(${ADDRESS}, case family(${ADDRESS}) when 4 then 24 else 48 end))::text` },
  userAgent: ofColumn('user_agent'),
  fingerprint: ofColumn('fingerprint'),
  minute: buckets('minute', 60_000),
  hour: buckets('hour', 3_600_000),
  day: buckets('day', DAY_MS),
  weekday: {
    sql: `extract(isodow from at ${UTC})::int`,
    text: (value) => `(array['${WEEKDAYS.join("','")}'])[${value}]`,
    values: () => WEEKDAYS,
  },
  hourOfDay: {
    sql: `extract(hour from at ${UTC})::int`,
    text: (value) => `lpad(${value}::text, 2, '0')`,
    values: () => HOURS,
  },
} as const satisfies Readonly<Record<string, Dimension>>;

export type By = keyof typeof DIMENSIONS;

/** All that decisions can be counted by. A network is of 24 bits, or of 48 of IPv6; all that is of time is in UTC. */
export const BY = Object.keys(DIMENSIONS) as readonly By[];
export const dimensionOf = (by: By): Dimension => DIMENSIONS[by];

const CHOICES = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(BY);

/** One of them, or two with a comma between. */
export const bySchema = z.string(`must be ${CHOICES}`).transform((text, context): [By] | [By, By] => {
  const named = text.split(',').map((part) => part.trim());
  const known = named.map((name) => BY.find((by) => by === name));
  const unknown = named.find((_, index) => known[index] === undefined);
  if (unknown !== undefined) context.addIssue(withNearest(`must be ${CHOICES}`, unknown, BY));
  else if (named.length > 2 || named[0] === named[1])
    context.addIssue('must be one of them, or two that differ: ip,code');
  return known as [By] | [By, By];
});
