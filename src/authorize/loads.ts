/**
 * What is known of each request before it is decided: what is stored of the key that it shows, or, of a key or user that it names, of each key
 * that it may be about; and how requests of which each may be the last are decided by it.
 */

import { type Awaitable, after } from '../awaitable.ts';
import type { Deadline } from '../deadline.ts';
import type { Known, LoadFacts, Question } from '../facts/load.ts';
import type { LoadNamed, Named } from '../facts/load-named.ts';
import type { Policy } from '../policy/decide.ts';
import type { Effect } from '../policy/row.ts';

/** A request that may name whose key it is about. */
type Request = Question & { readonly named?: Named | undefined };

/** Requests with what is known of each. */
export interface Loads<R extends Request> {
  readonly requests: readonly R[];
  readonly loaded: readonly Known[];
  /** Of those that name a key or a user, each key that it may be about; undefined: none names any. */
  readonly named: readonly (readonly Known[] | undefined)[] | undefined;
}

interface Parts {
  readonly loadFacts: (...of: Parameters<LoadFacts>) => ReturnType<LoadFacts>;
  readonly loadNamed: LoadNamed;
}

/** Loads what the requests need, under a policy that may name keys. At once where all of it is cached. @throws Failure as the two loaders */
export const load = <R extends Request>(
  { loadFacts, loadNamed }: Parts,
  policy: Policy,
  requests: readonly R[],
  deadline: Deadline,
): Awaitable<Loads<R>> =>
  after(loadFacts(requests, deadline), (loaded) =>
    after(namedKeys(loadNamed, policy, requests, deadline), (named) => ({ requests, loaded, named })),
  );

function namedKeys(
  loadNamed: LoadNamed,
  { rows }: Policy,
  requests: readonly Request[],
  deadline: Deadline,
): Awaitable<Loads<Request>['named']> {
  if (!requests.some(({ named }) => named)) return undefined;
  const questions = requests.flatMap(({ named, businessId }) => (named ? [{ named, businessId }] : []));
  const told = rows.flatMap(({ when }) => [...(when.constants.get('r.key.id') ?? [])]);
  return loadNamed(questions, told, deadline).then((found) => {
    const next = found.values();
    return requests.map(({ named }) => (named ? next.next().value : undefined));
  });
}

interface Tried {
  readonly verdict: { readonly effect: Effect };
}

/** The first of these that is allowed; where none is, the first. @throws Error: there are none */
export function firstAllowed<T extends Tried>(keys: readonly Known[], decideOne: (known: Known) => T): T {
  let first: T | undefined;
  for (const known of keys) {
    const tried = decideOne(known);
    if (tried.verdict.effect === 'allow') return tried;
    first ??= tried;
  }
  if (!first) throw new Error('nothing is known of a request');
  return first;
}

/**
 * Milliseconds for which what was loaded for all requests will do: a slow Redis can take a multiple of it for them one by one, in which a key may
 * have been revoked.
 */
const LOADED_MS = 200;

/** Decides one request after the other, up to the first answer of that effect. `loadAnew` loads what has become too old. */
export async function decideUntil<R extends Request, D extends Tried>(
  effect: Effect,
  { requests, loaded, named }: Loads<R>,
  loadAnew: (requests: readonly R[]) => Awaitable<Loads<R>>,
  decideOn: (loads: Loads<R>) => Awaitable<readonly D[]>,
): Promise<readonly D[]> {
  const since = performance.now();
  const all: D[] = [];
  for (const index of requests.keys()) {
    const one = <T>(list: readonly T[]): readonly T[] => list.slice(index, index + 1);
    const isOld = performance.now() - since > LOADED_MS;
    const loads = { requests: one(requests), loaded: one(loaded), named: named && one(named) };
    const decided = await decideOn(isOld ? await loadAnew(loads.requests) : loads);
    all.push(...decided);
    if (decided[0]?.verdict.effect === effect) break;
  }
  return all;
}
