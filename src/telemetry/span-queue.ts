/**
 * Spans on their way to the collector. Bounded, and apart from everything that is answered: whatever the collector does, a span is sent later or
 * lost, and counted; nobody waits for it.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Log } from '../log.ts';
import { NotSent, type SendSpans } from './send-spans.ts';

/** What became of spans. `dropped`: the queue was full. `failed`: the collector did not take them. */
export type SpanCounts = Readonly<Record<'exported' | 'failed' | 'dropped', number>>;

export interface SpanQueue extends SpanProcessor {
  readonly counts: () => SpanCounts;
}

interface Bounds {
  /** Most spans that wait. */
  readonly most?: number;
  /** Spans in one message: to write it keeps the process from all else for some 2 ms. */
  readonly batch?: number;
  /** Milliseconds for which spans are gathered. */
  readonly everyMs?: number;
  /** Milliseconds between the tries of a message. */
  readonly retryMs?: readonly number[];
  /** Milliseconds in which all that waits is to be sent at the end. */
  readonly closeMs?: number;
}

export function createSpanQueue(send: SendSpans, log: Log, bounds: Bounds = {}): SpanQueue {
  const { most = 2048, batch = 128, everyMs = 1000, retryMs = [1000, 2000, 4000], closeMs = 3000 } = bounds;
  const counts = { exported: 0, failed: 0, dropped: 0 };
  const waiting: ReadableSpan[] = [];
  /** Aborted when no span is to come any more, and when no more time is given to those that wait. */
  const closing = new AbortController();
  const end = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  /** Since the collector took the last message. */
  let lost = 0;

  const note = (spans: number, error: unknown): void => {
    if (lost === 0) log.warn({ error }, DOWN);
    counts.failed += spans;
    lost += spans;
  };

  /** Sends a message, several times where that may help. */
  const deliver = async (spans: readonly ReadableSpan[]): Promise<void> => {
    for (let tries = 0; ; tries += 1) {
      try {
        const refused = await send(spans, end.signal);
        counts.exported += spans.length - refused;
        if (refused > 0) return note(refused, new Error(`the collector refused ${refused} of ${spans.length} spans`));
        if (lost > 0) log.info({ lost }, 'traces are sent again');
        lost = 0;
        return;
      } catch (error) {
        const { mayRetry, afterMs } = error instanceof NotSent ? error : FINAL;
        const waitMs = mayRetry ? retryMs[tries] : undefined;
        if (waitMs === undefined || closing.signal.aborted) return note(spans.length, error);
        const options = { signal: closing.signal, ref: false };
        await sleep(Math.max(waitMs, afterMs), undefined, options).catch(() => undefined);
      }
    }
  };

  /** Sends full messages; once it is closing, all that wait. */
  const work = async (): Promise<void> => {
    do {
      const spans = waiting.splice(0, batch);
      if (end.signal.aborted) note(spans.length, end.signal.reason);
      else await deliver(spans);
    } while (waiting.length >= batch || (closing.signal.aborted && waiting.length > 0));
  };

  const start = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    working ??= work().finally(() => {
      working = undefined;
      schedule();
    });
    return working;
  };

  const schedule = (): void => {
    if (waiting.length === 0 || working || closing.signal.aborted) return;
    if (waiting.length >= batch) void start();
    else timer ??= setTimeout(start, everyMs).unref();
  };

  return {
    onStart: () => undefined,
    onEnd: (span) => {
      if (waiting.length >= most || closing.signal.aborted) counts.dropped += 1;
      else waiting.push(span);
      schedule();
    },
    forceFlush: async () => {
      await working;
      if (waiting.length > 0) await start();
    },
    shutdown: async () => {
      closing.abort();
      const limit = setTimeout(() => end.abort(), closeMs);
      await working;
      if (waiting.length > 0) await start();
      clearTimeout(limit);
      end.abort();
    },
    counts: () => counts,
  };
}

const FINAL = { mayRetry: false, afterMs: 0 };
const DOWN =
  'traces cannot be sent to the collector, and are lost; questions are answered all the same. Is OTEL_EXPORTER_OTLP_ENDPOINT right? ' +
  'This is said once, until they can';
