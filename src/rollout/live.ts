/** The live policy: what is in the folder goes live once it has settled and passed every check, and not before. */

import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../log.ts';
import type { Policy } from '../policy/decide.ts';
import type { PolicyTexts } from '../policy/folder/files.ts';
import type { Finding } from '../policy/folder/findings.ts';
import { assemblePolicy } from '../policy/policy.ts';
import { checkAside } from './check-in-process.ts';
import { type Reading, type Times, watchFolder } from './watch.ts';

/** A policy that was not let in, and why. */
export interface Refused {
  readonly at: Date;
  /** In a sentence. */
  readonly reason: string;
  /** What the check found; none where it did not come to that. */
  readonly findings: readonly Finding[];
}

export interface LiveState<P> {
  readonly policy: P;
  /** When it went live in this process. */
  readonly since: Date;
  /** What the folder holds instead, where that was refused; the policy is stale then. */
  readonly refused: Refused | undefined;
  /** Policies that were refused since the process began. */
  readonly failures: number;
}

/** `P` is undefined too where a folder may begin without a policy. */
export interface Live<P extends Policy | undefined> {
  /** The policy to decide by. Read once for each decision: it may be another one the next time. */
  readonly policy: () => P;
  readonly state: () => LiveState<P>;
  readonly close: () => Promise<void>;
}

interface Options<P> {
  readonly folder: string;
  readonly times: Times;
  /** What the folder held at the start, and what that made. */
  readonly first: { readonly policy: P; readonly reading: Reading };
  /** Called before what has passed is taken up, which it is not when this rejects; it is tried again then. */
  readonly beforeLive: (digest: string, texts: PolicyTexts) => Promise<void>;
  readonly log: Log;
}

/** Follows the folder. A change is one swap of a reference: each decision is made by the old policy or by the new one. */
export function followFolder<P extends Policy | undefined>(options: Options<P>): Live<P | Policy> {
  const { folder, times, first, beforeLive, log } = options;
  let state: LiveState<P | Policy> = { policy: first.policy, since: new Date(), refused: undefined, failures: 0 };

  const refuse = (reason: string, findings: readonly Finding[] = []): void => {
    const known = state.refused?.reason === reason && isDeepStrictEqual(state.refused.findings, findings);
    state = { ...state, refused: { at: new Date(), reason, findings }, failures: state.failures + 1 };
    if (!known)
      log.error(
        { folder, live: state.policy?.digest, reason, findings },
        state.policy ? 'a policy was refused; the last good one stays' : 'a policy was refused; there is none',
      );
  };

  const consider = async (reading: Reading, ending: AbortSignal): Promise<void> => {
    if (!('texts' in reading)) return refuse(reading.unreadable.message);
    const findings = await checkAside(reading.texts, ending);
    if (findings.length > 0) return refuse('The check has findings. Mend them.', findings);
    const policy = await assemblePolicy(reading.texts);
    await beforeLive(policy.digest, reading.texts);
    if (policy.digest === state.policy?.digest) {
      log.info({ folder, digest: policy.digest }, 'cases or invariants have changed, and no decision');
      state = { ...state, refused: undefined };
      return;
    }
    log.info({ folder, digest: policy.digest, before: state.policy?.digest }, 'a policy was taken up');
    state = { ...state, policy, since: new Date(), refused: undefined };
  };

  const watching = watchFolder(folder, first.reading, times, async (reading, ending) => {
    try {
      await consider(reading, ending);
    } catch (error) {
      if (ending.aborted) return;
      refuse(`The policy could not be checked or stored (${(error as Error).message}). It is tried again.`);
      throw error;
    }
  });

  return { policy: () => state.policy, state: () => state, close: watching.close };
}
