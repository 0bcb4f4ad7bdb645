/** Reads the body of a request: media type and size limit. What is in it is for `parseJson`. */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Settle } from '../awaitable.ts';
import { Failure } from '../errors.ts';
import { invalid } from '../input/json.ts';

/**
 * How many bytes beyond the size limit are read and dropped. A client that is still sending would not read the 413: closing
 * the socket with unread data resets the connection.
 */
export const DRAIN_BYTES = 1024 * 1024;

const JSON_TYPE = /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i;

/** Whether a body with these headers is JSON as it stands. */
export const isJson = (headers: IncomingHttpHeaders): boolean =>
  JSON_TYPE.test(headers['content-type'] ?? '') && headers['content-encoding'] === undefined;

/** Settles with the bytes of the body, or with Failure UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE or INVALID_REQUEST, checked in that order. */
export function readBody(request: IncomingMessage, maxBytes: number, settle: Settle<Buffer>): void {
  if (!isJson(request.headers)) {
    settle(new Failure('UNSUPPORTED_MEDIA_TYPE'));
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  let settled = false;
  const end = (outcome: Buffer | Failure): void => {
    settled = true;
    settle(outcome);
  };
  const tooLarge = () =>
    new Failure('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes. Send less at a time.`);
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else chunks.length = 0;
    if (size > maxBytes + DRAIN_BYTES && !settled) {
      request.pause();
      end(tooLarge());
    }
  });
  request.on('end', () => {
    if (settled) return;
    if (size > maxBytes) end(tooLarge());
    else end(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size));
  });
  // It follows 'end' too, and any error of the connection.
  request.on('close', () => {
    if (!settled) end(invalid('', 'the body was cut short'));
  });
}
