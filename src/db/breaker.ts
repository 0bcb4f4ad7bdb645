/**
 * The circuit breaker around reads that a decision waits for: while the database fails, callers hear so at once
 * instead of queueing for it, and one request at a time tries whether it is back.
 */

import CircuitBreaker from 'opossum';
import type { Deadline } from '../deadline.ts';
import { Failure } from '../errors.ts';
import { databaseFailure } from './connect.ts';

/** Runs a read. @throws Failure UNAVAILABLE (failed, open, or too many under way) or DEADLINE_EXCEEDED. */
export type Breaker = <T>(read: () => Promise<T>, deadline: Deadline) => Promise<T>;

/** Reads under way at most. Beyond it the pool's queue could not be served within any deadline. */
const CAPACITY = 2000;

/**
 * No fallback, no cache, no coalescing: each of them could answer with what was true before.
 * No timeout either, because opossum's leaves the call running: the deadline and the statement's own limits end it.
 */
export function createBreaker(): Breaker & { readonly state: () => 'open' | 'halfOpen' | 'closed' } {
  const circuit = new CircuitBreaker((read: () => Promise<unknown>) => read(), {
    timeout: false,
    capacity: CAPACITY,
    errorThresholdPercentage: 50,
    volumeThreshold: 10,
    rollingCountTimeout: 2000,
    rollingCountBuckets: 10,
    resetTimeout: 500,
  });
  const breaker: Breaker = async <T>(read: () => Promise<T>, deadline: Deadline) => {
    try {
      return (await circuit.fire(() => deadline.race(read()))) as T;
    } catch (error) {
      throw refusals[(error as { code?: string }).code ?? '']?.(error) ?? databaseFailure(error);
    }
  };
  const state = () => (circuit.opened ? 'open' : circuit.halfOpen ? 'halfOpen' : 'closed');
  return Object.assign(breaker, { state });
}

const refusals: Record<string, (cause: unknown) => Failure> = {
  EOPENBREAKER: (cause) =>
    new Failure('UNAVAILABLE', 'The database is failing; the service asks it again shortly.', { cause }),
  ESEMLOCKED: (cause) =>
    new Failure('UNAVAILABLE', 'Too many questions are waiting. Ask again after Retry-After.', { cause }),
};
