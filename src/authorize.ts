/**
 * The path of a decision: take the policy, refuse what it does not let be asked, load what is stored, count the request against the rate
 * limit, take the moment, see whether a freeze covers it, decide, record, and only then answer. Where all that it needs is known, it runs
 * up to the queue of records in one go, and nothing else runs in between; where something is not, that is awaited, and the rest is the same.
 */

import type { Context, Entry } from './audit/record/entry.ts';
import type { EnqueueEntries } from './audit/record/recorder.ts';
import { decideUntil, firstAllowed, type Loads, load } from './authorize/loads.ts';
import { type Awaitable, after, attempt, type Settle } from './awaitable.ts';
import type { Deadline } from './deadline.ts';
import { checkAttributes } from './directory/attributes.ts';
import { Failure, type Issue, MAX_ISSUES } from './errors.ts';
import type { Known, Question } from './facts/load.ts';
import type { LoadNamed, Named } from './facts/load-named.ts';
import type { Moments } from './facts/moment.ts';
import type { Covers, InForce } from './freezes/in-force.ts';
import { refused } from './input/json.ts';
import type { Usage } from './keys/usage.ts';
import type { Limits, RateLimitState } from './limits/limits.ts';
import type { Policy } from './policy/decide.ts';
import type { Facts } from './policy/facts.ts';
import type { Asked, AskedAttributes } from './policy/facts-under.ts';
import { WANTED_FORM } from './policy/message.ts';
import type { Effect } from './policy/row.ts';
import type { Shadow } from './rollout/shadow.ts';
import { uuidsBy } from './uuid.ts';
import { factsOf, rememberedVerdicts, type Situation, unmappedVerdict, type Verdict } from './verdicts.ts';

export interface AuthorizeRequest extends Question {
  /** The client's Authorization header, where it names no API key: logged as a fingerprint. */
  readonly otherCredential?: string | undefined;
  readonly context: Context;
  /** What the caller states for the policy to decide on: recorded as facts, and nowhere else. */
  readonly attributes?: AskedAttributes | undefined;
  /** Facts of the group `asked` that are taken from what is stored, where there is that. */
  readonly stored?: Asked['stored'];
  /** Whether the key is not shown. */
  readonly byId?: boolean | undefined;
  /**
   * Whose key it is about, where that is named and not shown. No point of its limit is used. Of a user, the answer is an allow where one of
   * the user's keys would be allowed, and is about that key.
   */
  readonly named?: Named | undefined;
  /** It asks about what nothing maps: denied, whatever the policy says. */
  readonly unmapped?: boolean | undefined;
}

/** Requests; those that depend on the policy, such as on the names that it maps, are made by a function of the one that decides. */
export type Requests = readonly AuthorizeRequest[] | ((policy: Policy) => readonly AuthorizeRequest[]);

/** Where requests come from. */
export interface Origin {
  /** What the caller calls the request that they came in, for the log. */
  readonly callerRequestId?: string | undefined;
  /** Of the trace that it came in. */
  readonly traceId?: string | undefined;
  /** Where the request of an index stands in the body, such as `requests[3].`, for issues; undefined: it is the body. */
  readonly placeOf?: (index: number) => string;
  /** The effect of an answer behind which no more is asked: the requests after it are neither counted, decided nor recorded. */
  readonly until?: Effect | undefined;
}

export interface Answer {
  readonly decisionId: string;
  readonly effect: Effect;
  readonly code: string;
  /** The HTTP status for the calling service to answer its own client with. */
  readonly status: number;
  /** Public, for that client. */
  readonly message: string;
  readonly rule: string;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly facts: Facts;
  /** The key's rate limit after this request; undefined when it was not counted: the key or its user is not active. */
  readonly rateLimit: RateLimitState | undefined;
}

/**
 * Answers in the order of the requests, with one load and one commit for all of them, or fails: then none of them is answered.
 * INVALID_REQUEST: one states what the policy does not declare. A denial is an answer, and no failure.
 */
