/** docs/audit.md can be verified by: its example is what the service would write, and its lists are complete. */

import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { readFileSync } from 'node:fs';
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
import { FIRST_OPENING, type LogRecord, personalDigest, recordHash } from '../../src/audit/format/record-hash.ts';
import { VERIFY_FINDING_CODES } from '../../src/audit/verify/findings.ts';
import { ROOT } from '../support/cli.ts';
import { canonicalJson, encode, hashOfRecord, sha256 } from './verify/independent.ts';

const PAGE = readFileSync(path.join(ROOT, 'docs', 'audit.md'), 'utf8');
const [record, line, prunedLine] = [...PAGE.matchAll(/```json\n(.*?)\n```/gs)].map((match) => match[1] ?? '');
const example = JSON.parse(record ?? '') as Record<string, string | null> & { facts: unknown };
const row = { ...example, facts: canonicalJson(example.facts) };
const hash = /and the hash is `([0-9a-f]{64})`/.exec(PAGE)?.[1] ?? '';

describe('docs/audit.md', () => {
  it('shows a record with the hash that the service and the independent verifier give it', () => {
    expect(hashOfRecord(Buffer.alloc(32), row).toString('hex')).to.equal(hash);
    const written = { ...row, seq: 1, facts_version: 1, duration_us: 812 } as unknown as LogRecord;
    expect(recordHash(FIRST_OPENING, written).toString('hex')).to.equal(hash);
    const salt = Buffer.from(Array.from({ length: 16 }, (_, byte) => byte));
    expect(personalDigest(salt, '203.0.113.7', 'iqra/1.0').toString('hex')).to.equal(example['personal_digest']);
  });

  it('shows the bytes that are hashed', () => {
    const shown = /^ {4}(69 71 .*)$/m.exec(PAGE)?.[1]?.replace('00 .. 00', '00 '.repeat(32)).replace('..', '') ?? '';
    const bytes = Buffer.concat([
      Buffer.from('iqra-authz/decision/1\n'),
      Buffer.alloc(32),
      encode('', example['boot'] ?? '').subarray(1),
    ]);
    const begin = Buffer.from(shown.replace(/\s/g, ''), 'hex');
    expect(begin.length).to.be.above(60);
    expect(bytes.subarray(0, begin.length).toString('hex')).to.equal(begin.toString('hex'));
  });

  it('shows a checkpoint of that record, rightly signed', () => {
    const checkpoint = parseLine(line ?? '') as Checkpoint;
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
    const statement = parseLine(prunedLine ?? '') as Pruned;
    expect(printPruned(statement)).to.equal(prunedLine);
    const { day, at, records, root, publicKey, signature } = statement;
    expect(root).to.equal((parseLine(line ?? '') as Checkpoint).root);
    const signed = encode('iqra-authz/pruned/1', day, at, String(records), root);
    expect(prunedBytes(statement).toString('hex')).to.equal(signed.toString('hex'));
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
    expect(verifySignature(null, signed, key, Buffer.from(signature, 'base64'))).to.equal(true);
  });

  it('explains every finding and every column, and no other', () => {
    const codes = [...PAGE.matchAll(/^\| ([a-z]+) \| [^|]+ \| [^|]+ \|$/gm)].map((match) => match[1]);
    expect(codes.filter((code) => code !== 'finding')).to.deep.equal([...VERIFY_FINDING_CODES]);
    const section = PAGE.slice(PAGE.indexOf('| column | holds |'), PAGE.indexOf('## What is promised'));
    const columns = [...section.matchAll(/^\| ([a-z_, ]+) \|/gm)].flatMap((match) => (match[1] ?? '').split(', '));
    expect(columns.filter((column) => column !== 'column')).to.have.members([...COLUMN_NAMES]);
  });
});
