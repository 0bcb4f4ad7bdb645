/** Measures the answer times of the HTTP servers in this process, and the longest stall of its event loop. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface Times {
  /** Milliseconds from the head of each request to the end of its answer, in ascending order. */
  readonly milliseconds: readonly number[];
  /** The longest event-loop stall, whatever its cause. */
  readonly stalledMs: number;
}

const RESOLUTION_MS = 2;

export async function timesWithin<T>(run: () => Promise<T>): Promise<{ value: T; times: Times }> {
  const since = new WeakMap<object, number>();
  const milliseconds: number[] = [];
  const began = (message: unknown): void => {
    since.set((message as { request: object }).request, performance.now());
  };
  const ended = (message: unknown): void => {
    const start = since.get((message as { request: object }).request);
    if (start !== undefined) milliseconds.push(performance.now() - start);
  };
  const stalls = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  subscribe('http.server.request.start', began);
  subscribe('http.server.response.finish', ended);
  stalls.enable();
  try {
    const value = await run();
    const stalledMs = Math.max(0, stalls.max / 1e6 - RESOLUTION_MS);
    return { value, times: { milliseconds: milliseconds.sort((a, b) => a - b), stalledMs } };
  } finally {
    stalls.disable();
    unsubscribe('http.server.request.start', began);
    unsubscribe('http.server.response.finish', ended);
  }
}

export const quantile = ({ milliseconds }: Times, share: number): number =>
  milliseconds[Math.min(milliseconds.length - 1, Math.floor(milliseconds.length * share))] ?? 0;
