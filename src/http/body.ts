/** Reads the body of a request: media type, size limit, strict JSON. */

import type { IncomingMessage } from 'node:http';
import { Failure } from '../errors.ts';
import { invalid, parseJson } from '../input/json.ts';

/**
 * How many bytes beyond the size limit are read and dropped. A client that is still sending would not read the 413: closing
 * the socket with unread data resets the connection.
 */
export const DRAIN_BYTES = 1024 * 1024;

const JSON_TYPE = /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i;

/** @throws Failure UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE or INVALID_REQUEST, checked in that order */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  if (!JSON_TYPE.test(request.headers['content-type'] ?? '') || request.headers['content-encoding'] !== undefined) {
    throw new Failure('UNSUPPORTED_MEDIA_TYPE');
  }
  return parseJson(await readBytes(request, maxBytes));
}

function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let ended = false;
    const tooLarge = () =>
      new Failure('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes. Send less at a time.`);
    const cutShort = (): void => {
      // 'close' follows 'end' too, and a Failure costs its stack trace: 9 microseconds.
      if (!ended) reject(invalid('', 'the body was cut short'));
    };
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else chunks.length = 0;
      if (size > maxBytes + DRAIN_BYTES) {
        request.pause();
        reject(tooLarge());
      }
    });
    request.on('end', () => {
      ended = true;
      if (size > maxBytes) reject(tooLarge());
      else resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size));
    });
    request.on('error', cutShort);
    request.on('close', cutShort);
  });
}
