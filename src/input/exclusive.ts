/** Fields of a body that exclude each other: as a check of zod, and as the JSON Schema of the same, made of the same names. */

/** A field is given where it is there and not null. */
const isGiven = (value: unknown): boolean => value !== undefined && value !== null;
/** The same as JSON Schema. */
export const given = (name: string) => ({ required: [name], properties: { [name]: { not: { type: 'null' } } } });

interface Exclusion<Name extends string> {
  /** For `refine`. */
  readonly holds: (body: Readonly<Partial<Record<Name, unknown>>>) => boolean;
  /** For `meta`. */
  readonly schema: Readonly<Record<string, unknown>>;
}

/** At most one of the two. */
export const notBoth = <Name extends string>(one: Name, other: Name): Exclusion<Name> => ({
  holds: (body) => !(isGiven(body[one]) && isGiven(body[other])),
  schema: { not: { allOf: [given(one), given(other)] } },
});

/** Exactly one of the two. */
export const oneOfBoth = <Name extends string>(one: Name, other: Name): Exclusion<Name> => ({
  holds: (body) => isGiven(body[one]) !== isGiven(body[other]),
  schema: { oneOf: [given(one), given(other)] },
});
