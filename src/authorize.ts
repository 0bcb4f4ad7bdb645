/** The path of a decision: load the facts, decide, record, and only then answer. */

import type { Context, RecordEntries } from './audit/record.ts';
import type { Deadline } from './deadline.ts';
import type { LoadFacts, Question } from './facts/load.ts';
import type { Usage } from './keys/usage.ts';
import { decide } from './policy/decide.ts';
import type { Facts } from './policy/facts.ts';
import type { Effect } from './policy/parse.ts';
import type { Policy } from './policy/policy.ts';
import { uuidv7 } from './uuid.ts';

export interface AuthorizeRequest extends Question {
  readonly context: Context;
}

export interface Answer {
  readonly decisionId: string;
  readonly effect: Effect;
  readonly code: string;
  /** The HTTP status that the calling service should answer its own client with. */
  readonly status: number;
  /** For that client's eyes. */
  readonly message: string;
  readonly rule: string;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly facts: Facts;
}

/**
 * Answers in the order of the requests: one load and one commit for all of them.
 * @throws Failure: then none of them is answered. A denial is not thrown, it is an answer.
 */
export type Authorize = (
  callerId: string,
  requests: readonly AuthorizeRequest[],
  deadline: Deadline,
) => Promise<Answer[]>;

interface Parts {
  readonly loadFacts: LoadFacts;
  /** The policy that is live now. */
  readonly livePolicy: () => Policy;
  readonly record: RecordEntries;
  /** Told of every use of an active key, once it is recorded. */
  readonly noteUse: Usage['note'];
}

export function authorizer({ loadFacts, livePolicy, record, noteUse }: Parts): Authorize {
  return async (callerId, requests, deadline) => {
    const loaded = await loadFacts(requests, deadline);
    // One policy for the whole batch, whatever goes live meanwhile.
    const policy = livePolicy();
    const answers = loaded.map(({ facts, reasons }): Answer => {
      const decision = decide(policy, facts);
      const code = policy.codes.get(decision.code);
      if (!code) throw new Error(`the policy has no code ${decision.code}`);
      const reason = code.reason && reasons[code.reason];
      const message = reason === undefined ? code.message : `${code.message} ${reason}`;
      return { decisionId: uuidv7(), ...decision, status: code.status, message, policy: policy.digest, facts };
    });
    await record(
      answers.map(({ decisionId, effect, code, rule, facts }, index) => ({
        id: decisionId,
        callerId,
        facts,
        decision: { effect, code, rule },
        policy: policy.digest,
        context: requests[index]?.context ?? {},
      })),
      deadline,
    );
    for (const { facts, redigest } of loaded) {
      if (facts.key.status === 'active') noteUse({ keyId: facts.key.id, at: Date.now(), redigest });
    }
    return answers;
  };
}
