/** GET /healthz (this process) and /readyz (may it be sent requests). */

import type Router from '@koa/router';
import type { Service } from '../../service.ts';
import { refuseQuery, type State } from '../context.ts';
import { type Reply, success } from '../replies.ts';

export function healthRoutes(router: Router<State>, { readiness }: Service, isDraining: () => boolean): void {
  router.get('/healthz', (ctx) => {
    refuseQuery(ctx);
    ctx.body = success('The process is up.');
  });

  router.get('/readyz', async (ctx) => {
    refuseQuery(ctx);
    const draining = isDraining();
    const checks = { ...(await readiness()), draining };
    if (checks.database && checks.migrations && !draining) {
      ctx.body = success('The service is ready.', checks);
      return;
    }
    ctx.status = 503;
    ctx.set('Retry-After', '1');
    ctx.body = {
      Success: false,
      Code: 'UNAVAILABLE',
      Message: draining ? 'The service is stopping.' : 'The service is not ready; Data says what is missing.',
      Data: checks,
    } satisfies Reply;
  });
}
