/**
 * The example of docs/audit.md: its parts, and how it is written anew. After a column was added or the format changed, edit its
 * record by hand; `UPDATE_DOCS=1 npx mocha test/audit/docs.test.ts` then writes the digests, bytes and signed lines that follow.
 */

import { COLUMNS, type Column } from '../../src/audit/columns.ts';
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
import {
  FIRST_OPENING,
  FORMAT,
  field,
  type LogRecord,
  personalDigest,
  RECORD_HASHES,
} from '../../src/audit/format/record-hash.ts';
import { loadSigner, makeSigningKey, signatureChecker } from '../../src/audit/format/signatures.ts';
import { canonicalJson } from './verify/independent.ts';

export interface Example {
  /** The record as texts, its facts in their canonical form. */
  readonly row: Readonly<Record<string, string | null>>;
  /** Lower-case hex. */
  readonly hash: string;
  /** The beginning of the bytes that are hashed, as the page shows them. */
  readonly bytes: string;
  /** Lines of the file of checkpoints. */
  readonly checkpoint: string;
  readonly pruned: string;
}

const HASH = /(?<=and the hash is `)[0-9a-f]{64}(?=`)/;
const BYTES = /(?<=^ {4})69 71 .*$/m;
const BYTES_OF_BOOT = 12;

export function exampleOf(page: string): Example {
  const [record = '', checkpoint = '', pruned = ''] = [...page.matchAll(/```json\n(.*?)\n```/gs)].map(
    ([, json]) => json,
  );
  const { facts, ...texts } = JSON.parse(record) as Record<string, string | null> & { facts: unknown };
  const row = { ...texts, facts: canonicalJson(facts) };
  return { row, hash: HASH.exec(page)?.[0] ?? '', bytes: BYTES.exec(page)?.[0] ?? '', checkpoint, pruned };
}

/** The salt of the example is the bytes 00 to 0F. */
export const exampleDigest = (): string =>
  personalDigest(Buffer.from(Array.from({ length: 16 }, (_, byte) => byte)), '203.0.113.7', 'iqra/1.0').toString('hex');

/** The row as the service has it: numbers are numbers. */
export function recordOf(row: Example['row']): LogRecord {
  const columns: Readonly<Record<string, Column>> = COLUMNS;
  const isNumber = (name: string): boolean => ['bigint', 'integer', 'smallint'].includes(columns[name]?.type ?? '');
  const entries = Object.entries(row).map(([name, text]) => [
    name,
    text !== null && isNumber(name) ? Number(text) : text,
  ]);
  return Object.fromEntries(entries) as LogRecord;
}

/** The page with everything that follows from its record as it should be. What is right stays as it is, signatures too. */
export async function withRightExample(page: string): Promise<string> {
  const { row, checkpoint, pruned } = exampleOf(page);
  const digest = exampleDigest();
  const record = recordOf({ ...row, personal_digest: digest });
  const hash = RECORD_HASHES.get(FORMAT)?.(FIRST_OPENING, record).toString('hex') ?? '';
  const old = parseLine(checkpoint) as Checkpoint;
  const heads = createHeads();
  heads.put(old.heads.map((head) => ({ ...head, format: FORMAT, hash })));
  const root = heads.root();
  const lines = [
    printLine(await resigned({ ...old, heads: [...heads.all()], root }, signedBytes)),
    printPruned(await resigned({ ...(parseLine(pruned) as Pruned), root }, prunedBytes)),
  ];
  return page
    .replace(/(?<="personal_digest": ")[0-9a-f]{64}/, digest)
    .replace(HASH, hash)
    .replace(
      BYTES,
      `${hex(`iqra-authz/decision/${FORMAT}\n`)}  00 .. 00  ${hex(field(record.boot)).slice(0, 3 * BYTES_OF_BOOT)}..`,
    )
    .replace(checkpoint, () => lines[0] ?? '')
    .replace(pruned, () => lines[1] ?? '');
}

const hex = (latin1: string): string =>
  Buffer.from(latin1, 'latin1')
    .toString('hex')
    .replace(/..(?=.)/g, '$& ');

/** Signed with a new key, which is then forgotten, unless its signature is right. */
async function resigned<T extends Checkpoint | Pruned>(line: T, bytesOf: (line: T) => Buffer): Promise<T> {
  if (signatureChecker()(line.publicKey, bytesOf(line), line.signature)) return line;
  const { publicKey, sign } = await loadSigner(makeSigningKey());
  return { ...line, publicKey, signature: sign(bytesOf(line)) };
}
