/** The lines of the files that checkpoints and exported events lie in, with their numbers, by which messages name them. */

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** All lines, empty ones too, the first with number 1. @throws what reading the file throws */
export async function* linesOf(file: string): AsyncGenerator<{ readonly text: string; readonly number: number }> {
  let number = 0;
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    yield { text, number };
  }
}
