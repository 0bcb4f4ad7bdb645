/**
 * What a condition reads of the facts: it is run on a record whose facts note that they were read (accessors). With the same
 * values there it says the same, whatever the other facts are.
 */

import type { Facts } from '../facts.ts';
import type { Schema } from '../schema.ts';
import type { Value, Values } from './evaluations.ts';

/** Runs a condition on facts, by path. */
export type ReadFacts = (values: Values) => {
  readonly holds: boolean;
  readonly reads: ReadonlySet<string>;
};

/** Makes a condition of the facts of a schema say what it reads. It must read nothing but facts. */
export function readRecorder(schema: Schema): (condition: (facts: Facts) => boolean) => ReadFacts {
  let reads = new Set<string>();
  let now: Values = new Map();
  const record = {};
  for (const path of schema.paths.keys()) {
    const names = path.split('.').slice(1);
    const last = names.pop() ?? '';
    let group = record as Record<string, object>;
    for (const name of names) {
      group[name] ??= {};
      group = group[name] as Record<string, object>;
    }
    const get = (): Value | undefined => {
      reads.add(path);
      return now.get(path);
    };
    Object.defineProperty(group, last, { enumerable: true, get });
  }
  return (condition) => (values) => {
    now = values;
    reads = new Set();
    return { holds: condition(record as Facts), reads };
  };
}
