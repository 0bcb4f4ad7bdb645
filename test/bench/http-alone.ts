/** Our HTTP side alone: every caller is known, and every question answered at once. It shows what is left for the rest. */

import { v7 as uuidv7 } from 'uuid';
import type { Answer } from '../../src/authorize.ts';
import { loadConfig } from '../../src/config.ts';
import { SCOPES } from '../../src/directory/find-caller.ts';
import { listen } from '../../src/http/server.ts';
import { createLog } from '../../src/log.ts';
import type { Service } from '../../src/service.ts';

const caller = { id: 'bench', scopes: new Set(SCOPES) };
const { Code, Message, Data } = JSON.parse(process.env['REPLY'] ?? '{}');

const answer = ({ action, businessId = '' }: { action: string; businessId: string | undefined }): Answer => ({
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
} satisfies Partial<Service>;

const { address, close } = await listen(service as unknown as Service);
process.stdout.write(`port ${new URL(address).port}\n`);
process.on('SIGTERM', () => close().then(() => process.exit(0)));
