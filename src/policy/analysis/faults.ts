/** What a proof found wrong, with one finding for each cause, an example, and of how many situations it is so. */

import { UNKNOWN } from '../declared/table.ts';
import { type Facts, valueAt } from '../facts.ts';
import type { Finding, FindingRule, Report } from '../folder/findings.ts';
import type { Invariant } from '../folder/invariants.ts';
import type { Row } from '../row.ts';
import { ADDRESSED_PATH, ROLE_PATH } from './factors.ts';
import type { Gain } from './ignorance.ts';

/** Collects witnesses by their cause. */
export interface Faults {
  readonly undecided: (facts: Facts) => void;
  readonly forbidden: (row: Row, facts: Facts) => void;
  readonly violated: (invariant: Invariant, row: Row, facts: Facts) => void;
  readonly gained: (gain: Gain) => void;
  /** Whether more situations of a cause are to be counted: a row, an invariant or UNDECIDED. */
  readonly counts: (of: unknown) => boolean;
  /** Reports what was found; what no row decides is reported at the last row. */
  readonly report: (report: Report, last: Row) => void;
}

interface Cause {
  readonly rule: FindingRule;
  /** undefined: that of the last row. */
  readonly place: Pick<Finding, 'file' | 'line' | 'column'> | undefined;
  /** `of`: in how many situations it is so, and an example. */
  readonly message: (of: string) => string;
  readonly facts: Facts;
}

export const placeOf = ({ file, line }: Row): Pick<Finding, 'file' | 'line' | 'column'> => ({ file, line, column: 1 });

/** The cause of situations that no row decides. */
export const UNDECIDED = 'undecided';
/** So that what is wrong everywhere does not use up the budget. */
const MOST_COUNTED = 1000;

export function createFaults(): Faults {
  const causes = new Map<unknown, { readonly cause: Cause; count: number }>();
  const note = (of: unknown, cause: Cause): void => {
    const known = causes.get(of) ?? { cause, count: 0 };
    known.count += 1;
    causes.set(of, known);
  };
  return {
    counts: (of) => (causes.get(of)?.count ?? 0) < MOST_COUNTED,
    undecided: (facts) =>
      note(UNDECIDED, {
        rule: 'undecided',
        place: undefined,
        message: (of) => `no row decides some situations, ${of}; add a row after this one`,
        facts,
      }),
    forbidden: (row, facts) =>
      note(row, {
        rule: 'forbidden-allow',
        place: placeOf(row),
        message: (of) =>
          `this row allows a key or a user that is not active, what is frozen, or what a strict register lacks, ${of}; deny those in a row above it`,
        facts,
      }),
    violated: (invariant, row, facts) => {
      const { effect, code, id, file, line } = row;
      note(invariant, {
        rule: 'invariant-violated',
        place: invariant.place,
        message: (of) => `${invariant.name}: violated by ${effect} ${code} of the row ${id} (${file}:${line}), ${of}`,
        facts,
      });
    },
    gained: ({ row, paths, allowed, denied }) =>
      note(`${row.id} ${paths.join()}`, {
        rule: 'ignorance-grants',
        place: placeOf(row),
        message: (of) => gainOf(paths, allowed, denied, of),
        facts: denied,
      }),
    report: (report, last) => {
      for (const { cause, count } of causes.values()) {
        const { rule, place = placeOf(last), message, facts } = cause;
        const classes = count === 1 ? '1 class' : `${count}${count < MOST_COUNTED ? '' : ' or more'} classes`;
        report({
          ...place,
          rule,
          message: message(`in ${classes} of situations, for example ${JSON.stringify(facts)}`),
        });
      }
    },
  };
}

/** What one gains by what is not known, `of` how many situations, and what to write instead. */
function gainOf(paths: readonly string[], allowed: Facts, denied: Facts, of: string): string {
  const leftOut = paths.includes(ADDRESSED_PATH) ? 'the address is left out' : undefined;
  const named = paths.filter((path) => leftOut === undefined || paths.length === 1 || path !== ADDRESSED_PATH);
  const as = (facts: Facts): string => named.map((path) => conditionOf(path, valueAt(facts, path))).join(' && ');
  const what = `where ${as(denied)}, this row denies what is allowed where ${leftOut ?? as(allowed)}, ${of}`;
  if (paths.every((path) => isIgnorant(valueAt(denied, path))))
    return `${what}; facts.yaml says that it withholds: deny both, or take \`withholds: true\` away`;
  const canWithhold = named.some((path) => path !== ADDRESSED_PATH && path !== ROLE_PATH);
  const or = canWithhold ? ', or say `withholds: true` in facts.yaml where it is meant to take away' : '';
  return `${what}; nobody may gain by what is not known: deny both${or}`;
}

const isIgnorant = (value: string | boolean): boolean => value === false || value === UNKNOWN;

const conditionOf = (path: string, value: string | boolean): string =>
  typeof value === 'boolean' ? `${value ? '' : '!'}${path}` : `${path} == '${value}'`;

/** `row`: what most was spent on. */
export const overBudget = ({ when }: Row): string =>
  `the rows and invariants tell more situations apart than can be gone through, and this one most of them, by ${listed([...when.facts])}; name fewer facts in one rule, or fewer ids and actions`;

const MAX_NAMED = 10;

const listed = (names: readonly string[]): string => {
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
  return `${names.slice(0, MAX_NAMED).join(', ')}${more}`;
};

export function reportVacuous({ name, place }: Invariant, report: Report): void {
  const message = `${name}: it constrains no situation that can occur; mend its condition, or remove it`;
  report({ ...place, rule: 'invariant-vacuous', message });
}

interface Decided {
  readonly rows: ReadonlySet<Row>;
  readonly deciding: ReadonlySet<Row>;
  readonly hiders: ReadonlyMap<Row, ReadonlySet<Row>>;
}

/** Reports the rows that decide nothing. */
export function reportIdle({ rows, deciding, hiders }: Decided, report: Report): void {
  for (const row of rows) {
    if (deciding.has(row)) continue;
    const by = [...(hiders.get(row) ?? [])];
    if (by.length === 0) {
      const message = 'no situation makes this row match; mend its rule or its action, or remove it';
      report({ ...placeOf(row), rule: 'row-never-matches', message });
      continue;
    }
    const hidden = listed(by.map(({ id, file, line }) => `${id} (${file}:${line})`));
    const message = `wherever this row matches, rows above it have decided: ${hidden}; move it up, or remove it`;
    report({ ...placeOf(row), rule: 'row-hidden', message });
  }
}
