/** How far long work is: one line on a terminal that is written anew, up to ten times a second. */

export interface Progress {
  /** `share` of the work that is done, from 0 to 1, where that is known. */
  readonly show: (text: string, share?: number) => void;
  /** Takes the line away. */
  readonly clear: () => void;
}

const WIDTH = 24;
const INTERVAL_MS = 100;

/** On standard error; silent where that is no terminal. */
export function createProgress(terminal: NodeJS.WriteStream = process.stderr): Progress {
  if (!terminal.isTTY) return { show: () => undefined, clear: () => undefined };
  let shownAt = 0;
  return {
    show: (text, share) => {
      if (Date.now() - shownAt < INTERVAL_MS) return;
      shownAt = Date.now();
      const bar =
        share === undefined ? '' : `[${'#'.repeat(Math.round(Math.min(share, 1) * WIDTH)).padEnd(WIDTH, '.')}] `;
      terminal.write(`\r\x1b[K${`${bar}${text}`.slice(0, (terminal.columns || 80) - 1)}`);
    },
    clear: () => void terminal.write('\r\x1b[K'),
  };
}
