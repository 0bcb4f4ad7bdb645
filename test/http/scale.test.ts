/** With many keys, and many businesses in a restriction, listing, making and deciding read no more rows. */

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { Knex } from 'knex';
import pg from 'pg';
import { createBreaker } from '../../src/db/breaker.ts';
import { createCursors } from '../../src/db/page.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { createCache } from '../../src/facts/cache.ts';
import { createFreshness } from '../../src/facts/freshness.ts';
import { factsLoader, type Known } from '../../src/facts/load.ts';
import { createKey, listKeys } from '../../src/keys/keys.ts';
import { operatorRights } from '../../src/keys/rights.ts';
import { type Client, clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const MANY = 100_000;
const FEW = 50;
const RESTRICTED = 10_000;
const USERS = ['few', 'many', 'wide'];

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly Plan[];
}

interface Query {
  readonly sql: string;
  readonly bindings: unknown[];
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
const pagesOf = (plans: readonly Plan[]): number =>
  plans.reduce((sum, plan) => sum + plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], 0);

describe('with very many', () => {
  let service: TestService;
  let client: Client;
  let own: pg.Client;

  before(async function () {
    this.timeout(120_000);
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    client = clientOf(service);
    own = new pg.Client({ connectionString: url });
    await own.connect();
    await service.db('users').insert(USERS.map((id) => ({ id })));
    const insert = `
      insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment)
      select $1 || '-' || n, $1, 'a key', sha256(($1 || n)::bytea), $3, 'iqra_1234...1234', false, false, 'production'
      from generate_series(1000000, 999999 + $2::int) n`;
    await own.query(insert, ['few', FEW, service.pepper.id]);
    await own.query(insert, ['many', MANY, service.pepper.id]);
    await own.query('analyze api_keys');
  });

  after(async () => {
    await own?.end();
    await service?.close();
  });

  /** What some work asks the database. */
  async function queriesOf(work: () => Promise<unknown>): Promise<Query[]> {
    const queries: Query[] = [];
    const note = ({ sql, bindings }: Query): void => void queries.push({ sql, bindings });
    service.db.on('query', note);
    await work();
    service.db.removeListener('query', note);
    return queries.filter(({ sql }) => /^\s*(?:select|insert|update|delete|with)\b/i.test(sql));
  }

  /** How PostgreSQL runs the queries, which it does for nothing. */
  async function plansOf(queries: readonly Query[], first?: string): Promise<Plan[]> {
    const plans: Plan[] = [];
    await own.query('begin');
    if (first) await own.query(first);
    for (const { sql, bindings } of queries) {
      const { rows } = await own.query(`explain (analyze, buffers, format json) ${sql}`, bindings);
      plans.push(rows[0]['QUERY PLAN'][0].Plan);
    }
    await own.query('rollback');
    return plans;
  }

  const db = (): Knex => service.db;
  const cursors = createCursors(randomBytes(32));

  describe('keys of one user', () => {
    const pagesRead = async (userId: string, place?: string): Promise<number> => {
      const cursor = place === undefined ? undefined : cursors.make(`keys of ${userId}`, place);
      const queries = await queriesOf(() => listKeys(db(), userId, { limit: FEW, cursor }, cursors));
      expect(queries).to.have.length(1);
      // Once to have everything in memory that the other runs find there too.
      await plansOf(queries);
      return pagesOf(await plansOf(queries));
    };

    it('pages follow each other over HTTP, and a new key works', async () => {
      const first = await client.data('GET', '/keys?userId=many&limit=200');
      const second = await client.data('GET', `/keys?userId=many&limit=200&cursor=${first['nextCursor']}`);
      const ids = [first, second].flatMap(({ items }) => (items as { id: string }[]).map(({ id }) => id));
      expect(ids).to.deep.equal(Array.from({ length: 400 }, (_, n) => `many-${1_000_000 + n}`));
      const { apiKey } = await client.newKey('many');
      expect(await client.decide(apiKey, undefined, 'account:read')).to.equal('OK');
    });

    it('a page, wherever it is, reads no more than that of a user with 50', async () => {
      const most = (await pagesRead('few')) + FEW;
      for (const place of [undefined, 'many-1000500', 'many-1050000', 'many-1099949']) {
        expect(await pagesRead('many', place), place).to.be.at.most(most);
      }
    });

    it('one more is made with no more than for a user with 50', async () => {
      const grants = {
        friendlyName: 'one more',
        allowUserManagementApiRequests: false,
        restrictedBusinessIds: null,
        environment: 'production',
        expiresAt: null,
        rateLimit: null,
        attributes: {},
      };
      const pagesTouched = async (userId: string): Promise<number> => {
        const work = () => createKey(db(), service.pepper, { id: 'test' }, operatorRights(undefined), userId, grants);
        const queries = await queriesOf(work);
        const undo = `delete from api_keys where friendly_name = 'one more' and user_id = '${userId}';
          delete from admin_events; delete from changes`;
        return pagesOf(await plansOf(queries, undo));
      };
      await pagesTouched('few');
      expect(await pagesTouched('many')).to.be.at.most((await pagesTouched('few')) + FEW);
    });
  });

  describe('businesses in the restriction of one key', () => {
    let apiKey: string;

    before(async () => {
      const name = `'w-' || generate_series(1, ${RESTRICTED})`;
      await own.query(`insert into businesses (id) select ${name}`);
      await own.query(`insert into businesses (id) values ('outside')`);
      await own.query(
        `insert into business_members (business_id, user_id, role) select id, 'wide', 'member' from businesses`,
      );
      apiKey = await insertKey(service, { id: 'wide-key', user_id: 'wide' }, []);
      await own.query(`insert into api_key_businesses (key_id, business_id) select 'wide-key', ${name}`);
      await own.query('analyze');
    });

    it('a decision looks at hardly a row of each table', async () => {
      const cache = createCache<Known>(createFreshness(), { count: 10, bytes: 2 ** 20 });
      const load = factsLoader(db(), [service.pepper], createBreaker(), cache);
      const question = { apiKey, action: 'call:create', businessId: 'w-7777' };
      const queries = await queriesOf(async () => load([question], deadlineIn(60_000)));
      const [plan] = await plansOf(queries);
      if (!plan) throw new Error('the facts were loaded without a query');
      const scans = nodesOf(plan).filter((node) => node['Relation Name'] !== undefined);
      // The five, and the counter of changes.
      expect(scans).to.have.length(6);
      for (const scan of scans) {
        const looked = scan['Actual Rows'] + (scan['Rows Removed by Filter'] ?? 0);
        expect(looked * scan['Actual Loops'], JSON.stringify(scan)).to.be.at.most(USERS.length);
      }
      expect(pagesOf([plan])).to.be.at.most(50);
    });

    it('all of them can be reached, shown and rotated, and nothing else', async () => {
      const { key, apiKey: rotated } = await client.data('POST', '/keys/wide-key/rotate', { overlapSeconds: 60 });
      expect((key as { restrictedBusinessIds: string[] }).restrictedBusinessIds).to.have.length(RESTRICTED);
      for (const each of [apiKey, String(rotated)]) {
        expect(await client.decide(each, 'w-1')).to.equal('OK');
        expect(await client.decide(each, `w-${RESTRICTED}`)).to.equal('OK');
        expect(await client.decide(each, 'outside')).to.equal('PERMISSION_DENIED');
      }
      await client.data('PATCH', '/keys/wide-key', { restrictedBusinessIds: ['w-1'] });
      expect(await client.decide(apiKey, 'w-2')).to.equal('PERMISSION_DENIED');
    });
  });
});
