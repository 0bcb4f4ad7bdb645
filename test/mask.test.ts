/** Secrets in texts: masked wherever they stand and however they are percent-encoded, by a plain oracle; nothing else is. */

import { expect } from 'chai';
import fc from 'fast-check';
import { createToken } from '../src/credentials/token.ts';
import { holdsPieceOf, holdsSecret, maskSecrets } from '../src/mask.ts';
import { BASE62, checksum, PREFIX, type TokenKind } from '../src/token-form.ts';
import { SEED, times } from './policy/texts.ts';

const digits = (length: number) =>
  fc.string({ unit: fc.constantFrom(...BASE62), minLength: length, maxLength: length });
const kind = fc.constantFrom<TokenKind>('apiKey', 'caller');
const token = fc.tuple(kind, digits(30)).map(([of, random]) => PREFIX[of] + random + checksum(PREFIX[of] + random));
const bare = fc.tuple(kind, digits(30)).map(([of, random]) => random + checksum(PREFIX[of] + random));

/** Percent-encodes those characters whose turn it is, and then all percent signs, `depth` times. */
const encoded = (text: string, depth: number, turns: readonly boolean[]): string => {
  let all = text;
  for (let level = 0; level < depth; level += 1) {
    all = [...all]
      .map((one, at) => (one === '%' || (level === 0 && turns[at % turns.length]) ? encodeByte(one) : one))
      .join('');
  }
  return all;
};
const encodeByte = (one: string): string => `%${one.charCodeAt(0).toString(16).padStart(2, '0')}`;
const encoding = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.array(fc.boolean(), { minLength: 1, maxLength: 50 }));

/** What may stand around: of no letter, digit, escape or underscore, that would be part of the secret. */
const around = fc.string({
  unit: fc.constantFrom(' ', '/', '"', '-', ':', '.', 'é', '\n', '\u202e', '🔑'),
  maxLength: 40,
});

describe(`secrets in a text (seed ${SEED})`, () => {
  it('are masked with their prefix, wherever they stand and however they are encoded', () => {
    fc.assert(
      fc.property(around, token, around, encoding, (before, secret, after, [depth, turns]) => {
        const text = before + encoded(secret, depth, turns) + after;
        expect(maskSecrets(text)).to.equal(`${before}iqra_***${after}`);
        expect(holdsSecret(text)).to.equal(true);
      }),
      times(1000),
    );
  });

  it('are masked without their prefix, by their checksum', () => {
    fc.assert(
      fc.property(around, bare, around, encoding, (before, secret, after, [depth, turns]) => {
        expect(maskSecrets(before + encoded(secret, depth, turns) + after)).to.equal(`${before}***${after}`);
      }),
      times(1000),
    );
  });

  it('are masked in the middle of other letters and digits, at any offset', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), digits(100), bare, digits(50), (length, before, secret, after) => {
        expect(maskSecrets(before.slice(0, length) + secret + after)).to.equal(`${before.slice(0, length)}***${after}`);
      }),
      times(300),
    );
  });

  it('are all masked, and none of 24 consecutive characters of one is left', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(token, bare, around), { maxLength: 8 }), encoding, (parts, [depth, turns]) => {
        const masked = maskSecrets(encoded(parts.join(' '), depth, turns));
        for (const part of parts) if (holdsSecret(part)) expect(holdsPieceOf(part, masked), masked).to.equal(false);
        expect(maskSecrets(masked)).to.equal(masked);
      }),
      times(500),
    );
  });

  it('are the only thing that is masked', () => {
    const others = fc.oneof(
      fc.string(),
      digits(36),
      fc.uuid(),
      fc.string({ unit: fc.constantFrom('a', 'f', '0', '%', '2', '5', '_', 'iqra_'), maxLength: 30 }).filter(
        // Short of a prefix with 24 digits behind it.
        (text) => !/iqra_[0-9a-z%]{24}/.test(text),
      ),
    );
    fc.assert(
      fc.property(others, (text) => {
        expect(maskSecrets(text)).to.equal(text);
        expect(holdsSecret(text)).to.equal(false);
      }),
      times(2000),
    );
    const hint = 'iqra_AbCd...wxyz';
    const sentence = 'Send a live caller token as "Authorization: Bearer iqra_svc_...".';
    for (const text of ['', hint, sentence, 'f'.repeat(64), `sha256:${'0'.repeat(64)}`]) {
      expect(maskSecrets(text)).to.equal(text);
    }
  });

  it('are masked when they are cut, as long as 24 characters follow the prefix', () => {
    const key = createToken('apiKey');
    expect(maskSecrets(key.slice(0, 5 + 24))).to.equal('iqra_***');
    expect(maskSecrets(key.slice(0, 5 + 23))).to.equal(key.slice(0, 5 + 23));
  });

  it('take time linear in the text: eight times as long for one of eight times the length, not sixty-four times', () => {
    const hostile = ['x', `${'x'.repeat(23)} `, '%25', '%', 'iqra_', `iqra_${'0'.repeat(24)} `, '%2525'];
    const microseconds = (unit: string, length: number): number => {
      const text = unit.repeat(Math.ceil(length / unit.length));
      const since = process.cpuUsage();
      holdsPieceOf(text, maskSecrets(text));
      const { user, system } = process.cpuUsage(since);
      return user + system;
    };
    for (const unit of hostile) {
      microseconds(unit, 20_000);
      const [short, long] = [microseconds(unit, 20_000), microseconds(unit, 160_000)];
      expect(long, unit).to.be.below(32 * short + 50_000);
    }
  });
});

describe(`a piece of a credential (seed ${SEED})`, () => {
  it('is found in clear and percent-encoded, from 24 characters on', () => {
    const piece = fc
      .integer({ min: 24, max: 36 })
      .chain((length) => fc.tuple(fc.integer({ min: 0, max: 36 - length }), fc.constant(length)));
    fc.assert(
      fc.property(token, piece, around, around, encoding, (secret, [at, length], before, after, [depth, turns]) => {
        const [, letters = ''] = /([0-9A-Za-z]{36})$/.exec(secret) ?? [];
        const part = letters.slice(at, at + length);
        expect(holdsPieceOf(`Token ${secret}`, before + encoded(part, depth, turns) + after)).to.equal(true);
        expect(holdsPieceOf(`Token ${secret}`, before + encoded(part.slice(0, 23), depth, turns) + after)).to.equal(
          false,
        );
      }),
      times(1000),
    );
  });

  it('is not found in the text of another', () => {
    fc.assert(
      fc.property(token, token, fc.uuid(), (one, other, id) => {
        fc.pre(one !== other);
        for (const text of [other, id, id.replaceAll('-', ''), '', one.slice(0, 5)]) {
          expect(holdsPieceOf(one, text)).to.equal(false);
        }
      }),
      times(300),
    );
  });
});
