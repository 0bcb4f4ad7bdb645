/** Shifts (decisions that another policy decides otherwise, by their codes) as text and as Markdown. */

import type { Share, Shift } from '../../rollout/tally.ts';
import { escaped } from '../terminal/output.ts';

/** A paragraph a shift; '' where there is none. */
export const shiftText = (shifts: readonly Shift[]): string =>
  shifts
    .map((shift) => {
      const lines = partsOf(shift).map(([name, value]) => `  ${`${name}:`.padEnd(12)}${value}`);
      return [`${shift.from} -> ${shift.to}: ${shift.count.toLocaleString('en')}`, ...lines].join('\n');
    })
    .join('\n\n');

/** A table row a shift; '' where there is none. */
export function shiftMarkdown(shifts: readonly Shift[]): string {
  if (shifts.length === 0) return '';
  const rows = shifts.map((shift) => {
    const parts = partsOf(shift).map(([name, value]) => `${name}: ${value}`);
    return `| ${shift.from} | ${shift.to} | ${shift.count.toLocaleString('en')} | ${parts.join('<br>')} |`;
  });
  return ['| recorded | now | decisions | whom it touches most |', '|---|---|---|---|', ...rows].join('\n');
}

const partsOf = ({ keys, users, businesses, samples }: Shift): [string, string][] =>
  (
    [
      ['keys', sharesOf(keys)],
      ['users', sharesOf(users)],
      ['businesses', sharesOf(businesses)],
      ['decisions', samples.map(escaped).join(' ')],
    ] as [string, string][]
  ).filter(([, value]) => value !== '');

const sharesOf = (shares: readonly Share[]): string =>
  shares.map(({ id, count }) => `${escaped(id)} (${count})`).join(', ');
