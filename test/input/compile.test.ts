/**
 * A compiled schema agrees with zod: what it accepts, zod accepts with the same outcome, whatever the schema is made of.
 * FC_SEED repeats a run; FC_RUNS lengthens it.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { z } from 'zod';
import { compile } from '../../src/input/compile.ts';
import { odd } from '../http/json-texts.ts';

const SEED = Number(process.env['FC_SEED'] ?? 20_240_301);
const runs = (numRuns: number) => ({ seed: SEED, numRuns: numRuns * Number(process.env['FC_RUNS'] ?? 1) });

const short = z.string().max(3);
const upper = z.string().transform((text) => text.toUpperCase());

type Context = z.core.$RefinementCtx<string>;
const refuseB = (text: string, context: Context): string => {
  if (text === 'b') context.addIssue('no');
  return text.toUpperCase();
};
const NO_CONTEXT = { value: '', issues: [], addIssue: () => undefined } as unknown as Context;
const refuseBByDefault = (text: string, context = NO_CONTEXT): string => refuseB(text, context);

/** Schema, and a value that the compiled one has to accept. */
const COMPILED: Readonly<Record<string, readonly [z.ZodType, unknown]>> = {
  text: [z.string(), 'ab'],
  'text of a length and a form': [
    z
      .string()
      .max(3)
      .regex(/^[a-c]*$/),
    'abc',
  ],
  'text that is refined': [z.string().refine((text) => text !== 'ab'), 'b'],
  'text that is transformed': [upper, 'ab'],
  'text that is transformed, or refused by the transform': [z.string().transform(refuseB), 'ab'],
  'text that is refused by a transform with a default parameter': [z.string().transform(refuseBByDefault), 'ab'],
  'a transform of any number of arguments': [z.string().transform((...all: unknown[]) => all.length), 'a'],
  'text or null': [short.nullable(), null],
  'the first of two options': [z.union([short, z.int()]).transform(String), 'ab'],
  'a list of a length': [z.array(upper).min(1).max(2), ['a', 'b']],
  'what a function accepts': [z.custom((value) => typeof value === 'object' && value !== null), { a: 'x' }],
  'what a function accepts, in an object': [
    z.strictObject({ a: z.custom((value) => value === 'x').optional() }),
    { a: 'x' },
  ],
  'an object': [z.strictObject({ a: short, b: short.optional(), c: upper.nullish() }), { a: 'x', c: null }],
  'an object in an object': [z.strictObject({ a: z.strictObject({ b: upper.optional() }) }), { a: { b: 'x' } }],
  'an object that is refined and transformed': [
    z
      .strictObject({ a: short, b: short.optional() })
      .refine(({ a, b }) => a !== b)
      .transform(({ a }) => [a]),
    { a: 'x', b: 'y' },
  ],
};

/** What looks as if it could be compiled, and is left to zod: schema, and a value that zod takes. */
const LEFT: Readonly<Record<string, readonly [z.ZodType, unknown]>> = {
  // zod counts code points: this is one, of length 2.
  'text of a least length': [z.string().min(2), 'ab'],
  'text that is trimmed': [z.string().trim(), ' a '],
  'text of a format': [z.uuid(), '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e'],
  'text with a beginning': [z.string().startsWith('a'), 'ab'],
  'text of a global form': [z.string().regex(/a/g), 'a'],
  'text of a sticky form': [z.string().regex(/a/y), 'a'],
  'coerced text': [z.coerce.string(), 'a'],
  'a check with issues of its own': [
    z.string().superRefine((text, context) => void (text && context.addIssue('no'))),
    '',
  ],
  'an exclusive union': [z.xor([z.string().regex(/a/), z.string().regex(/b/)]), 'a'],
  'a codec': [z.codec(z.string(), z.string(), { decode: (text) => text.toUpperCase(), encode: (text) => text }), 'a'],
  'a value in place of an absent one': [z.strictObject({ a: z.preprocess((given) => given ?? 'x', z.string()) }), {}],
  'what a function accepts by a value other than true': [z.custom(() => 1), 'a'],
  'a number': [z.int().nonnegative(), 7],
  'a later option': [z.union([z.int(), short]), 'a'],
  'a default': [z.strictObject({ a: short.default('x') }), {}],
  'an optional default': [z.strictObject({ a: short.default('x').optional() }), {}],
  'an object that is open': [z.looseObject({ a: short }), { a: 'x', b: 1 }],
  'an object that drops what it does not know': [z.object({ a: short }), { a: 'x', b: 1 }],
  'an object with a catchall': [z.object({ a: short }).catchall(short), { a: 'x', b: 'y' }],
  'a field that every object inherits': [z.strictObject({ constructor: z.any() }), {}],
};

describe(`a compiled schema (FC_SEED=${SEED})`, () => {
  const word = fc.constantFrom('', 'a', 'b', 'x', 'abc', 'abcd', '😀', 'é', 'ab\n');
  const field = fc.oneof(word, fc.constantFrom(null, 7, [], {}), fc.record({ b: word }), odd);
  const record = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', '__proto__', 'constructor'), field, { maxKeys: 4 });
  const value = fc.oneof(word, fc.array(field, { maxLength: 3 }), record, odd);

  for (const [name, [schema]] of Object.entries({ ...COMPILED, ...LEFT })) {
    it(`of ${name} accepts nothing that zod rejects, and with the same outcome`, () => {
      const accept = compile(schema);
      fc.assert(
        fc.property(value, (given) => {
          const before = JSON.stringify(given);
          const accepted = accept(given);
          expect(JSON.stringify(given)).to.equal(before);
          if (accepted !== undefined) {
            expect(schema.safeParse(given)).to.deep.equal({ success: true, data: accepted });
          }
        }),
        runs(500),
      );
    });
  }

  for (const [name, [schema, taken]] of Object.entries(COMPILED)) {
    it(`of ${name} accepts it`, () => {
      expect(schema.safeParse(taken)).to.deep.equal({ success: true, data: compile(schema)(taken) });
    });
  }

  for (const [name, [schema, taken]] of Object.entries(LEFT)) {
    it(`of ${name} leaves it to zod`, () => {
      expect(compile(schema)(taken)).to.equal(undefined);
      expect(schema.safeParse(taken).success).to.equal(true);
    });
  }
});
