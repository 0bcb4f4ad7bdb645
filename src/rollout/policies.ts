/** The policies of a service: the live one, without which it does not start, and the shadow policy, which may be missing. */

import type { Knex } from 'knex';
import type { Log } from '../log.ts';
import type { Policy } from '../policy/decide.ts';
import { type PolicyTexts, policyFiles } from '../policy/folder/files.ts';
import { admitPolicy, readPolicyFolder } from './folder.ts';
import { followFolder, type Live } from './live.ts';
import { createShadow, type Shadow } from './shadow.ts';
import { storePolicy } from './store.ts';

interface Settings {
  readonly POLICY_DIR: string;
  readonly SHADOW_POLICY_DIR: string | undefined;
  readonly POLICY_POLL_MS: number;
  readonly POLICY_SETTLE_MS: number;
}

export interface Policies {
  readonly live: Live<Policy>;
  /** The shadow policy, of SHADOW_POLICY_DIR; its state has no policy until one passes the check. */
  readonly shadowPolicy: Live<Policy | undefined> | undefined;
  readonly shadow: Shadow;
  readonly close: () => Promise<void>;
}

/**
 * Reads both folders and follows them. A policy is stored by digest before it makes a decision that names it.
 * @throws Refusal with the findings of a live policy that does not pass; Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function followPolicies(settings: Settings, db: Knex, log: Log): Promise<Policies> {
  const { POLICY_DIR, SHADOW_POLICY_DIR, POLICY_POLL_MS, POLICY_SETTLE_MS } = settings;
  const store = (digest: string, texts: PolicyTexts) => storePolicy(db, digest, policyFiles(texts));
  const shared = {
    times: { pollMs: POLICY_POLL_MS, settleMs: POLICY_SETTLE_MS },
    beforeLive: store,
    log,
  };
  const texts = await readPolicyFolder(POLICY_DIR);
  const policy = await admitPolicy(POLICY_DIR, texts);
  await store(policy.digest, texts);
  const live = followFolder({ ...shared, folder: POLICY_DIR, first: { policy, content: { texts } } });
  const unread = { policy: undefined, content: { unreadable: new Error('it has not been read yet') } };
  const shadowPolicy = SHADOW_POLICY_DIR
    ? followFolder<Policy | undefined>({ ...shared, folder: SHADOW_POLICY_DIR, first: unread })
    : undefined;
  return {
    live,
    shadowPolicy,
    shadow: createShadow(() => shadowPolicy?.policy(), log),
    close: async () => {
      await Promise.all([live.close(), shadowPolicy?.close()]);
    },
  };
}
