/**
 * The circuit breaker around the reads that a decision waits for: while the database fails, requests fail at once instead
 * of queueing for it, and one request at a time tests whether it is back (half-open).
 */

import CircuitBreaker from 'opossum';
import type { Deadline } from '../deadline.ts';
import { Failure } from '../errors.ts';
import { gauge, type Metric, type Sample } from '../metric.ts';
import { databaseFailure } from './failure.ts';
import { despiteRaces } from './write-outcome.ts';

/** Runs a read. @throws Failure UNAVAILABLE (open, or too many under way), or what `databaseFailure` makes of the read's error */
export type Breaker = <T>(read: () => Promise<T>, deadline: Deadline) => Promise<T>;

const STATES = ['closed', 'halfOpen', 'open'] as const;

export type BreakerState = (typeof STATES)[number];

/** Most reads in flight. More could not get a connection from the pool within any deadline. */
const CAPACITY = 2000;

/**
 * Without opossum's fallback, cache and coalescing: each could answer with a stale value. Without its timeout, which
 * leaves the call running: the deadline and statement_timeout end a read.
 */
export function createBreaker(): Breaker & { readonly state: () => BreakerState } {
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
      return (await circuit.fire(() => deadline.race(despiteRaces(read)))) as T;
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

/** Of `breakers`, each under its name. */
export function breakerMetrics(breakers: Readonly<Record<string, { readonly state: () => BreakerState }>>): Metric[] {
  const states = (): Sample[] =>
    Object.entries(breakers).flatMap(([name, breaker]) => {
      const now = breaker.state();
      return STATES.map((state): Sample => [Number(state === now), name, state]);
    });
  return [gauge('breaker_state', '1 for the state that a circuit breaker is in.', states, ['breaker', 'state'])];
}