export type AuthorizeThen = (
  callerId: string,
  requests: Requests,
  deadline: Deadline,
  origin: Origin,
  settle: Settle<readonly Answer[]>,
) => void;

/** As `AuthorizeThen`, for who can wait for a promise. @throws Failure */
export type Authorize = (
  callerId: string,
  requests: Requests,
  deadline: Deadline,
  origin?: Origin,
) => Promise<readonly Answer[]>;

export const promised =
  (authorizeThen: AuthorizeThen): Authorize =>
  (callerId, requests, deadline, origin = {}) =>
    new Promise((resolve, reject) =>
      authorizeThen(callerId, requests, deadline, origin, (outcome) =>
        outcome instanceof Failure ? reject(outcome) : resolve(outcome),
      ),
    );

/** What the path of a decision is put together from. */
export interface Parts {
  readonly loadFacts: (questions: readonly Question[], deadline: Deadline) => Awaitable<readonly Known[]>;
  readonly loadNamed: LoadNamed;
  readonly consume: (known: Parameters<Limits['consume']>[0], deadline: Deadline) => ReturnType<Limits['consume']>;
  readonly moments: Moments;
  readonly freezes: Pick<InForce, 'current'>;
  /** The policy that is live now. */
  readonly livePolicy: () => Policy;
  /** Evaluates the shadow policy, if there is one. */
  readonly compare: Shadow['compare'];
  readonly enqueue: EnqueueEntries;
  /** A keyed hash that tells unknown credentials apart in the log. */
  readonly fingerprintOf: (credential: string) => string;
  /** Called for each use of an active key, once its decision is recorded. */
  readonly noteUse: Usage['note'];
  /** Called with how many of the decisions of a request were on actions that the policy's register lacks, once they are recorded. */
  readonly noteUnregistered: (decisions: number) => void;
}

/** A request that is decided, and not recorded yet. */
interface Decided {
  readonly id: string;
  readonly request: AuthorizeRequest;
  readonly situation: Situation;
  readonly rateLimit: RateLimitState | undefined;
  readonly verdict: Verdict;
}

export function authorizer(parts: Parts): AuthorizeThen {
  const { livePolicy, enqueue } = parts;
  const decideOn = decider(parts);
  return (callerId, given, deadline, { callerRequestId, traceId, placeOf, until }, settle) => {
    const since = performance.now();
    const asked = { callerId, callerRequestId, traceId };
    // INVARIANT: one policy for the whole batch, from what may be asked to the decision, though another may go live meanwhile.
    const policy = livePolicy();
    const loadAndDecide = (): Awaitable<readonly Decided[]> => {
      const requests = typeof given === 'function' ? given(policy) : given;
      refuseUndeclared(policy, requests, placeOf);
      const loadFor = (some: typeof requests) => load(parts, policy, some, deadline);
      const decide = (some: Loads<AuthorizeRequest>) => decideOn(policy, some, deadline);
      return after(loadFor(requests), (loads) => (until ? decideUntil(until, loads, loadFor, decide) : decide(loads)));
    };
    const record = (decided: readonly Decided[]): void => {
      const durationUs = Math.round((performance.now() - since) * 1000);
      const entries = decided.map((each) => entryOf(parts, each, asked, durationUs));
      // INVARIANT: no answer but by this call of the recorder, which comes once all the entries are durable.
      enqueue(entries, deadline, (failure) =>
        attempt(() => failure ?? answersOf(parts, policy, decided), settle, settle),
      );
    };
    attempt(loadAndDecide, record, settle);
  };
}

