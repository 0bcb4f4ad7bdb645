/** Arbitraries of JSON texts for the fuzz tests: valid, at the edges, and just about invalid. */

import fc from 'fast-check';

const oddText = fc.oneof(
  fc.constantFrom('', ' ', '\0', '\ud800', '\udc00', '😀', '\ufeff', '\u2028', '__proto__', 'constructor', 'a:b'),
  fc.constantFrom('iqra_', 'Token x', 'call:create', '42', '::1', '127.0.0.1', 'x'.repeat(600)),
  fc.string({ unit: 'binary', maxLength: 8 }),
);
const oddNumber = fc.oneof(fc.constantFrom(0, -0, 1.5, -1, 2 ** 53, 2 ** 53 - 1, 1e300), fc.integer(), fc.double());
/** Any JSON value, biased towards the edges of what is accepted. */
export const odd: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  leaf: fc.oneof(oddText, oddNumber, fc.constantFrom(null, true, false)),
  node: fc.oneof(
    { maxDepth: 9, depthSize: 'large' },
    tie('leaf'),
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(oddText, tie('node'), { maxKeys: 4 }),
  ),
}))['node'];

/** A JSON text of a value, with the freedoms that JSON leaves: white space, escapes, a key again. */
export const spelled = (value: unknown): fc.Arbitrary<string> =>
  fc.infiniteStream(fc.nat(99)).map((stream) => {
    const chance = (): number => stream.next().value as number;
    const space = (): string => (chance() < 10 ? ' \t\r\n'.slice(0, chance() % 5) : '');
    const text = (string: string): string =>
      JSON.stringify(string).replace(/[a-z_]/g, (letter, at: number, all: string) =>
        chance() < 5 && all[at - 1] !== '\\' && !/\\u[0-9a-f]{0,3}$/.test(all.slice(0, at))
          ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`
          : letter,
      );
    const write = (inner: unknown): string => {
      if (typeof inner === 'string') return space() + text(inner) + space();
      if (Array.isArray(inner)) return `${space()}[${inner.map(write).join(',')}]${space()}`;
      if (typeof inner !== 'object' || inner === null) return space() + (JSON.stringify(inner) ?? 'null') + space();
      const entries = Object.entries(inner);
      if (entries.length > 0 && chance() < 5) entries.push(entries[chance() % entries.length] as [string, unknown]);
      return `${space()}{${entries.map(([key, item]) => `${space()}${text(key)}:${write(item)}`).join(',')}}${space()}`;
    };
    return write(value);
  });

export const jsonText = odd.chain(spelled);
/** A JSON text with a few characters changed: mostly none any more, and then only just. */
export const damaged = fc
  .tuple(
    jsonText,
    fc.array(fc.tuple(fc.nat(), fc.constantFrom(...'"\\{}[],:0-.e \t\0', '\\u0000')), { maxLength: 3 }),
    fc.boolean(),
  )
  .map(([text, edits, insert]) =>
    edits.reduce((now, [place, character]) => {
      const at = place % (now.length + 1);
      return now.slice(0, at) + character + now.slice(insert ? at : at + 1);
    }, text),
  );
