/** What a policy is made of, as plain values: rows in their order, each with a rule; and codes. */

export type Effect = 'allow' | 'deny';

/** A node of a rule's syntax tree that is true or false; `text` is its print. */
export type Predicate =
  /** `path` is the fact that it reads; absent from `true` and `false`. */
  | { readonly kind: 'test'; readonly text: string; readonly path?: string }
  | { readonly kind: 'not'; readonly text: string; readonly of: Predicate }
  | { readonly kind: 'both' | 'either'; readonly text: string; readonly left: Predicate; readonly right: Predicate };

/** A checked rule: the `when` of a row. */
export interface Rule {
  /** The rule as Casbin is given it: fully parenthesised, single-quoted, free of anything its substitution would touch. */
  readonly text: string;
  /** The constants that each fact of type text is compared with, by path: the values of it that the rule tells apart. */
  readonly constants: ReadonlyMap<string, ReadonlySet<string>>;
  /** The paths of the facts that it reads: no other fact can change its value. */
  readonly facts: ReadonlySet<string>;
  readonly tree: Predicate;
}

export interface Row {
  readonly id: string;
  /** A pattern: see action-patterns.ts. */
  readonly action: string;
  readonly when: Rule;
  readonly effect: Effect;
  readonly code: string;
  readonly file: string;
  readonly line: number;
}

/** What a code of codes.yaml means to the client. */
export interface Code {
  /** The HTTP status that the calling service should answer its client with. */
  readonly status: number;
  /** Public: that client reads it. */
  readonly message: string;
  /** Whose public reason, if there is one, is appended to the message: why the user or the target is disabled, or of the freeze. */
  readonly reason?: 'user' | 'target' | 'freeze';
}
