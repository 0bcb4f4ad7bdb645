/** The live facts of a question, read past all caches in one snapshot of the primary, and changed as was asked. */

import type { Knex } from 'knex';
import type { Pepper } from '../credentials/token.ts';
import { orFailure } from '../db/failure.ts';
import { checkAttributes } from '../directory/attributes.ts';
import { getBusiness } from '../directory/businesses.ts';
import { notFound } from '../directory/common.ts';
import { getUser } from '../directory/users.ts';
import type { Found } from '../facts/cache.ts';
import { type Digested, digestsOf, type Known, readStored } from '../facts/load.ts';
import { LOAD_FACTS, type StoredRow } from '../facts/stored-facts.ts';
import { type FreezeRecord, freezesAt } from '../freezes/freezes.ts';
import { invalid, refused } from '../input/json.ts';
import { getKey } from '../keys/keys.ts';
import { withValues } from '../policy/changed-facts.ts';
import { UnprovedMoment } from '../policy/declared/schedules.ts';
import { closed, type Facts } from '../policy/facts.ts';
import { factsUnder } from '../policy/facts-under.ts';
import type { Schema } from '../policy/schema.ts';
import type { Subject } from './advice.ts';
import { withSet } from './overrides.ts';
import type { LiveQuestion } from './question.ts';

export interface Live extends Subject {
  /** The moment that it is decided for, RFC 3339. */
  readonly at: string;
  readonly reasons: Known['reasons'];
}

/**
 * Reads the facts of a question under a schema, and the resources that they come from. No point of the rate limit is used: the key is
 * within its limit unless the question says otherwise.
 * @throws Failure NOT_FOUND: no key has this id; INVALID_REQUEST: what is set are no facts of the schema, or facts that cannot occur
 */
export const readLive = (db: Knex, peppers: readonly Pepper[], schema: Schema, question: LiveQuestion): Promise<Live> =>
  orFailure(
    db.transaction((trx) => readIn(trx, peppers, schema, question), {
      isolationLevel: 'repeatable read',
      readOnly: true,
    }),
  );

async function readIn(
  trx: Knex.Transaction,
  peppers: readonly Pepper[],
  schema: Schema,
  question: LiveQuestion,
): Promise<Live> {
  const { action, businessId, ip, attributes = {} } = question;
  const issues = checkAttributes(schema.declaration.asked, attributes);
  if (issues.length > 0) throw refused(issues.map((issue) => ({ ...issue, path: `context.${issue.path}` })));
  const digests =
    'id' in question.key ? await digestOfId(trx, question.key.id) : digestsOf(peppers, question.key.secret);
  const { found } = await readStored([{ digests, businessId }], (bindings) =>
    trx.raw<{ rows: StoredRow[] }>(LOAD_FACTS, bindings),
  );
  const at = question.at ?? (await clockOf(trx));
  const known = knownAt(found[0] as Found<Known>, Date.parse(at));
  const loaded = factsAt(at, () => factsUnder(schema, known, { action, ip, attributes, moment: Date.parse(at) }));
  const freezes = await freezesOf(trx, at, loaded);
  const frozen = freezes.length > 0 ? withValues(loaded, new Map([['r.freeze.active', true]])) : loaded;
  const facts = withSet(schema, frozen, question.set);
  return { question, schema, facts, at, reasons: known.reasons, freezes, ...(await resourcesOf(trx, known)) };
}

function factsAt(at: string, facts: () => Facts): Facts {
  try {
    return facts();
  } catch (error) {
    if (!(error instanceof UnprovedMoment)) throw error;
    throw invalid(
      'at',
      `at ${at} the schedules combine as they never do from 2000 to 2060; name a time of these years`,
    );
  }
}

async function digestOfId(trx: Knex.Transaction, id: string): Promise<readonly Digested[]> {
  const row = await trx('api_keys').where({ id }).first<{ digest: Buffer; pepper_id: string } | undefined>();
  if (!row) throw notFound('key', id);
  return [{ digest: row.digest, pepper: { id: row.pepper_id } }];
}

async function clockOf(trx: Knex.Transaction): Promise<string> {
  const { rows } = await trx.raw<{ rows: [{ now: Date }] }>('select now() as now');
  return rows[0].now.toISOString();
}

/** What was found, as it is at another moment: a key that is not revoked is active until it expires. */
function knownAt({ value, since, until }: Found<Known>, moment: number): Known {
  const { status } = value.key;
  const expires = status === 'expired' ? since : until;
  const then = status === 'active' || status === 'expired' ? (moment < expires ? 'active' : 'expired') : status;
  return then === status ? value : { ...value, key: closed({ ...value.key, status: then }) };
}

/** The freezes that cover the question at that moment, as far as is known today. */
async function freezesOf(
  trx: Knex.Transaction,
  at: string,
  { key, user, target, request }: Facts,
): Promise<FreezeRecord[]> {
  const scope = { apiKeyId: key.id, userId: user.id, businessId: target.id };
  const freezes = await freezesAt(trx, at, { action: request.action, ...scope });
  return freezes.filter(
    ({ createdAt, until, liftedAt }) => createdAt <= at && until > at && (liftedAt === null || liftedAt > at),
  );
}

async function resourcesOf(
  trx: Knex.Transaction,
  { key, user, target }: Known,
): Promise<Pick<Live, 'key' | 'user' | 'business' | 'reachable'>> {
  const found = key.status === 'unknown' ? undefined : await getKey(trx, key.id);
  const restriction = found?.restrictedBusinessIds ?? [];
  const { rows } = await trx.raw<{ rows: { business_id: string }[] }>(
    'select business_id from business_members where user_id = ? and business_id = any(?::text[]) order by 1',
    [user.id, restriction as string[]],
  );
  return {
    key: found,
    user: user.status === 'unknown' ? undefined : await getUser(trx, user.id),
    business:
      target.status === 'active' || target.status === 'disabled' ? await getBusiness(trx, target.id) : undefined,
    reachable: rows.map(({ business_id }) => business_id),
  };
}
