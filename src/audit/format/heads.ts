/** The heads of all chains as one set with one root: what a checkpoint signs. */

import { createMerkleTree, leafHash } from './merkle.ts';
import { field } from './record-hash.ts';

/** Where a chain ends. */
export interface Head {
  readonly boot: string;
  /** YYYY-MM-DD, UTC. */
  readonly day: string;
  /** Of its records' hashes: 1 (FORMAT), or what a later version wrote. */
  readonly format: number;
  /** Lower-case hex: what the first record of the chain was hashed with. */
  readonly opening: string;
  readonly records: number;
  /** Lower-case hex: of the last record. */
  readonly hash: string;
}

/** The chain of `admin_events`, one for the database, as it stands among the others: no process and no day has it. */
export const ADMINISTRATION = { boot: '00000000-0000-0000-0000-000000000000', day: '1970-01-01' } as const;

/**
 * All heads, for a FROM. The chain of administration has its own in `change_counter`, whose lock orders it; a row of `chain_heads` with
 * its name is no head of anything.
 */
export const ALL_HEADS = `(
  select boot, day, format, opening, records, hash from chain_heads where boot <> '${ADMINISTRATION.boot}'
  union all
  select '${ADMINISTRATION.boot}', '${ADMINISTRATION.day}', 1, decode(repeat('00', 32), 'hex'), events, events_hash
  from change_counter where events > 0) as heads`;

/** What selects a Head from `chain_heads`, or from ALL_HEADS. */
export const HEAD_COLUMNS = `
  boot::text, day::text, format, encode(opening, 'hex') as opening, records::float8 as records, encode(hash, 'hex') as hash`;

/** Names a chain; sorts by day, then by boot. */
export const chainOf = ({ boot, day }: Pick<Head, 'boot' | 'day'>): string => `${day} ${boot}`;

export const sameHead = (a: Head, b: Head | undefined): boolean =>
  a.records === b?.records && a.hash === b.hash && sameStart(a, b);

/** Whether both are of one chain, which was begun in the same way: what no later head of it changes. */
export const sameStart = (a: Head, b: Head): boolean =>
  a.boot === b.boot && a.day === b.day && a.format === b.format && a.opening === b.opening;

export interface Heads {
  readonly get: (chain: string) => Head | undefined;
  readonly all: () => Iterable<Head>;
  readonly size: () => number;
  /** Inserts heads, or replaces those that their chains had. */
  readonly put: (heads: readonly Head[]) => void;
  readonly clear: () => void;
  /** Lower-case hex. */
  readonly root: () => string;
}

export function createHeads(): Heads {
  const byChain = new Map<string, Head>();
  const chains: string[] = [];
  const tree = createMerkleTree();

  /** Binary search: the index of a chain, or where it would be inserted. */
  const placeOf = (chain: string): number => {
    let [low, high] = [0, chains.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((chains[middle] ?? '') < chain) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    get: (chain) => byChain.get(chain),
    all: () => byChain.values(),
    size: () => byChain.size,
    put: (heads) => {
      const sorted = heads.map((head) => ({ chain: chainOf(head), head })).sort((a, b) => (a.chain < b.chain ? -1 : 1));
      const [first] = sorted;
      if (first === undefined) return;
      const start = placeOf(first.chain);
      const changed = new Map(sorted.map(({ chain, head }) => [chain, leafOf(head)]));
      const leaves = tree.leavesFrom(start);
      const kept = chains.slice(start).map((chain, index) => [chain, changed.get(chain) ?? leaves[index]] as const);
      const added = [...changed].filter(([chain]) => !byChain.has(chain));
      const tail = added.length === 0 ? kept : [...kept, ...added].sort(([a], [b]) => (a < b ? -1 : 1));
      chains.length = start;
      for (const [chain] of tail) chains.push(chain);
      tree.replaceFrom(
        start,
        tail.flatMap(([, leaf]) => leaf ?? []),
      );
      for (const { chain, head } of sorted) byChain.set(chain, head);
    },
    clear: () => {
      byChain.clear();
      chains.length = 0;
      tree.replaceFrom(0, []);
    },
    root: () => tree.root().toString('hex'),
  };
}

const leafOf = ({ boot, day, format, opening, records, hash }: Head): Buffer => {
  const fields = [boot, day, String(format), opening, String(records), hash];
  return leafHash(Buffer.from(`iqra-authz/head/1\n${fields.map(field).join('')}`, 'latin1'));
};
