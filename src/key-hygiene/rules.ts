/** The kinds of findings, by name and in the order of lists: the query that finds each, and its text. */

import { KEY_KINDS } from './key-kinds.ts';
import { count, instantOf, type Kind } from './kind.ts';
import { USE_KINDS } from './use-kinds.ts';

export const HYGIENE_KINDS = {
  ...KEY_KINDS,
  ...USE_KINDS,
  'freeze-ending': {
    needs: ['freezeMinutes'],
    sql: `
      select f.id::text as subject, f.until as "until", f.reason as "reason" from freezes f
      where f.lifted_at is null and f.until > now() and f.until < now() + make_interval(mins => :freezeMinutes)`,
    describe: (row) => ({
      says: `The freeze ${row.subject} (${JSON.stringify(row['reason'])}) ends at ${instantOf(row['until'])}; what it denies is allowed again then.`,
      advice: 'Extend it, or see that the incident is over.',
      commands: [`authz freeze extend ${row.subject} --for 2h`],
    }),
  },
  'attribute-undeclared': {
    needs: [],
    needsDeclared: 'values',
    sql: `
      select of || '.' || name || '=' || value as subject, count(*)::float8 as "count" from audited_values
      where of || ' ' || name || ' ' || form || ' ' || value <> all(:values::text[]) group by of, name, value`,
    describe: (row) => ({
      says: `${count(row['count'], 'stored value')} ${row['count'] === 1 ? 'is' : 'are'} ${row.subject}, which facts.yaml of the live policy does not declare: no rule sees it.`,
      advice: 'Declare it, or take it from those that have it.',
      commands: ['authz policy check --database'],
    }),
  },
} as const satisfies Record<string, Kind>;

export type HygieneName = keyof typeof HYGIENE_KINDS;
