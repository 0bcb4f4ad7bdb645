/** Generated decisions, inserted directly into the log: valid for replay, but without valid hash chains. */

import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { situations } from '../../src/policy/analysis/situations.ts';
import { decide, type Policy } from '../../src/policy/decide.ts';
import { closed, FACTS_VERSION, type Facts } from '../../src/policy/facts.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { GROUPS } from '../support/facts.ts';

export interface Generated {
  readonly id: string;
  readonly facts: Facts;
  readonly code: string;
  readonly rule: string;
}

/** `count` facts: every situation of the policy, repeated under other ids. */
export function* generate(policy: Policy, count: number): Generator<Generated> {
  for (let n = 0; n < count; ) {
    for (const situation of situations(policy.rows, BUILT_IN)) {
      const facts = renamed(situation, n);
      const { code, rule } = decide(policy, facts);
      yield { id: uuidv7(), facts, code, rule };
      n += 1;
      if (n >= count) return;
    }
  }
}

/** The same situation with another key, user and target, whose ids no rule names. */
function renamed(facts: Facts, n: number): Facts {
  const groups = GROUPS.map((group) => {
    const { id, ...rest } = facts[group] as { id?: string };
    return [group, closed(id ? { id: `${group}-${n % 13}`, ...rest } : { ...facts[group] })];
  });
  return closed(Object.fromEntries(groups)) as Facts;
}

const INSERT = `
  insert into decision_records (id, at, boot, seq, caller_id, api_key_id, user_id, business_id, action, effect, code, rule, policy,
    facts_version, facts, personal_digest, hash)
  select id, ?::timestamptz, '00000000-0000-4000-8000-000000000000', seq, 'test', nullif(facts->'key'->>'id', ''),
    nullif(facts->'user'->>'id', ''), nullif(facts->'target'->>'id', ''), facts->'request'->>'action',
    case code when 'OK' then 'allow' else 'deny' end, code, rule, ?, ?, facts, sha256('none'), sha256('none')
  from jsonb_to_recordset(?::jsonb) as d (id uuid, seq bigint, facts jsonb, code text, rule text)`;

const CHUNK = 10_000;

/** Inserts decisions of the policy `digest` into the log, at the time `at`, with facts of that version. */
export async function insertDecisions(
  db: Knex,
  digest: string,
  at: Date,
  decisions: Iterable<Omit<Generated, 'facts'> & { readonly facts: object }>,
  version = FACTS_VERSION,
): Promise<void> {
  let chunk: object[] = [];
  let seq = 0;
  const write = () => db.raw(INSERT, [at.toISOString(), digest, version, JSON.stringify(chunk)]);
  for (const decision of decisions) {
    seq += 1;
    chunk.push({ ...decision, seq });
    if (chunk.length < CHUNK) continue;
    await write();
    chunk = [];
  }
  if (chunk.length > 0) await write();
}
