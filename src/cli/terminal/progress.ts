/** Progress of long work: on a terminal one line that is overwritten, elsewhere (a job's log) a line every ten seconds. */

import { escaped } from './output.ts';
import type { Output } from './terminal.ts';

export interface Progress {
  /** `share`: how much is done, 0 to 1, where that is known. A new `step` is shown at once on a terminal. */
  readonly show: (text: string, share?: number, step?: string) => void;
  /** Erases the line. */
  readonly clear: () => void;
}

const WIDTH = 24;
const INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;

/** Progress on `stream`, standard error, throttled. */
export function createProgress(stream: Output): Progress {
  let shownAt = stream.isTTY ? 0 : Date.now();
  let shownStep: string | undefined;
  return {
    show: (text, share, step) => {
      const soon = Date.now() - shownAt < (stream.isTTY ? INTERVAL_MS : PLAIN_INTERVAL_MS);
      if (soon && (step === shownStep || !stream.isTTY)) return;
      shownAt = Date.now();
      shownStep = step;
      const line = `${barOf(share)}${escaped(text)}`;
      stream.write(stream.isTTY ? `\r\x1b[K${line.slice(0, (stream.columns || 80) - 1)}` : `${line}\n`);
    },
    clear: () => void (stream.isTTY && stream.write('\r\x1b[K')),
  };
}

const barOf = (share: number | undefined): string =>
  share === undefined ? '' : `[${'#'.repeat(Math.round(Math.min(share, 1) * WIDTH)).padEnd(WIDTH, '.')}] `;
