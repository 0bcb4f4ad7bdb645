/** What the terminal of standard output can show: how wide it is, whether in colour, and with which characters. */

import type { Writable } from 'node:stream';

export interface Screen {
  /** undefined: it is no terminal, and lines are as long as they are: for programs, files and pages. */
  readonly columns: number | undefined;
  /** The text in that colour, or as it is. */
  readonly paint: (colour: Colour, text: string) => string;
  readonly ellipsis: string;
  /** A bar of so many eighths of a character. */
  readonly bar: (eighths: number) => string;
}

/** Of a run. */
interface ScreenInput {
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: NodeJS.ProcessEnv;
}

export type Colour = 'red' | 'green' | 'dim';

/** Codes of ECMA-48 (SGR): begin and end. */
const CODES: Readonly<Record<Colour, readonly [number, number]>> = { red: [31, 39], green: [32, 39], dim: [2, 22] };
const BLOCKS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** By NO_COLOR (no-color.org) and FORCE_COLOR, and by the locale whether there is more than ASCII. */
export function screenOf({ stdout, env }: ScreenInput): Screen {
  const { NO_COLOR = '', FORCE_COLOR = '', TERM } = env;
  const wanted = FORCE_COLOR !== '' ? FORCE_COLOR !== '0' : stdout.isTTY === true && TERM !== 'dumb';
  const coloured = wanted && NO_COLOR === '';
  const isUnicode = /utf-?8/i.test(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '');
  return {
    columns: stdout.isTTY ? stdout.columns || 80 : undefined,
    paint: (colour, text) =>
      coloured && text !== '' ? `\u001b[${CODES[colour][0]}m${text}\u001b[${CODES[colour][1]}m` : text,
    ellipsis: isUnicode ? '…' : '...',
    bar: (eighths) =>
      isUnicode
        ? '█'.repeat(Math.floor(eighths / 8)) + (BLOCKS[eighths % 8] ?? '')
        : '#'.repeat(Math.round(eighths / 8)),
  };
}
