/** The chart of docs/performance.md: a bar for each figure that is to bare Koa, and a mark where it is promised to be. */

import { type Figure, formatted } from './report.ts';

const WIDTH = 860;
const LABELS = 300;
const ROW = 26;
const BAR = 16;
const TOP = 34;
/** Room for the number behind the longest bar. */
const NUMBER = 60;
const FONT = 'font-family="system-ui, sans-serif" font-size="13"';

/** An SVG document. Other figures are left out. */
export function chart(figures: readonly Figure[]): string {
  const bars = figures.filter(({ to, unit }) => to === 'bare Koa' && unit === 'x');
  const most = bars.reduce((longest, { value, want }) => Math.max(longest, value, promised(want) ?? 0), 1);
  const x = (value: number): number => Math.round(LABELS + (value / most) * (WIDTH - LABELS - NUMBER));
  const height = TOP + bars.length * ROW + 10;
  const rows = bars.map(({ name, value, want }, index) => {
    const y = TOP + index * ROW;
    const mark = promised(want);
    const colour = mark === undefined ? '#9aa5b1' : '#2f6fb0';
    return [
      `<text x="${LABELS - 10}" y="${y + 13}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="${LABELS}" y="${y}" width="${x(value) - LABELS}" height="${BAR}" fill="${colour}"/>`,
      `<text x="${x(value) + 6}" y="${y + 13}">${formatted(value)}</text>`,
      ...(mark === undefined ? [] : [line(x(mark), y - 3, y + BAR + 3, '#c0392b')]),
    ].join('');
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" ${FONT}>`,
    '<title>Questions a second, where a bare Koa server answers 1</title>',
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${x(1)}" y="18" text-anchor="middle">bare Koa = 1; red: promised</text>`,
    line(x(1), TOP - 8, height - 6, '#333333'),
    ...rows,
    '</svg>\n',
  ].join('\n');
}

const promised = (want: Figure['want']): number | undefined => (want && 'atLeast' in want ? want.atLeast : undefined);

const line = (x: number, from: number, to: number, colour: string): string =>
  `<line x1="${x}" x2="${x}" y1="${from}" y2="${to}" stroke="${colour}" stroke-width="2"/>`;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
