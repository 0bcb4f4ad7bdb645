/** What checkpoints outside the database attest, for a restore: nothing, where they are not what the key has signed. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { placeOf, readAttested } from '../../../src/audit/checkpoint/attested.ts';
import { type Checkpoint, printLine, signedBytes } from '../../../src/audit/format/checkpoint-line.ts';
import { ADMINISTRATION, createHeads, type Head } from '../../../src/audit/format/heads.ts';
import { loadSigner, makeSigningKey, type Signer } from '../../../src/audit/format/signatures.ts';

const WRITER = '01234567-89ab-cdef-0123-456789abcdef';
const hex = (digit: string): string => digit.repeat(64);
const headOf = (records: number, hash: string): Head => ({
  ...ADMINISTRATION,
  format: 1,
  opening: hex('0'),
  records,
  hash,
});

function checkpointOf(signer: Signer, number: number, heads: readonly Head[]): Checkpoint {
  const all = createHeads();
  all.put(heads);
  const unsigned: Omit<Checkpoint, 'signature'> = {
    type: 'checkpoint',
    number,
    at: `2030-01-01T00:00:0${number}.000Z`,
    writer: WRITER,
    size: all.size(),
    root: all.root(),
    previous: null,
    heads: [...heads],
    publicKey: signer.publicKey,
  };
  return { ...unsigned, signature: signer.sign(signedBytes(unsigned)) };
}

describe('what checkpoints attest', () => {
  let folder: string;
  let signer: Signer;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-attested-'));
    signer = await loadSigner(makeSigningKey());
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const read = async (checkpoints: readonly Checkpoint[], keys?: ReadonlySet<string>) => {
    const file = path.join(folder, 'checkpoints.jsonl');
    await writeFile(file, `${checkpoints.map(printLine).join('\n')}\n\n{"torn":`);
    return readAttested([file], keys);
  };

  it('are the events that are signed for, and how far their chain went', async () => {
    const [first, second] = [headOf(3, hex('a')), headOf(7, hex('b'))];
    const attested = await read([checkpointOf(signer, 1, [first]), checkpointOf(signer, 2, [second])]);
    expect([...attested.events.keys()]).to.deep.equal([placeOf(3, hex('a')), placeOf(7, hex('b'))]);
    expect([...attested.longest.values()].map(({ head, by }) => [head.records, by.number])).to.deep.equal([[7, 2]]);
    expect([attested.last?.number, attested.refused]).to.deep.equal([2, []]);
  });

  it('are none of a checkpoint with another signature, key or heads, which is named', async () => {
    const sound = checkpointOf(signer, 1, [headOf(3, hex('a'))]);
    const other = await loadSigner(makeSigningKey());
    const forged: readonly (readonly [Checkpoint, RegExp])[] = [
      [{ ...sound, signature: other.sign(signedBytes(sound)) }, /signature that is wrong/],
      [{ ...sound, at: '2031-01-01T00:00:00.000Z' }, /signature that is wrong/],
      [checkpointOf(other, 1, [headOf(3, hex('a'))]), /key that is not accepted/],
      // Its root is signed, and these heads do not make it.
      [{ ...sound, heads: [headOf(3, hex('c'))] }, /root that is not the one of its heads/],
    ];
    for (const [checkpoint, says] of forged) {
      const attested = await read([checkpoint], new Set([signer.publicKey]));
      expect([attested.events.size, attested.longest.size, attested.last], String(says)).to.deep.equal([
        0,
        0,
        undefined,
      ]);
      expect(attested.refused).to.have.length(1);
      expect(attested.refused[0]).to.match(says).and.include('checkpoints.jsonl:1');
    }
  });
});
