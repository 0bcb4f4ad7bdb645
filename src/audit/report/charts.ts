/** Charts as inline SVG, without scripts. Each has a title and says in words what it shows, since a picture alone is not read to everybody. */

/** As text in HTML and in attributes. */
export const html = (text: unknown): string =>
  String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const WIDTH = 720;

function svg(height: number, title: string, says: string, body: string): string {
  const name = title.toLowerCase().replace(/\W+/g, '-');
  const [t, d] = [`${name}-title`, `${name}-says`];
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${t} ${d}"><title id="${t}">${html(title)}</title><desc id="${d}">${html(says)}</desc>${body}</svg>`;
}

const n = (value: number): string => Number(value.toFixed(2)).toString();
const rect = (x: number, y: number, width: number, height: number, kind: string, title: string, opacity = 1): string =>
  `<rect x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}" class="${kind}"${opacity === 1 ? '' : ` opacity="${n(opacity)}"`}><title>${html(title)}</title></rect>`;
const label = (x: number, y: number, text: string, anchor = 'start'): string =>
  `<text x="${n(x)}" y="${n(y)}" text-anchor="${anchor}">${html(text)}</text>`;

/** The next of 1, 2 and 5 times a power of ten: a round end of an axis. */
export function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

export interface Stack {
  readonly name: string;
  readonly allowed: number;
  readonly denied: number;
}

const MOST_LABELS = 10;

/** A column for each day, what was denied on top of what was allowed. */
export function dailyChart(days: readonly Stack[]): string {
  const [left, top, height, bottom] = [56, 12, 180, 24];
  const most = roundUp(Math.max(...days.map(({ allowed, denied }) => allowed + denied), 1));
  const step = (WIDTH - left) / Math.max(days.length, 1);
  const every = Math.ceil(days.length / MOST_LABELS);
  const y = (value: number): number => top + height - (height * value) / most;
  const grid = [0, 0.5, 1]
    .map((share) => {
      const at = y(share * most);
      return `<line x1="${left}" x2="${WIDTH}" y1="${n(at)}" y2="${n(at)}"/>${label(left - 6, at + 4, (share * most).toLocaleString('en'), 'end')}`;
    })
    .join('');
  const bars = days.map(({ name, allowed, denied }, index) => {
    const x = left + index * step + step * 0.15;
    const says = `${name}: ${allowed.toLocaleString('en')} allowed, ${denied.toLocaleString('en')} denied`;
    const day = index % every === 0 ? label(x, top + height + 16, name.slice(5)) : '';
    return (
      rect(x, y(allowed), step * 0.7, top + height - y(allowed), 'allowed', says) +
      rect(x, y(allowed + denied), step * 0.7, y(allowed) - y(allowed + denied), 'denied', says) +
      day
    );
  });
  const sum = (kind: 'allowed' | 'denied'): string =>
    days.reduce((before, day) => before + day[kind], 0).toLocaleString('en');
  const says = `${sum('allowed')} questions were allowed and ${sum('denied')} denied, in ${days.length} days.`;
  return svg(top + height + bottom, 'Questions a day', says, grid + bars.join(''));
}

/** A cell for each hour of each weekday, the darker the more. */
export function weekChart(cells: readonly { value: string | null; second?: string | null; count: number }[]): string {
  const [left, top, cell, gap] = [90, 18, 26, 2];
  const weekdays = [...new Set(cells.map(({ value }) => value ?? ''))];
  const hours = [...new Set(cells.map(({ second }) => second ?? ''))];
  const most = Math.max(...cells.map(({ count }) => count), 1);
  const squares = cells.map(({ value, second, count }) => {
    const [row, column] = [weekdays.indexOf(value ?? ''), hours.indexOf(second ?? '')];
    const says = `${value} ${second}:00: ${count.toLocaleString('en')}`;
    // A square root, so that the few of a quiet hour are seen.
    const shade = count === 0 ? 0.06 : 0.15 + 0.85 * Math.sqrt(count / most);
    return rect(left + column * cell, top + row * (cell - gap), cell - gap, cell - 2 * gap, 'allowed', says, shade);
  });
  const names = weekdays.map((name, row) => label(left - 8, top + row * (cell - gap) + 15, name, 'end'));
  const heads = hours
    .filter((_, index) => index % 3 === 0)
    .map((hour, index) => label(left + index * 3 * cell, 12, hour));
  const says = `The busiest hour had ${most.toLocaleString('en')} questions.`;
  return svg(
    top + weekdays.length * (cell - gap) + 4,
    'Questions by weekday and hour, in UTC',
    says,
    squares.join('') + names.join('') + heads.join(''),
  );
}

/** A bar behind a count in a table: its share of the largest. */
export const barOf = (count: number, most: number, kind = 'allowed'): string =>
  `<svg viewBox="0 0 100 10" class="bar" aria-hidden="true" preserveAspectRatio="none"><rect width="${n((100 * count) / Math.max(most, 1))}" height="10" class="${kind}"/></svg>`;
