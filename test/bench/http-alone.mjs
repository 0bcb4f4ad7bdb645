/** Our HTTP side alone: every caller is known, and every question answered at once. It shows what is left for the rest. From the build. */

import { loadConfig } from '../../dist/src/config.js';
import { SCOPES } from '../../dist/src/directory/find-caller.js';
import { listen } from '../../dist/src/http/server.js';
import { createLog } from '../../dist/src/log.js';
import { createMetrics } from '../../dist/src/metrics.js';
import { uuidv7 } from '../../dist/src/uuid.js';

const caller = { id: 'bench', scopes: new Set(SCOPES) };
const { Code, Message, Data } = JSON.parse(process.env['REPLY'] ?? '{}');

const answer = ({ action, businessId = '' }) => ({
  decisionId: uuidv7(),
  effect: 'allow',
  code: Code,
  status: 200,
  message: Message,
  rule: Data.rule,
  policy: Data.policy,
  facts: {
    key: { id: Data.apiKeyId, status: 'active', userManagement: false, environment: 'production' },
    user: { id: Data.userId, status: 'active', businesses: 'active' },
    target: { id: businessId, status: 'active', role: 'owner', inRestriction: true },
    limit: { exceeded: false },
    request: { action },
  },
});

const service = {
  config: loadConfig({ PORT: '0' }),
  log: createLog('silent'),
  authorize: async (_callerId, requests) => requests.map(answer),
  findCaller: async () => caller,
  metrics: createMetrics([]),
};

const { address, close } = await listen(service);
process.stdout.write(`port ${new URL(address).port}\n`);
process.on('SIGTERM', () => close().then(() => process.exit(0)));
