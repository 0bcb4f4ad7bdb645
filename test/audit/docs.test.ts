/** docs/audit.md can be verified by: its example is what the service would write, and its lists are complete. */

import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { COLUMN_NAMES } from '../../src/audit/columns.ts';
import {
  type Checkpoint,
  type Pruned,
  parseLine,
  printLine,
  printPruned,
  prunedBytes,
  signedBytes,
} from '../../src/audit/format/checkpoint-line.ts';
import { createHeads } from '../../src/audit/format/heads.ts';
import { FIRST_OPENING, recordHash } from '../../src/audit/format/record-hash.ts';
import { VERIFY_FINDING_CODES } from '../../src/audit/verify/findings.ts';
import { ROOT } from '../support/cli.ts';
import { exampleDigest, exampleOf, recordOf, withRightExample } from './docs-example.ts';
import { encode, hashOfRecord, sha256 } from './verify/independent.ts';

const FILE = path.join(ROOT, 'docs', 'audit.md');
if (process.env['UPDATE_DOCS'] === '1') writeFileSync(FILE, await withRightExample(readFileSync(FILE, 'utf8')));
const PAGE = readFileSync(FILE, 'utf8');
const EDITED = PAGE.replace('"request_id": null', '"request_id": "r-1"').replace(/(?<="personal_digest": ")../, '00');
const REWRITTEN = await withRightExample(EDITED);

describe('docs/audit.md', () => {
  it('is left alone by UPDATE_DOCS=1 where its example is right', async () => {
    expect(EDITED).to.not.equal(PAGE);
    expect(REWRITTEN).to.not.equal(EDITED);
    expect(await withRightExample(PAGE)).to.equal(PAGE);
  });

  for (const [name, page] of [
    ['as it is', PAGE],
    ['as UPDATE_DOCS=1 writes it once its record was edited', REWRITTEN],
  ] as const)
    describe(`${name},`, () => {
      const { row, hash, bytes: shown, checkpoint: line, pruned: prunedLine } = exampleOf(page);

      it('shows a record with the hash that the service and the independent verifier give it', () => {
        expect(hashOfRecord(Buffer.alloc(32), row).toString('hex')).to.equal(hash);
        expect(recordHash(FIRST_OPENING, recordOf(row)).toString('hex')).to.equal(hash);
        expect(recordOf(row)).to.deep.include({ seq: 1, facts_version: 1, duration_us: 812 });
        expect(exampleDigest()).to.equal(row['personal_digest']);
      });

      it('shows the bytes that are hashed', () => {
        const bytes = Buffer.concat([
          Buffer.from('iqra-authz/decision/1\n'),
          Buffer.alloc(32),
          encode('', row['boot'] ?? '').subarray(1),
        ]);
        const begin = Buffer.from(
          shown.replace('00 .. 00', '00 '.repeat(32)).replace('..', '').replace(/\s/g, ''),
          'hex',
        );
        expect(begin.length).to.be.above(60);
        expect(bytes.subarray(0, begin.length).toString('hex')).to.equal(begin.toString('hex'));
      });

      it('shows a checkpoint of that record, rightly signed', () => {
        const checkpoint = parseLine(line) as Checkpoint;
        expect(printLine(checkpoint)).to.equal(line);
        const { heads, publicKey, signature, root } = checkpoint;
        expect(heads[0]?.hash).to.equal(hash);
        const { boot = '', day = '', format = 0, opening = '', records = 0 } = heads[0] ?? {};
        const leaf = encode('iqra-authz/head/1', boot, day, String(format), opening, String(records), hash);
        expect(sha256(Buffer.of(0), leaf).toString('hex')).to.equal(root);
        const ours = createHeads();
        ours.put(heads);
        expect(ours.root()).to.equal(root);
        const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
        expect(verifySignature(null, signedBytes(checkpoint), key, Buffer.from(signature, 'base64'))).to.equal(true);
      });

      it('shows the statement that its day was pruned, rightly signed', () => {
        const statement = parseLine(prunedLine) as Pruned;
        expect(printPruned(statement)).to.equal(prunedLine);
        const { day, at, records, root, publicKey, signature } = statement;
        expect(root).to.equal((parseLine(line) as Checkpoint).root);
        const signed = encode('iqra-authz/pruned/1', day, at, String(records), root);
        expect(prunedBytes(statement).toString('hex')).to.equal(signed.toString('hex'));
        const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
        expect(verifySignature(null, signed, key, Buffer.from(signature, 'base64'))).to.equal(true);
      });
    });

  it('explains every finding and every column, and no other', () => {
    const codes = [...PAGE.matchAll(/^\| ([a-z]+) \| [^|]+ \| [^|]+ \|$/gm)].map((match) => match[1]);
    expect(codes.filter((code) => code !== 'finding')).to.deep.equal([...VERIFY_FINDING_CODES]);
    const section = PAGE.slice(PAGE.indexOf('| column | holds |'), PAGE.indexOf('## What is promised'));
    const columns = [...section.matchAll(/^\| ([a-z_, ]+) \|/gm)].flatMap((match) => (match[1] ?? '').split(', '));
    expect(columns.filter((column) => column !== 'column')).to.have.members([...COLUMN_NAMES]);
  });
});
