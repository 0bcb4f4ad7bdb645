/** Hashes of texts that may have 16 MiB: piece by piece, so that the caller can work in slices. */

import { createHash, type Hash } from 'node:crypto';
import { decisiveFiles, type PolicyTexts } from './files.ts';

const PIECE = 65_536;

/** Names and texts are length-prefixed, so that no two folders share the bytes that are hashed. */
export function* digestOf(texts: PolicyTexts): Generator<void, string> {
  const hash = createHash('sha256');
  for (const name of decisiveFiles(texts)) {
    for (const part of [name, texts.get(name) ?? '']) {
      hash.update(`${Buffer.byteLength(part)}:`);
      yield* update(hash, part);
    }
  }
  return `sha256:${hash.digest('hex')}`;
}

/** The SHA-256 of a text in UTF-8, in hex. */
export function* hashOf(text: string): Generator<void, string> {
  const hash = createHash('sha256');
  yield* update(hash, text);
  return hash.digest('hex');
}

function* update(hash: Hash, text: string): Generator<void> {
  for (let from = 0; from < text.length; ) {
    // The two halves of a character are encoded together, or not at all.
    const to = isFirstHalf(text.charCodeAt(from + PIECE - 1)) ? from + PIECE - 1 : from + PIECE;
    hash.update(text.slice(from, to));
    from = to;
    yield;
  }
}

const isFirstHalf = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;
