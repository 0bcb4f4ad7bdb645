/** GET /policy: the live policy of this replica, the last refused one, and the shadow policy. */

import type { Policy } from '../../policy/decide.ts';
import type { LiveState } from '../../rollout/live.ts';
import type { Service } from '../../service.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { policyData } from './policy-shapes.ts';

export const policyRoutes = ({ live, shadowPolicy, shadow }: Service): Route[] => [
  route({
    method: 'get',
    path: '/policy',
    scope: 'policy:read',
    summary: 'The live policy of this replica, and the last one that it refused, with its findings.',
    answers: { 200: { description: 'The live policy.', data: policyData } },
    handle: () => {
      const { policy, since } = live.state();
      const data = {
        digest: policy.digest,
        loadedAt: since.toISOString(),
        rows: policy.rows.map(({ when, ...row }) => ({ ...row, when: when.text })),
        refused: refusedOf(live.state()),
        shadow: shadowPolicy
          ? {
              digest: shadowPolicy.policy()?.digest ?? null,
              refused: refusedOf(shadowPolicy.state()),
              ...shadow.counts(),
            }
          : null,
      };
      return { reply: success('The live policy.', data) };
    },
  }),
];

const refusedOf = ({ refused }: LiveState<Policy | undefined>) =>
  refused ? { ...refused, at: refused.at.toISOString() } : null;
