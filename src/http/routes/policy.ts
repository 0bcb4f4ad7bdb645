/** /policy: the live policy of this replica, the last refused one, and the shadow policy; and what it would decide, and why. */

import type { Policy } from '../../policy/decide.ts';
import type { LiveState } from '../../rollout/live.ts';
import type { Service } from '../../service.ts';
import { explainLive } from '../../what-if/explain-live.ts';
import { explainBody } from '../../what-if/question.ts';
import { success } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { refuseKeyAsRequestId } from './authorize.ts';
import { liveExplanationData } from './explanation-shapes.ts';
import { policyData } from './policy-shapes.ts';

export const policyRoutes = ({ live, shadowPolicy, shadow, adminDb: db, peppers }: Service): Route[] => [
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
  route({
    method: 'post',
    path: '/policy/explain',
    scope: 'policy:read',
    summary:
      'What the live policy says of a question now, or if some facts were otherwise, and what would turn a denial.',
    inspect: refuseKeyAsRequestId,
    body: explainBody,
    bodyExample: {
      apiKeyId: 'ada-main',
      action: 'call:create',
      businessId: 'bakery',
      set: { 'r.limit.exceeded': true },
    },
    answers: {
      200: {
        description: 'The explanation. No decision was recorded, and nothing counted.',
        message: 'The explanation.',
        data: liveExplanationData,
      },
    },
    failures: ['NOT_FOUND'],
    handle: async ({ body, actor }) => ({
      reply: success('The explanation.', await explainLive({ db, peppers, policy: live.policy() }, actor, body)),
    }),
  }),
];

const refusedOf = ({ refused }: LiveState<Policy | undefined>) =>
  refused ? { ...refused, at: refused.at.toISOString() } : null;
