/** GET /metrics: the metrics of this process, for Prometheus. */

import type { Service } from '../../service.ts';
import { sparingly } from '../../sparingly.ts';
import { type Route, route } from '../route.ts';

const TYPE = 'text/plain; version=0.0.4; charset=utf-8';
const EXAMPLE = '# HELP authz_decisions_total Decisions that were recorded, by code.\n';

export function metricsRoutes({ metrics }: Service): Route[] {
  // Bytes, which all connections share that wait to send them; and milliseconds to make, for whoever asks without a token.
  const page = sparingly(async () => Buffer.from(await metrics.text()));
  return [
    route({
      method: 'get',
      path: '/metrics',
      scope: null,
      summary: 'The numbers of this process.',
      answers: { 200: { description: "In Prometheus' text format.", text: { type: 'text/plain', example: EXAMPLE } } },
      handle: async () => ({ text: await page(), headers: { 'Content-Type': TYPE } }),
    }),
  ];
}
