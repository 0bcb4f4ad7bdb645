/** Stores the texts of every policy that was ever live, by digest, to explain old decisions and to roll a policy back. */

import type { Knex } from 'knex';
import { orFailure } from '../db/failure.ts';
import { Failure, Refusal } from '../errors.ts';
import type { Policy } from '../policy/decide.ts';
import { hashOf } from '../policy/folder/digest.ts';
import { NETWORK_FILE, type PolicyTexts } from '../policy/folder/files.ts';
import { namesOfRows } from '../policy/folder/rows.ts';
import { assemblePast } from '../policy/policy.ts';
import { runInSlices } from '../policy/time-slices.ts';

/** A policy by the digest that a record names, or why there is none. */
export type PolicyOfTime =
  | { readonly policy: Policy; readonly why?: never }
  | { readonly policy?: never; readonly why: string };

export interface StoredPolicy {
  readonly digest: string;
  readonly firstSeenAt: string;
  readonly texts: PolicyTexts;
}

/** Stands in `policies` for a file that is stored by content, once however many policies have it. */
interface Reference {
  readonly sha256: string;
}

/**
 * Stores a policy's texts. The digest does not cover cases and invariants; under a known digest they are replaced.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function storePolicy(db: Knex, digest: string, texts: PolicyTexts): Promise<void> {
  const stored: Record<string, string | Reference> = Object.fromEntries(texts);
  for (const [file, text] of texts) {
    if (NETWORK_FILE.test(file)) stored[file] = await storeFile(db, text);
  }
  const row = { digest, texts: JSON.stringify(stored) };
  await orFailure(db('policies').insert(row).onConflict('digest').merge(['texts']));
}

async function storeFile(db: Knex, text: string): Promise<Reference> {
  const sha256 = await runInSlices(hashOf(text));
  // Looked for first: a replica that starts need not send 16 MiB for nothing.
  const [known] = await orFailure(db('policy_files').where({ sha256 }).select('sha256'));
  if (!known) await orFailure(db('policy_files').insert({ sha256, text }).onConflict('sha256').ignore());
  return { sha256 };
}

const PREFIX = /^(?:sha256:)?([0-9a-f]{8,64})$/;

/** The last thousand policies that were live, the newest first. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function listPolicies(db: Knex): Promise<Omit<StoredPolicy, 'texts'>[]> {
  const rows = await orFailure<{ digest: string; first_seen_at: Date }[]>(
    db('policies').select('digest', 'first_seen_at').orderBy('first_seen_at', 'desc').limit(1000) as never,
  );
  return rows.map(({ digest, first_seen_at: at }) => ({ digest, firstSeenAt: at.toISOString() }));
}

/**
 * The policy with the digest, or with the only one that begins so; `sha256:` may be left out.
 * @throws Refusal when there is none, or more than one; Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function findPolicy(db: Knex, digest: string): Promise<StoredPolicy> {
  const hex = PREFIX.exec(digest)?.[1];
  if (hex === undefined)
    throw new Refusal('a policy digest is sha256: and at least 8 hex digits; authz policy history lists them');
  const rows = await orFailure(
    db('policies')
      .where('digest', '>=', `sha256:${hex}`)
      .where('digest', '<=', `sha256:${hex.padEnd(64, 'f')}`)
      .orderBy('digest')
      .limit(2),
  );
  const [row, other] = rows;
  if (!row)
    throw new Refusal(
      `no policy of the digest ${digest} was ever live on this database; authz policy history lists those that were`,
    );
  if (other) throw new Refusal(`more than one policy has a digest that begins with ${digest}; give more of it`);
  return { digest: row.digest, firstSeenAt: row.first_seen_at.toISOString(), texts: await textsOf(db, row) };
}

const POLICIES_AT_ONCE = 10;

/**
 * What decisions by the policies that are kept are called: their rules and codes, some policies at a time, the newest first.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function* namesOfPolicies(db: Knex): AsyncGenerator<ReturnType<typeof namesOfRows>> {
  const read = new Set<string>();
  for (let skipped = 0; ; skipped += POLICIES_AT_ONCE) {
    const { rows } = await orFailure(
      db.raw<{ rows: { text: string }[] }>(
        `select text from (select texts from policies order by first_seen_at desc, digest limit ? offset ?) as kept,
           jsonb_each_text(texts) as file (name, text) where name like '%.csv'`,
        [POLICIES_AT_ONCE, skipped],
      ),
    );
    if (rows.length === 0) return;
    // Most files are those of the policy before.
    const fresh = rows.map(({ text }) => text).filter((text) => !read.has(text));
    for (const text of fresh) read.add(text);
    yield fresh.flatMap(namesOfRows);
  }
}

/** The policy of exactly this digest, ready to decide on recorded facts as it did. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function policyOfTime(db: Knex, digest: string): Promise<PolicyOfTime> {
  try {
    const stored = await findPolicy(db, digest);
    // findPolicy takes the beginning of a digest, too; a record that holds no more than that was altered.
    if (stored.digest !== digest) return { why: `${digest} is not the digest of a policy` };
    const policy = await assemblePast(stored.texts).catch((cause: Error) => {
      throw new Refusal(`the policy ${digest} cannot be read by this version: ${cause.message}`, cause);
    });
    if (policy.digest === digest) return { policy };
    return { why: `what is stored as the policy ${digest} has another digest: IT WAS ALTERED` };
  } catch (error) {
    if (error instanceof Refusal || error instanceof UnreadablePolicy) return { why: error.message };
    throw error;
  }
}

/** The texts of a stored policy are not what `storePolicy` writes: only a write past it can have made them so. */
class UnreadablePolicy extends Failure {
  constructor(digest: string) {
    super('UNAVAILABLE', `the stored policy ${digest} cannot be read`);
  }
}

async function textsOf(
  db: Knex,
  { digest, texts }: { digest: string; texts: Record<string, unknown> },
): Promise<PolicyTexts> {
  const whole = new Map<string, string>();
  // jsonb does not keep the order of keys; texts are sorted by file name.
  for (const [file, text] of Object.entries(texts).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const read = typeof text === 'string' ? text : await readFile(db, text);
    if (read === undefined) throw new UnreadablePolicy(digest);
    whole.set(file, read);
  }
  return whole;
}

/** The text that a reference names; undefined: there is none, or it was altered. */
async function readFile(db: Knex, reference: unknown): Promise<string | undefined> {
  const { sha256 } = (reference ?? {}) as Partial<Record<keyof Reference, unknown>>;
  if (typeof sha256 !== 'string') return undefined;
  const [row] = await orFailure<{ text: string }[]>(db('policy_files').where({ sha256 }).select('text') as never);
  return row && (await runInSlices(hashOf(row.text))) === sha256 ? row.text : undefined;
}
