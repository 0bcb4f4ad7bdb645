/**
 * Action patterns: `*`, an exact action, or a prefix such as `user:*`. They partition all actions into equivalence classes:
 * of an action that no pattern names exactly, the longest prefix that it begins with settles which patterns it matches.
 */

export const ACTION_PATTERN =
  /^(?:\*|[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*)*:\*|[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*)+)$/;

/** Whether `pattern` matches an action. Decisions leave this to Casbin; it is here to partition and to count. */
export const matchesPattern = (pattern: string, action: string): boolean =>
  pattern.endsWith('*') ? action.startsWith(pattern.slice(0, -1)) : action === pattern;

export interface ActionClass<T> {
  /** The exact action, or the longest prefix with its star. */
  readonly pattern: string;
  /** An action of this class. */
  readonly action: string;
  /** Those whose pattern matches the actions of this class, in the order in which they were given. */
  readonly items: readonly T[];
}

export interface ActionIndex<T> {
  /** One for each exact action and each prefix, and `*`. Every text is in exactly one. */
  readonly classes: readonly ActionClass<T>[];
  /** The items whose pattern matches `action`. */
  readonly itemsOf: (action: string) => readonly T[];
}

/** Indexes `items` by their patterns; `constants` are further patterns that split classes. */
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

/** Every pattern that could match an action, the narrowest first: `a:b:c`, `a:b:*`, `a:*`, `*`. */
export function patternsOf(action: string): string[] {
  const patterns = [action];
  for (let end = action.lastIndexOf(':'); end !== -1; end = end === 0 ? -1 : action.lastIndexOf(':', end - 1)) {
    patterns.push(`${action.slice(0, end + 1)}*`);
  }
  patterns.push('*');
  return patterns;
}

/** A word that is no substring of any of the texts: it stands for every text that none of them names. */
export function unnamedWord(texts: Iterable<string>): string {
  let longest = 0;
  for (const text of texts) while (text.includes('x'.repeat(longest + 1))) longest += 1;
  return 'x'.repeat(longest + 1);
}
