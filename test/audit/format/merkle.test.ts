/** The Merkle tree against the vectors of the reference implementation of RFC 6962, and its changes against a tree made anew. */

import { createHash, randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { createMerkleTree, leafHash } from '../../../src/audit/format/merkle.ts';

const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
/** Of the first 0, 1, .. 8 of the inputs. */
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

/** Section 2.1, word for word. */
function treeHash(leaves: readonly Buffer[]): Buffer {
  const sha256 = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
  const [only] = leaves;
  if (only === undefined) return sha256();
  if (leaves.length === 1) return sha256(Buffer.of(0), only);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(Buffer.of(1), treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split)));
}

describe('the Merkle tree', () => {
  it('has the roots of the reference', () => {
    const leaves = INPUTS.map((hex) => Buffer.from(hex, 'hex'));
    for (const [size, root] of ROOTS.entries()) {
      const tree = createMerkleTree();
      tree.replaceFrom(0, leaves.slice(0, size).map(leafHash));
      expect(tree.root().toString('hex'), `of ${size}`).to.equal(root);
      expect(treeHash(leaves.slice(0, size)).toString('hex'), `of ${size}`).to.equal(root);
    }
  });

  it('is the same after any changes of its end as one made anew', () => {
    const changes = fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(changes, (steps) => {
        const tree = createMerkleTree();
        const leaves: Buffer[] = [];
        for (const [place, count] of steps) {
          const start = Math.min(place, leaves.length);
          const added = Array.from({ length: count }, () => randomBytes(8));
          leaves.splice(start, leaves.length, ...added);
          tree.replaceFrom(start, added.map(leafHash));
          expect(tree.root().toString('hex')).to.equal(treeHash(leaves).toString('hex'));
        }
      }),
    );
  });
});
