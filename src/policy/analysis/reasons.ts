/** Which tests of a rule settle whether it holds: for explanations, and for what must change before it comes out otherwise. */

import type { Predicate } from '../row.ts';

/** A comparison of one fact, or a literal. */
export type Test = Predicate & { readonly kind: 'test' };

/**
 * The tests that settle a predicate: while these come out as they do, so does it, whatever the rest of it says. Where several
 * would each do, the first, as in short-circuit evaluation. `isTrue` evaluates a part.
 * @throws Error where the parts contradict the whole, a defect of ours
 */
export function settlingTests(predicate: Predicate, isTrue: (part: Predicate) => boolean): readonly Test[] {
  const value = isTrue(predicate);
  switch (predicate.kind) {
    case 'test':
      return [predicate];
    case 'not':
      agree(predicate, value, !isTrue(predicate.of));
      return settlingTests(predicate.of, isTrue);
    default: {
      const { kind, left, right } = predicate;
      const [a, b] = [isTrue(left), isTrue(right)];
      agree(predicate, value, kind === 'both' ? a && b : a || b);
      const alone = kind === 'either';
      if (a === alone) return settlingTests(left, isTrue);
      if (b === alone) return settlingTests(right, isTrue);
      return [...settlingTests(left, isTrue), ...settlingTests(right, isTrue)];
    }
  }
}

function agree({ text }: Predicate, whole: boolean, parts: boolean): void {
  if (whole !== parts) throw new Error(`the parts of ${text} contradict it`);
}

/** The tests of predicates, by the fact that they read. */
export function testsByPath(predicates: readonly Predicate[]): ReadonlyMap<string, readonly Test[]> {
  const tests = new Map<string, Map<string, Test>>();
  const visit = (part: Predicate): void => {
    if (part.kind === 'not') visit(part.of);
    else if (part.kind !== 'test') for (const of of [part.left, part.right]) visit(of);
    else if (part.path !== undefined) {
      const before = tests.get(part.path);
      if (before) before.set(part.text, part);
      else tests.set(part.path, new Map([[part.text, part]]));
    }
  };
  for (const predicate of predicates) visit(predicate);
  return new Map([...tests].map(([path, of]) => [path, [...of.values()]]));
}