/** Counts requests against their limits, takes the moment, sees what is frozen, and decides. */
function decider({ consume, moments, freezes }: Parts) {
  const verdictOf = rememberedVerdicts();
  const newId = uuidsBy();
  return (
    policy: Policy,
    { requests, loaded, named }: Loads<AuthorizeRequest>,
    deadline: Deadline,
  ): Awaitable<readonly Decided[]> =>
    // A key that is only named is not loaded, and so not counted.
    after(consume(loaded, deadline), (rateLimits) =>
      after(moments.momentFor(policy.schema, deadline), (moment) =>
        // INVARIANT: the last thing that is awaited before deciding, so that what is held is current when it is used.
        after(freezes.current(deadline), (freezeOf) =>
          requests.map((request, index) => {
            const rateLimit = rateLimits[index];
            const decideOne = (known: Known | undefined) => {
              const situation = situationOf(known, request, rateLimit, moment, freezeOf);
              const verdict = request.unmapped ? unmappedVerdict(policy, situation) : verdictOf(policy, situation);
              return { situation, verdict };
            };
            const keys = named?.[index];
            const { situation, verdict } = keys ? firstAllowed(keys, decideOne) : decideOne(loaded[index]);
            return { id: newId(moment), request, situation, rateLimit, verdict };
          }),
        ),
      ),
    );
}

/** The answers to what is recorded. Notes the use of active keys, and how much was asked that the policy's register lacks. */
function answersOf(
  { noteUse, noteUnregistered }: Pick<Parts, 'noteUse' | 'noteUnregistered'>,
  { schema: { declaration } }: Policy,
  decided: readonly Decided[],
): readonly Answer[] {
  const at = Date.now();
  const answers = decided.map(({ id, request, situation: { known }, rateLimit, verdict }): Answer => {
    if (known.key.status === 'active' && !request.named) noteUse({ keyId: known.key.id, at, redigest: known.redigest });
    const { effect, code, rule, status, message, policy, facts } = verdict;
    return { decisionId: id, effect, code, status, message, rule, policy, facts, rateLimit };
  });
  if (declaration.actions.known.size > 0)
    noteUnregistered(answers.filter(({ facts }) => !facts.request.registered).length);
  return answers;
}

/** @throws Failure INVALID_REQUEST: a request states what the policy does not declare as asked, or a value that it does not declare */
function refuseUndeclared(
  { schema: { declaration } }: Policy,
  requests: readonly AuthorizeRequest[],
  placeOf: Origin['placeOf'] = () => '',
): void {
  const issues: Issue[] = [];
  for (const [index, { attributes }] of requests.entries()) {
    if (attributes === undefined) continue;
    for (const { path, message } of checkAttributes(declaration.asked, attributes))
      issues.push({ path: `${placeOf(index)}context.${path}`, message });
    // No more are answered, and a batch can have thousands.
    if (issues.length >= MAX_ISSUES) break;
  }
  if (issues.length > 0) throw refused(issues);
}

function situationOf(
  known: Known | undefined,
  { action, attributes, stored, byId, context: { ip }, apiKey, otherCredential }: AuthorizeRequest,
  rateLimit: RateLimitState | undefined,
  moment: number,
  freezeOf: Covers,
): Situation {
  if (!known) throw new Error('fewer facts were loaded than asked for');
  const asked: Asked = { action, ip, attributes, stored, byId, moment };
  const { key, user, target } = known;
  return {
    known,
    asked,
    exceeded: rateLimit?.exceeded ?? false,
    freeze: freezeOf({ key, user, target, request: asked }),
    hint: apiKey === undefined && otherCredential ? WANTED_FORM : undefined,
  };
}

/** The log entry of what is decided. */
function entryOf(
  { compare, fingerprintOf }: Pick<Parts, 'compare' | 'fingerprintOf'>,
  { id, request, situation, verdict }: Decided,
  asked: Pick<Entry, 'callerId' | 'callerRequestId' | 'traceId'>,
  durationUs: number,
): Entry {
  const { callerId, callerRequestId, traceId } = asked;
  const { facts, policy } = verdict;
  const { apiKey, otherCredential, context, unmapped } = request;
  const unknown = facts.key.status === 'unknown' ? apiKey || otherCredential : undefined;
  const fingerprint = unknown ? fingerprintOf(unknown) : undefined;
  // What nothing maps is decided by no policy.
  const shadow = unmapped ? undefined : compare((schema) => factsOf(schema, situation), verdict);
  return {
    id,
    callerId,
    callerRequestId,
    traceId,
    facts,
    decision: verdict,
    policy,
    context,
    durationUs,
    fingerprint,
    shadow,
  };
}
