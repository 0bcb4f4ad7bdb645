/**
 * A double of the client for a team's tests: in memory, with the client's own type. It denies what it was not told to allow, keeps what it
 * was asked, and fails or stalls when told to. Given the rules of a policy folder, it decides by these.
 */

import { Unavailable } from './errors.ts';
import type { Freezes, Keys } from './resource-types.ts';
import { checkDeadline } from './settings.ts';
import {
  type Allowance,
  asClientError,
  byAllowances,
  decisionOf,
  type FailureName,
  failure,
  questionOf,
  type Ruled,
  refuseFaults,
} from './testing-rulings.ts';
import type { AskOptions, Client, Decision, Question } from './types.ts';
import { within } from './within.ts';

export type { Allowance, FailureName, Ruled } from './testing-rulings.ts';

/** Rules that decide in a world of users, businesses and keys: what `loadPolicy` of @iqra/authz-policy gives. */
export interface Rules<World> {
  readonly decide: (question: Question, world: World) => Ruled;
}

export interface TestClientOptions<World> {
  /** Absent: what `allow` was told is allowed, and nothing else. */
  readonly rules?: Rules<World> | undefined;
  /** What the rules decide in; absent: an empty one, in which no key is known. */
  readonly world?: World | undefined;
  /** How long it stalls, milliseconds: 500 unless told. */
  readonly deadlineMs?: number | undefined;
  /** What your code calls of these. Whatever is not given fails with Unavailable. */
  readonly keys?: Partial<Keys> | undefined;
  readonly freezes?: Partial<Freezes> | undefined;
}

export interface TestClient<World = unknown, Own extends string = never> extends Client<Own> {
  /** All that it was asked, in order, whatever became of it; of `evaluate`, the question that it comes to. */
  readonly asked: readonly Question[];
  /** Allows what fits, besides what it allows already. @throws TypeError: it decides by rules */
  readonly allow: (allowance: Allowance) => void;
  /** Puts another world in place of the one that rules decide in. */
  readonly setWorld: (world: World) => void;
  /** Fails every call from now on, with that error. */
  readonly fail: (name: FailureName) => void;
  /** Answers no call from now on: each ends at its deadline, with TimedOut. */
  readonly stall: () => void;
  /** Ends `fail` and `stall`. */
  readonly recover: () => void;
  /** Forgets what it was asked and told to allow, and recovers. */
  readonly reset: () => void;
}

/** @throws TypeError: deadlineMs is no number of milliseconds */
export function createTestClient<World = unknown, Own extends string = never>(
  options: TestClientOptions<World> = {},
): TestClient<World, Own> {
  const { rules } = options;
  const deadlineMs = checkDeadline(options.deadlineMs ?? 500);
  let world = options.world ?? ({} as World);
  let state: FailureName | 'stalled' | undefined;
  let closed = false;
  const asked: Question[] = [];
  const allowances: Allowance[] = [];

  const rulingOn = (question: Question): Ruled => {
    refuseFaults(question);
    return rules ? rules.decide(question, world) : byAllowances(allowances, question);
  };
  const decide = (questions: readonly Question[], requestId: string): Decision<Own>[] =>
    questions.map((question, at) => {
      try {
        return decisionOf<Own>(rulingOn(question), requestId);
      } catch (error) {
        throw asClientError(error, requestId, questions.length > 1 ? `requests[${at}].` : '');
      }
    });
  const answer = (questions: readonly Question[], own: AskOptions = {}): Promise<Decision<Own>[]> => {
    const { requestId = crypto.randomUUID(), signal } = own;
    asked.push(...questions.map((question) => ({ ...question })));
    const term = { requestId, signal, startedAt: performance.now(), deadlineMs: own.deadlineMs ?? deadlineMs };
    return within(term, async () => {
      if (closed) throw new Unavailable('The client is closed.', { requestId });
      if (state === 'stalled') return new Promise(() => undefined);
      if (state) throw failure(state, requestId);
      return decide(questions, requestId);
    });
  };
  return {
    asked,
    allow: (allowance) => {
      if (rules) throw new TypeError('This double decides by rules: change its world instead.');
      allowances.push(allowance);
    },
    setWorld: (other) => {
      world = other;
    },
    fail: (name) => {
      state = name;
    },
    stall: () => {
      state = 'stalled';
    },
    recover: () => {
      state = undefined;
    },
    reset: () => {
      asked.length = 0;
      allowances.length = 0;
      state = undefined;
    },
    authorize: async (question, own) => {
      const [decision] = await answer([question], own);
      return decision as Decision<Own>;
    },
    authorizeAll: async (questions, own) => answer(questions, own),
    // Of whatever else there is a name for in AuthZEN, this double knows nothing, and denies it.
    evaluate: async (evaluation, { subjectAuthorization, ...own } = {}) => {
      const [decision] = await answer([questionOf(evaluation, subjectAuthorization)], own);
      const { allowed, Code, Message, Data, requestId } = decision as Decision<Own>;
      const { status, decisionId, rule } = Data;
      const reasons = { reason_user: { [status]: Message }, reason_admin: { [status]: rule } };
      return { decision: allowed, context: { code: Code, status, decisionId, ...reasons }, requestId };
    },
    keys: { ...missing('keys', KEYS), ...options.keys },
    freezes: { ...missing('freezes', FREEZES), ...options.freezes },
    close: () => {
      closed = true;
    },
  };
}

const KEYS = ['create', 'get', 'list', 'update', 'rotate', 'revoke', 'delete'] as const satisfies (keyof Keys)[];
const FREEZES = ['create', 'get', 'list', 'extend', 'lift'] as const satisfies (keyof Freezes)[];

/** What fails, and says what to give the double instead. */
const missing = <Name extends string>(of: string, names: readonly Name[]) =>
  Object.fromEntries(
    names.map((name) => [
      name,
      async () => {
        throw new Unavailable(
          `This double has no ${of}.${name}: give it as createTestClient({ ${of}: { ${name} } }).`,
          {
            requestId: crypto.randomUUID(),
          },
        );
      },
    ]),
  ) as Record<Name, () => Promise<never>>;
