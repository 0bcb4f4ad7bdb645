/**
 * A server for the bench of the log, in a process of its own: `log-server.ts on|off`, settings from its environment.
 * `off` is the same service, except that nothing is recorded; there is no such switch in the product. Tells its address.
 */

import { authorizer } from '../../src/authorize.ts';
import { loadConfig } from '../../src/config.ts';
import { openDatabase } from '../../src/database.ts';
import { createBreaker } from '../../src/db/breaker.ts';
import { connect } from '../../src/db/connect.ts';
import { createCache } from '../../src/facts/cache.ts';
import { followChanges } from '../../src/facts/change-feed.ts';
import { createFreshness } from '../../src/facts/freshness.ts';
import { factsLoader, type Known } from '../../src/facts/load.ts';
import { listen } from '../../src/http/server.ts';
import { createLimits } from '../../src/limits/limits.ts';
import { createLog } from '../../src/log.ts';
import { createService } from '../../src/service.ts';

const config = loadConfig(process.env);
const log = createLog(config.LOG_LEVEL);
const database = await openDatabase(config);
const service = await createService(config, log, database);
const { url, peppers } = database;
const db = connect({ url, poolSize: config.DATABASE_POOL, limitMs: config.DECISION_DEADLINE_MS });
const freshness = createFreshness();
followChanges(url, freshness, log);
const cache = createCache<Known>(freshness, { count: 10_000, bytes: 2 ** 26 });
const { consume } = await createLimits({ fallback: config.RATE_LIMIT, redis: undefined }, log);
const withoutLog = authorizer({
  loadFacts: factsLoader(db, peppers, createBreaker(), cache),
  loadNamed: async () => [],
  consume,
  moments: { momentFor: Date.now },
  freezes: { current: () => () => undefined },
  livePolicy: service.live.policy,
  compare: () => undefined,
  enqueue: (_entries, _deadline, settle) => settle(),
  fingerprintOf: () => '',
  noteUse: () => undefined,
  noteUnregistered: () => undefined,
});
const server = await listen(process.argv[2] === 'off' ? { ...service, authorizeThen: withoutLog } : service);
process.on('message', () => process.send?.(service.recorder.stats()));
process.once('disconnect', () => process.exit());
process.send?.({ address: server.address });
