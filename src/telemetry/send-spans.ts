/** Sends spans to a collector: OTLP over HTTP, one message a call, which waits no longer than it is told. */

import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/** Resolves with how many of them the collector refused. @throws NotSent */
export type SendSpans = (spans: readonly ReadableSpan[], signal: AbortSignal) => Promise<number>;

/** The collector did not take a message. The text holds nothing of it. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
  /** Whether it may take the same message later (OTLP: "Retryable Response Codes"; and no answer at all). */
  readonly mayRetry: boolean;
  /** Milliseconds before which not to ask again. */
  readonly afterMs: number;

  constructor(
    message: string,
    { mayRetry, afterMs = 0, cause }: { mayRetry: boolean; afterMs?: number; cause?: unknown },
  ) {
    super(message, { cause });
    this.mayRetry = mayRetry;
    this.afterMs = afterMs;
  }
}

interface Collector {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly protocol: 'http/protobuf' | 'http/json';
  readonly compression: 'none' | 'gzip';
  readonly timeoutMs: number;
}

const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** Of an answer, that are read. */
const MOST_BYTES = 65_536;
/** Most that is heeded of Retry-After. */
const LONGEST_WAIT_MS = 30_000;
const zip = promisify(gzip);

export function spanSender({ url, headers, protocol, compression, timeoutMs }: Collector): SendSpans {
  const serializer = protocol === 'http/json' ? JsonTraceSerializer : ProtobufTraceSerializer;
  const type = protocol === 'http/json' ? 'application/json' : 'application/x-protobuf';
  const encoding = compression === 'gzip' ? { 'Content-Encoding': 'gzip' } : {};
  return async (spans, signal) => {
    const message = serializer.serializeRequest([...spans]);
    if (!message) throw new NotSent('spans could not be written', { mayRetry: false });
    const body = compression === 'gzip' ? await zip(message) : message;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    let response: Response;
    let answer: Uint8Array;
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: { ...headers, 'Content-Type': type, ...encoding },
        body: new Uint8Array(body),
        signal: limit,
        redirect: 'manual',
      });
      answer = await beginningOf(response);
    } catch (cause) {
      throw new NotSent('the collector did not answer', { mayRetry: true, cause });
    }
    const { ok, status } = response;
    if (!ok) {
      const seconds = Number(response.headers.get('retry-after') ?? 0);
      const afterMs = Number.isFinite(seconds) ? Math.min(seconds * 1000, LONGEST_WAIT_MS) : 0;
      throw new NotSent(`the collector answered ${status}`, { mayRetry: RETRYABLE.has(status), afterMs });
    }
    return refusedIn(serializer, answer, spans.length);
  };
}

/** The body, decompressed, without what is beyond `MOST_BYTES`: it comes from elsewhere, and may have no end. */
async function beginningOf({ body }: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of (body ?? []) as AsyncIterable<Uint8Array>) {
    parts.push(part);
    length += part.length;
    // Leaving the loop cancels the body, and with it the connection.
    if (length > MOST_BYTES) break;
  }
  return Buffer.concat(parts).subarray(0, MOST_BYTES);
}

/** A message that was taken may have an answer of any form: what cannot be read refuses nothing. */
function refusedIn(serializer: typeof JsonTraceSerializer, answer: Uint8Array, sent: number): number {
  try {
    const { partialSuccess } = answer.length > 0 ? serializer.deserializeResponse(answer) : {};
    const refused = Number(partialSuccess?.rejectedSpans ?? 0);
    return Number.isSafeInteger(refused) ? Math.min(Math.max(refused, 0), sent) : 0;
  } catch {
    return 0;
  }
}
