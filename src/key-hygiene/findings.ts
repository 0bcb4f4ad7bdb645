/**
 * Lists hygiene findings: what is wrong with a key or its use, by queries over keys, memberships and the decision log.
 * docs/key-hygiene.md has a section for each kind.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import { pageQuery } from '../input/resources.ts';
import {
  HYGIENE_KINDS,
  type HygieneName,
  type HygieneRow,
  type Kind,
  type Register,
  THRESHOLDS,
  type Thresholds,
} from './rules.ts';

export interface HygieneFinding {
  readonly finding: HygieneName;
  /** The id of a key, the fingerprint of a credential, an address, or an action. */
  readonly subject: string;
  readonly says: string;
  readonly advice: string;
  /** Shell commands that do what `advice` says. */
  readonly commands: readonly string[];
  /** The other columns of its query. */
  readonly evidence: Readonly<Record<string, unknown>>;
}

export interface HygieneFilter {
  /** Of this kind only. */
  readonly finding?: HygieneName | undefined;
  readonly thresholds: Thresholds;
  /** Of the policy that decides now. */
  readonly register: Register;
}

const NAMES = Object.keys(HYGIENE_KINDS) as [HygieneName, ...HygieneName[]];

const threshold = (value: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,5}$/, 'must be a whole number from 1 to 999999')
    .default(String(value))
    .meta({ type: 'integer', minimum: 1, maximum: 999_999, default: value, pattern: undefined })
    .transform(Number);

/** The query parameters: a page, one kind or all, and every threshold. */
export const hygieneQuery = z.strictObject({
  ...pageQuery,
  finding: z.enum(NAMES, `must be one of ${NAMES.join(', ')}`).optional(),
  ...(Object.fromEntries(
    Object.entries(THRESHOLDS).map(([name, { default: value }]) => [name, threshold(value)]),
  ) as Record<keyof Thresholds, ReturnType<typeof threshold>>),
});

interface RowOfKind extends HygieneRow {
  readonly finding: HygieneName;
}

/**
 * A keyset page of the findings of this moment, ordered by kind (as in HYGIENE_KINDS), then by subject.
 * @throws Failure INVALID_REQUEST (the cursor), UNAVAILABLE or DEADLINE_EXCEEDED
 */
export const listHygieneFindings = (
  db: Knex,
  { finding, thresholds, register }: HygieneFilter,
  page: PageRequest,
  cursors: Cursors,
): Promise<Page<HygieneFinding>> =>
  readPage(
    page,
    cursors,
    `findings ${JSON.stringify([finding, thresholds])}`,
    async (place, limit) => {
      const [from, after = ''] = place === '' ? [finding ?? NAMES[0]] : place.split(' ');
      const names = finding === undefined ? NAMES.slice(NAMES.indexOf(from as HygieneName)) : [finding];
      const rows: RowOfKind[] = [];
      for (const name of names) {
        if (rows.length >= limit) break;
        const found = await findingsOf(
          db,
          name,
          { thresholds, register },
          name === from ? after : '',
          limit - rows.length,
        );
        rows.push(...found.map((row) => ({ finding: name, ...row })));
      }
      return rows;
    },
    ({ finding: name, subject }) => `${name} ${subject}`,
    ({ finding: name, subject, ...evidence }) => ({
      finding: name,
      subject,
      ...HYGIENE_KINDS[name].describe({ subject, ...evidence }, thresholds, register),
      evidence,
    }),
  );

async function findingsOf(
  db: Knex,
  name: HygieneName,
  { thresholds, register }: Pick<HygieneFilter, 'thresholds' | 'register'>,
  after: string,
  limit: number,
): Promise<HygieneRow[]> {
  const { sql, needs, needsRegister }: Kind = HYGIENE_KINDS[name];
  const bindings = {
    ...Object.fromEntries(needs.map((need) => [need, thresholds[need]])),
    ...(needsRegister && { register: [...register] }),
    after,
    limit,
  };
  const { rows } = await db.raw<{ rows: HygieneRow[] }>(
    `select * from (${sql}) as found where subject > :after order by subject limit :limit`,
    bindings,
  );
  return rows;
}
