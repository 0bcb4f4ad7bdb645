/** POST /authorize and /authorize/batch: the questions of the other services. */

import type Router from '@koa/router';
import type { Service } from '../../service.ts';
import { validate } from '../../validate.ts';
import { readJson } from '../body.ts';
import { authenticate, refuseQuery, type State } from '../context.ts';
import { decisionReply, success } from '../replies.ts';
import { authorizeSchema, batchSchema } from '../schemas.ts';

const SINGLE_BYTES = 16 * 1024;
const BATCH_BYTES = 256 * 1024;

export function authorizeRoutes(router: Router<State>, { findCaller, authorize }: Service): void {
  router.post('/authorize', authenticate(findCaller, 'authorize'), async (ctx) => {
    const { caller, deadline } = ctx.state;
    const body = await deadline.excuse(readJson(ctx.req, SINGLE_BYTES));
    refuseQuery(ctx);
    const [answer] = await authorize(caller.id, [validate(authorizeSchema, body)], deadline);
    if (!answer) throw new Error('a question was left without an answer');
    ctx.body = decisionReply(answer);
  });

  router.post('/authorize/batch', authenticate(findCaller, 'authorize'), async (ctx) => {
    const { caller, deadline } = ctx.state;
    const body = await deadline.excuse(readJson(ctx.req, BATCH_BYTES));
    refuseQuery(ctx);
    const answers = await authorize(caller.id, validate(batchSchema, body).requests, deadline);
    ctx.body = success('Every request was decided.', { decisions: answers.map(decisionReply) });
  });
}
