/** The Merkle tree of RFC 6962, section 2.1, over a list whose tail is replaced: what precedes it is not hashed again. */

import { hash } from 'node:crypto';

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

const sha256 = (...parts: readonly Buffer[]): Buffer => hash('sha256', Buffer.concat(parts), 'buffer');

export const leafHash = (bytes: Buffer): Buffer => sha256(LEAF, bytes);

export interface MerkleTree {
  /** Replaces the list from index `start` on by `leaves` (hashes of leaves). */
  readonly replaceFrom: (start: number, leaves: readonly Buffer[]) => void;
  /** The hashes of the leaves from index `start` on. */
  readonly leavesFrom: (start: number) => readonly Buffer[];
  /** 32 bytes; of an empty list the hash of nothing. */
  readonly root: () => Buffer;
}

/**
 * The RFC splits n leaves at the largest power of two below n. Level by level this is: nodes are joined in pairs, and an odd
 * last one moves up as it is.
 */
export function createMerkleTree(): MerkleTree {
  const levels: [Buffer[], ...Buffer[][]] = [[]];

  return {
    replaceFrom: (start, leaves) => {
      levels[0].length = start;
      for (const leaf of leaves) levels[0].push(leaf);
      let from = start;
      let below = levels[0];
      let height = 1;
      for (; below.length > 1; height += 1) {
        const level = levels[height] ?? [];
        levels[height] = level;
        from >>= 1;
        level.length = from;
        for (let left = 2 * from; left < below.length; left += 2) level.push(join(below, left));
        below = level;
      }
      levels.length = height;
    },
    leavesFrom: (start) => levels[0].slice(start),
    root: () => levels.at(-1)?.[0] ?? sha256(),
  };
}

function join(level: readonly Buffer[], left: number): Buffer {
  const [first, second] = [level[left], level[left + 1]];
  if (first === undefined) throw new RangeError(`there is no node ${left}`);
  return second === undefined ? first : sha256(NODE, first, second);
}
