/** An inverted index from tag to cache entries, so that a change finds every entry made from what it names. */

export interface TagIndex<T extends { readonly tags: readonly string[] }> {
  readonly add: (thing: T) => void;
  readonly remove: (thing: T) => void;
  readonly under: (tag: string) => readonly T[];
  readonly clear: () => void;
}

export function createTagIndex<T extends { readonly tags: readonly string[] }>(): TagIndex<T> {
  // A tag with one entry holds it directly: hundreds of thousands of one-element sets would outweigh the entries.
  const byTag = new Map<string, T | Set<T>>();

  const add = (tag: string, thing: T): void => {
    const there = byTag.get(tag);
    if (there instanceof Set) there.add(thing);
    else byTag.set(tag, there === undefined || there === thing ? thing : new Set([there, thing]));
  };
  const remove = (tag: string, thing: T): void => {
    const there = byTag.get(tag);
    if (there === thing) byTag.delete(tag);
    if (!(there instanceof Set)) return;
    there.delete(thing);
    if (there.size === 0) byTag.delete(tag);
  };

  return {
    add: (thing) => {
      for (const tag of thing.tags) add(tag, thing);
    },
    remove: (thing) => {
      if (byTag.size > 0) for (const tag of thing.tags) remove(tag, thing);
    },
    under: (tag) => {
      const there = byTag.get(tag);
      if (there instanceof Set) return [...there];
      return there === undefined ? [] : [there];
    },
    clear: () => byTag.clear(),
  };
}
