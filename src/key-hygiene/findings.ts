/**
 * Which keys should not be as they are, and who tries keys that are none: what the directory, the keys and the log know
 * together. Each finding says what to do; docs/key-hygiene.md has a section for each.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import { pageQuery } from '../input/resources.ts';
import { type FindingRow, HYGIENE, type HygieneName, THRESHOLDS, type Thresholds } from './rules.ts';

export interface HygieneFinding {
  readonly finding: HygieneName;
  /** What it is about: the id of a key, the fingerprint of a credential, or an address. */
  readonly subject: string;
  readonly says: string;
  readonly advice: string;
  /** The commands that do so, to be pasted. */
  readonly commands: readonly string[];
  /** The numbers behind it. */
  readonly evidence: Readonly<Record<string, unknown>>;
}

export interface FindingFilter {
  /** Of this kind only. */
  readonly finding?: HygieneName | undefined;
  readonly thresholds: Thresholds;
}

const NAMES = Object.keys(HYGIENE) as [HygieneName, ...HygieneName[]];

const threshold = (value: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,5}$/, 'must be a whole number from 1 to 999999')
    .default(String(value))
    .transform(Number);

/** What can be asked: one kind or all of them, a page, and every threshold. */
export const findingsQuery = z.strictObject({
  ...pageQuery,
  finding: z.enum(NAMES, `must be one of ${NAMES.join(', ')}`).optional(),
  ...(Object.fromEntries(
    Object.entries(THRESHOLDS).map(([name, { default: value }]) => [name, threshold(value)]),
  ) as Record<keyof Thresholds, ReturnType<typeof threshold>>),
});

interface Row extends FindingRow {
  readonly finding: HygieneName;
}

/**
 * A page of what is found now, kind after kind, by subject.
 * @throws Failure INVALID_REQUEST (the cursor), UNAVAILABLE or DEADLINE_EXCEEDED
 */
export const listFindings = (
  db: Knex,
  { finding, thresholds }: FindingFilter,
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
      const rows: Row[] = [];
      for (const name of names) {
        if (rows.length >= limit) break;
        const found = await findingsOf(db, name, thresholds, name === from ? after : '', limit - rows.length);
        rows.push(...found.map((row) => ({ finding: name, ...row })));
      }
      return rows;
    },
    ({ finding: name, subject }) => `${name} ${subject}`,
    ({ finding: name, subject, ...evidence }) => ({
      finding: name,
      subject,
      ...HYGIENE[name].tell({ subject, ...evidence }, thresholds),
      evidence,
    }),
  );

async function findingsOf(
  db: Knex,
  name: HygieneName,
  thresholds: Thresholds,
  after: string,
  limit: number,
): Promise<FindingRow[]> {
  const { sql, needs } = HYGIENE[name];
  const bindings = { ...Object.fromEntries(needs.map((need) => [need, thresholds[need]])), after, limit };
  const { rows } = await db.raw<{ rows: FindingRow[] }>(
    `select * from (${sql}) as found where subject > :after order by subject limit :limit`,
    bindings,
  );
  return rows;
}
