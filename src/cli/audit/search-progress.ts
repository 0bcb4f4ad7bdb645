/** A search that no index serves, as people see it: what it will read is said before it begins, and how far it is while it goes on. */

import type { OnSearched } from '../../audit/query/decisions.ts';
import { type DecisionFilter, noteOf, rangeOf } from '../../audit/query/filters.ts';
import { plural } from '../terminal/output.ts';
import { createProgress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';

interface SearchProgress {
  /** undefined: nothing has to be searched, or nobody watches. */
  readonly onSearched: OnSearched | undefined;
  readonly end: () => void;
}

const SECOND_MS = 1000;

/** On standard error, where that is a terminal: a program finds the note in the answer. */
export function searchProgress({ stderr }: Terminal, filter: DecisionFilter): SearchProgress {
  const range = rangeOf(filter);
  const note = noteOf(filter, range);
  if (note === null || !stderr.isTTY) return { onSearched: undefined, end: () => undefined };
  stderr.write(`${note.replace('were searched', 'are searched')}\n`);
  const progress = createProgress(stderr);
  const [from, to] = [Date.parse(range.from), range.to === null ? Date.now() : Date.parse(range.to)];
  const began = Date.now();
  let done: { share: number; text: string } | undefined;
  const show = (): void => {
    const seconds = `${Math.round((Date.now() - began) / SECOND_MS)} s`;
    progress.show(done === undefined ? seconds : `${done.text}, ${seconds}`, done?.share);
  };
  const ticking = setInterval(show, SECOND_MS);
  return {
    onSearched: (at, found) => {
      done = {
        share: (to - Date.parse(at)) / Math.max(to - from, 1),
        text: `${plural(found, 'decision')} back to ${at}`,
      };
      show();
    },
    end: () => {
      clearInterval(ticking);
      progress.clear();
    },
  };
}
