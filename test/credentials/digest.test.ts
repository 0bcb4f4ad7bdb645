/** The digests of keys and tokens are HMAC-SHA-256, whatever is digested under whatever secret. */

import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { createToken, digestOf, digestTextOf } from '../../src/credentials/token.ts';

describe('a digest', () => {
  it('is that of node:crypto, of tokens and of any other text, under short secrets and long ones', () => {
    const texts = fc.oneof(
      fc.constantFrom('apiKey', 'caller').map((kind) => createToken(kind as 'apiKey')),
      fc.string({ unit: 'binary', maxLength: 80 }),
      fc.string({ minLength: 60, maxLength: 70 }),
    );
    // Around the block of 64 bytes, beyond which HMAC takes the hash of a secret.
    const secrets = fc.uint8Array({ minLength: 1, maxLength: 70 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(secrets, fc.array(texts, { minLength: 1, maxLength: 5 }), (secret, all) => {
        const pepper = { id: 'x', secret };
        for (const text of all) {
          const expected = createHmac('sha256', secret).update(text).digest();
          expect(digestOf(pepper, text)).to.deep.equal(expected);
          expect(digestTextOf(pepper, text)).to.equal(expected.toString('latin1'));
        }
      }),
      { numRuns: 300 },
    );
  });
});
