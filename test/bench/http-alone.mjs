/** Our HTTP side alone: every caller is known, and every question answered at once. It shows what is left for the rest. From the build. */

/** Imports a module of the build, which need not exist when types are checked: its types are those of the source. */
const built = (/** @type {string} */ name) => import(new URL(`../../dist/src/${name}.js`, import.meta.url).href);
/** @type {typeof import('../../src/config.ts')} */
const { loadConfig } = await built('config');
/** @type {typeof import('../../src/directory/find-caller.ts')} */
const { SCOPES } = await built('directory/find-caller');
/** @type {typeof import('../../src/http/server.ts')} */
const { listen } = await built('http/server');
/** @type {typeof import('../../src/log.ts')} */
const { createLog } = await built('log');
/** @type {typeof import('../../src/metrics.ts')} */
const { createMetrics } = await built('metrics');
/** @type {typeof import('../../src/uuid.ts')} */
const { uuidv7 } = await built('uuid');

const caller = { id: 'bench', scopes: new Set(SCOPES) };
const { Code, Message, Data } = JSON.parse(process.env['REPLY'] ?? '{}');

/** @type {(question: import('../../src/authorize.ts').AuthorizeRequest) => import('../../src/authorize.ts').Answer} */
const answer = ({ action, businessId = '' }) => ({
  decisionId: uuidv7(),
  effect: 'allow',
  code: Code,
  status: 200,
  message: Message,
  rule: Data.rule,
  policy: Data.policy,
  rateLimit: { exceeded: false, ...Data.rateLimit },
  facts: {
    key: { id: Data.apiKeyId, status: 'active', userManagement: false, environment: 'production' },
    user: { id: Data.userId, status: 'active', businesses: 'active' },
    target: { id: businessId, status: 'active', role: 'owner', inRestriction: true },
    limit: { exceeded: false },
    freeze: { active: false },
    request: { action, registered: false, addressed: false, byId: false },
  },
});

/** Only what the routes of decisions use. */
const parts = {
  config: loadConfig({ PORT: '0' }),
  log: createLog('silent'),
  /** @type {import('../../src/authorize.ts').AuthorizeThen} */
  authorizeThen: (_callerId, requests, _deadline, _origin, settle) =>
    settle(typeof requests === 'function' ? [] : requests.map(answer)),
  findCaller: Object.assign(() => caller, { known: () => caller }),
  metrics: createMetrics([]),
};

const service = /** @type {import('../../src/service.ts').Service} */ (/** @type {unknown} */ (parts));

const { address, close } = await listen(service);
process.stdout.write(`port ${new URL(address).port}\n`);
process.on('SIGTERM', () => close().then(() => process.exit(0)));
