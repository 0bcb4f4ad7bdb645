/**
 * A server for the bench of the log, in a process of its own: `log-server.ts on|off`, settings from its environment.
 * `off` is the same service, except that nothing is recorded; there is no such switch in the product. Tells its address.
 */

import { authorizer } from '../../src/authorize.ts';
import { loadConfig } from '../../src/config.ts';
import { createBreaker } from '../../src/db/breaker.ts';
import { connect } from '../../src/db/connect.ts';
import { factsLoader } from '../../src/facts/load.ts';
import { listen } from '../../src/http/server.ts';
import { createLog } from '../../src/log.ts';
import { createService, openDatabase } from '../../src/service.ts';

const config = loadConfig();
const database = await openDatabase(config);
const service = await createService(config, createLog(config.LOG_LEVEL), database);
const db = connect({ url: database.url, poolSize: config.DATABASE_POOL, limitMs: config.DECISION_DEADLINE_MS });
const withoutLog = authorizer({
  loadFacts: factsLoader(db, database.peppers, createBreaker()),
  livePolicy: () => service.policy,
  record: async () => undefined,
  fingerprintOf: () => '',
  noteUse: () => undefined,
});
const server = await listen(process.argv[2] === 'off' ? { ...service, authorize: withoutLog } : service);
process.on('message', () => process.send?.(service.recorderStats()));
process.once('disconnect', () => process.exit());
process.send?.({ address: server.address });
