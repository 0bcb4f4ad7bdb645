/** The live policy of a folder: a changed folder goes live once it has stopped changing (debounce) and passed every check. */

import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../log.ts';
import { counter, gauge, type Metric } from '../metric.ts';
import type { Policy } from '../policy/decide.ts';
import type { PolicyTexts } from '../policy/folder/files.ts';
import type { Finding } from '../policy/folder/findings.ts';
import { assemblePolicy } from '../policy/policy.ts';
import { checkInProcess } from './check-in-process.ts';
import { type FolderContent, type Times, watchFolder } from './watch.ts';

/** A policy that was refused, and why. */
export interface Refused {
  readonly at: Date;
  /** One sentence. */
  readonly reason: string;
  /** What the check found; empty when the folder could not be read or the check did not finish. */
  readonly findings: readonly Finding[];
}

export interface LiveState<P> {
  readonly policy: P;
  /** When it went live in this process. */
  readonly since: Date;
  /** Set while the folder holds a refused policy, so that `policy` is not what the folder says. */
  readonly refused: Refused | undefined;
  /** How many times a policy was refused since the process started. */
  readonly failures: number;
}

/** `P` includes undefined for a folder that may start without a policy (the shadow policy). */
export interface Live<P extends Policy | undefined> {
  /** The live policy. To be called once per decision or batch: the next call may return another. */
  readonly policy: () => P;
  readonly state: () => LiveState<P>;
  readonly close: () => Promise<void>;
}

interface Options<P> {
  readonly folder: string;
  readonly times: Times;
  /** The folder's content at the start, and the policy of it. */
  readonly first: { readonly policy: P; readonly content: FolderContent };
  /** Called before a checked policy goes live. When it rejects, the policy does not, and is tried again later. */
  readonly beforeLive: (digest: string, texts: PolicyTexts) => Promise<void>;
  readonly log: Log;
}

/** Follows the folder. Going live swaps one reference, so each decision is made by the old policy or the new one, never a mix. */
export function followFolder<P extends Policy | undefined>(options: Options<P>): Live<P | Policy> {
  const { folder, times, first, beforeLive, log } = options;
  let state: LiveState<P | Policy> = { policy: first.policy, since: new Date(), refused: undefined, failures: 0 };

  const refuse = (reason: string, findings: readonly Finding[] = []): void => {
    const known = state.refused?.reason === reason && isDeepStrictEqual(state.refused.findings, findings);
    state = { ...state, refused: { at: new Date(), reason, findings }, failures: state.failures + 1 };
    if (!known)
      log.error(
        { folder, live: state.policy?.digest, reason, findings },
        state.policy
          ? 'a policy was refused, and the last good one stays live; correct the folder, see `findings`'
          : 'a policy was refused, and there is no earlier one; correct the folder, see `findings`',
      );
  };

  const consider = async (content: FolderContent, ending: AbortSignal): Promise<void> => {
    if (!('texts' in content)) return refuse(content.unreadable.message);
    const findings = await checkInProcess(content.texts, ending);
    if (findings.length > 0) return refuse('The check has findings. Mend them.', findings);
    const policy = await assemblePolicy(content.texts);
    await beforeLive(policy.digest, content.texts);
    if (policy.digest === state.policy?.digest) {
      log.info(
        { folder, digest: policy.digest },
        'cases or invariants of the policy changed; no decision depends on them',
      );
      state = { ...state, refused: undefined };
      return;
    }
    log.info({ folder, digest: policy.digest, before: state.policy?.digest }, 'a policy went live');
    state = { ...state, policy, since: new Date(), refused: undefined };
  };

  const watching = watchFolder(folder, first.content, times, async (content, ending) => {
    try {
      await consider(content, ending);
    } catch (error) {
      if (ending.aborted) return;
      refuse(`The policy could not be checked or stored (${(error as Error).message}). It is tried again.`);
      throw error;
    }
  });

  return { policy: () => state.policy, state: () => state, close: watching.close };
}

/** Of the live policy. */
export const policyMetrics = (state: () => LiveState<Policy>): Metric[] => [
  gauge('policy_info', 'The digest of the live policy.', () => [[1, state().policy.digest]], ['digest']),
  gauge('policy_rows', 'Rows of the live policy.', () => state().policy.rows.length),
  gauge('policy_loaded_timestamp_seconds', 'When the live policy went live.', () => state().since.getTime() / 1000),
  gauge('policy_stale', '1 while the policy folder holds what was refused.', () =>
    Number(state().refused !== undefined),
  ),
  counter('policy_load_failures_total', 'Policies that were refused.', () => state().failures),
];
