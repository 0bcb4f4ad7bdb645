/** Answers that are made while they are sent: as fast as the client takes them, a bounded number at once, and with no end where they fail. */

import { Readable } from 'node:stream';
import { Failure } from '../errors.ts';
import type { InTurn } from '../turns.ts';

/** The parts of an answer. Whoever has one reads it to its end, or ends it by `return`. */
export type Parts = AsyncGenerator<string, void>;

/** Opens an answer once its first part is there, so that what fails until then is answered as any failure. */
export type OpenStream = (parts: Parts) => Promise<Readable>;

const RETRY_SECONDS = 10;

/** For answers of which at most `most` are under way, each part of which is made in its turn. `open` @throws Failure TOO_MANY_REQUESTS, and what the first part throws */
export function streams(most: number, inTurn: InTurn): OpenStream {
  let open = 0;
  return async (parts) => {
    if (open >= most)
      throw new Failure(
        'TOO_MANY_REQUESTS',
        `This replica is sending ${most} exports or timelines already. Ask again when one has ended, or ask another replica.`,
        { retryAfterSeconds: RETRY_SECONDS },
      );
    open += 1;
    const close = (): void => {
      open -= 1;
    };
    const first = await inTurn(() => parts.next()).catch((error: unknown) => {
      close();
      throw error;
    });
    async function* all(): Parts {
      for (let part = first; !part.done; part = await inTurn(() => parts.next())) yield part.value;
    }
    const readable = Readable.from(all(), { objectMode: false });
    // It closes at its end, where it fails, and where it is destroyed because the client has gone; also when nobody has read of it.
    readable.once('close', () => {
      close();
      parts.return().catch(() => undefined);
    });
    return readable;
  };
}
