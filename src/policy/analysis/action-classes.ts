/**
 * Actions by what patterns can tell apart of them. Patterns are exact actions, and prefixes such as `user:*`; so of an
 * action that no pattern names exactly, the longest prefix that it begins with settles which patterns it matches.
 */

export interface ActionClass<T> {
  /** The exact action, or the longest prefix with its star. */
  readonly pattern: string;
  /** An action of this class. */
  readonly action: string;
  /** Those whose pattern takes in the actions of this class, in the order in which they were given. */
  readonly items: readonly T[];
}

export interface ActionIndex<T> {
  /** One for each exact action and each prefix, and `*`. Between them they hold every text. */
  readonly classes: readonly ActionClass<T>[];
  /** The items whose pattern takes in `action`. */
  readonly itemsOf: (action: string) => readonly T[];
}

/** Sorts `items` by their patterns; `constants` are further patterns to be told apart. */
export function byAction<T extends { readonly action: string }>(
  items: readonly T[],
  constants: Iterable<string> = [],
): ActionIndex<T> {
  const byPattern = new Map<string, number[]>([['*', []]]);
  for (const constant of constants) byPattern.set(constant, []);
  for (const [index, { action }] of items.entries()) {
    const known = byPattern.get(action);
    if (known) known.push(index);
    else byPattern.set(action, [index]);
  }
  const classOf = (text: string): string[] => patternsOf(text).filter((pattern) => byPattern.has(pattern));
  const known = new Map<string, readonly T[]>();
  const itemsOf = (text: string): readonly T[] => {
    const patterns = classOf(text);
    const [key = '*'] = patterns;
    const before = known.get(key);
    if (before) return before;
    const indices = patterns.flatMap((pattern) => byPattern.get(pattern) ?? []).sort((a, b) => a - b);
    const found = Object.freeze(indices.map((index) => items[index] as T));
    known.set(key, found);
    return found;
  };
  const word = unnamedWord(byPattern.keys());
  const classes = [...byPattern.keys()].map((pattern) => {
    const action = pattern === '*' ? `${word}:${word}` : pattern.replace('*', word);
    return {
      pattern,
      action,
      get items() {
        return itemsOf(action);
      },
    };
  });
  return { classes, itemsOf };
}

/** Every pattern that could take in an action, the narrowest first: `a:b:c`, `a:b:*`, `a:*`, `*`. */
function patternsOf(action: string): string[] {
  const patterns = [action];
  for (let end = action.lastIndexOf(':'); end !== -1; end = end === 0 ? -1 : action.lastIndexOf(':', end - 1)) {
    patterns.push(`${action.slice(0, end + 1)}*`);
  }
  patterns.push('*');
  return patterns;
}

/** A word that is no part of any of the texts, so that whatever it is put behind is named by none of them. */
export function unnamedWord(texts: Iterable<string>): string {
  let longest = 0;
  for (const text of texts) for (const [run] of text.matchAll(/x+/g)) longest = Math.max(longest, run.length);
  return 'x'.repeat(longest + 1);
}
