/** POST /authorize and /authorize/batch: decisions for other services. */

import { refuseQuestions } from '../../directory/bounds.ts';
import { Failure } from '../../errors.ts';
import { invalid } from '../../input/json.ts';
import { OWN_SECRET } from '../../input/scalars.ts';
import { holdsPieceOf } from '../../mask.ts';
import type { Service } from '../../service.ts';
import { uuidv7 } from '../../uuid.ts';
import { originOf, type State } from '../context.ts';
import { decisionJson, decisionsJson } from '../replies.ts';
import { type Route, route } from '../route.ts';
import { authorizeSchema, batchSchema } from './authorize-schema.ts';
import { decisionReplyShape, decisionsData } from './authorize-shapes.ts';

const EXAMPLE = {
  authorization: 'Token iqra_...',
  action: 'call:create',
  businessId: '42',
  context: { ip: '203.0.113.7', userAgent: 'curl/8.5', requestId: '7f3a' },
};

export const authorizeRoutes = ({ authorizeThen, metrics }: Service): Route[] => [
  route({
    method: 'post',
    path: '/authorize',
    scope: 'authorize',
    heedsBounds: true,
    summary: 'May this API key do this action on this business?',
    inspect: refuseKeyAsRequestId,
    body: authorizeSchema,
    compileBody: true,
    bodyExample: EXAMPLE,
    answers: {
      200: {
        description:
          'The decision, allow or deny: Success and Code say which, Data.status what to answer the client with.',
        body: decisionReplyShape,
      },
    },
    settles: ({ caller, body, deadline, state }, settle) => {
      const questions = [body];
      if (caller.bounds) refuseQuestions(caller.bounds, questions);
      authorizeThen(caller.id, questions, deadline, originOf(state), (answers) => {
        if (answers instanceof Failure) return settle(answers);
        const [answer] = answers;
        if (!answer) throw new Error('a question was left without an answer');
        metrics.decided(answer.code);
        settle({ json: decisionJson(answer) });
      });
    },
  }),
  route({
    method: 'post',
    path: '/authorize/batch',
    scope: 'authorize',
    heedsBounds: true,
    summary: 'Up to 100 questions at once: one load, one commit.',
    inspect: refuseKeyAsRequestId,
    body: batchSchema,
    compileBody: true,
    bodyExample: { requests: [EXAMPLE] },
    maxBytes: 256 * 1024,
    answers: {
      200: {
        description: 'The decisions, in the order of the questions, each as it would be alone.',
        message: 'Every request was decided.',
        data: decisionsData,
      },
    },
    settles: ({ caller, body: { requests }, deadline, state }, settle) => {
      if (caller.bounds) refuseQuestions(caller.bounds, requests);
      const origin = { ...originOf(state), placeOf: (index: number) => `requests[${index}].` };
      authorizeThen(caller.id, requests, deadline, origin, (answers) => {
        if (answers instanceof Failure) return settle(answers);
        for (const { code } of answers) metrics.decided(code);
        settle({ json: decisionsJson(answers) });
      });
    },
  }),
];

/**
 * Looks at a body that nobody has validated yet: the answer and the log have the request id, whatever else is wrong.
 * @throws Failure INVALID_REQUEST where X-Request-Id holds a part of the credential of one of the questions
 */
export function refuseKeyAsRequestId(body: unknown, state: State): void {
  const { sentRequestId } = state;
  if (sentRequestId === undefined) return;
  const { requests } = Object(body) as { requests?: unknown };
  for (const question of Array.isArray(requests) ? requests : [body]) {
    const { apiKey, authorization } = Object(question) as Record<string, unknown>;
    for (const credential of [apiKey, authorization]) {
      if (typeof credential !== 'string' || !holdsPieceOf(credential, sentRequestId)) continue;
      // Neither the answer nor a line of the log has it.
      state.requestId = uuidv7();
      throw invalid('', `X-Request-Id ${OWN_SECRET}`);
    }
  }
}
