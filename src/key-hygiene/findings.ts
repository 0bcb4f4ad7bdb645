/**
 * Lists findings: what is wrong with a key or its use, by queries over keys, memberships and the decision log.
 * docs/key-hygiene.md has a section for each kind.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import { declaredValues } from '../directory/undeclared.ts';
import { Refusal } from '../errors.ts';
import { pageQuery } from '../input/resources.ts';
import type { Declaration } from '../policy/declared/declaration.ts';
import { type Declared, type HygieneRow, type Kind, THRESHOLDS, type Thresholds } from './kind.ts';
import { HYGIENE_KINDS, type HygieneName } from './rules.ts';

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
  readonly declaration: Declaration;
}

export const NAMES = Object.keys(HYGIENE_KINDS) as [HygieneName, ...HygieneName[]];

const threshold = z
  .string()
  .regex(/^[1-9]\d{0,5}$/, 'must be a whole number from 1 to 999999')
  .meta({ type: 'integer', minimum: 1, maximum: 999_999, pattern: undefined })
  .transform(Number)
  .optional();

/** The query parameters: a page, one kind or all, and every threshold. */
export const hygieneQuery = z.strictObject({
  ...pageQuery,
  finding: z.enum(NAMES, `must be one of ${NAMES.join(', ')}`).optional(),
  ...(Object.fromEntries(Object.keys(THRESHOLDS).map((name) => [name, threshold])) as Record<
    keyof Thresholds,
    typeof threshold
  >),
});

/**
 * Every threshold: as it was asked for, else as FINDINGS_THRESHOLDS has it, else its default.
 * @throws Refusal: FINDINGS_THRESHOLDS names one that there is not
 */
export function thresholdsOf(
  configured: ReadonlyMap<string, number> = new Map(),
  asked: { readonly [Name in keyof Thresholds]?: number | undefined } = {},
): Thresholds {
  const unknown = [...configured.keys()].filter((name) => !(name in THRESHOLDS));
  if (unknown.length > 0)
    throw new Refusal(
      `FINDINGS_THRESHOLDS has ${unknown.join(', ')}, which is no threshold; there are ${Object.keys(THRESHOLDS).join(', ')}`,
    );
  return Object.fromEntries(
    Object.entries(THRESHOLDS).map(([name, { default: value }]) => [
      name,
      asked[name as keyof Thresholds] ?? configured.get(name) ?? value,
    ]),
  ) as Thresholds;
}

/**
 * A keyset page of the findings of this moment, ordered by kind (as in HYGIENE_KINDS), then by subject.
 * @throws Failure INVALID_REQUEST (the cursor), UNAVAILABLE or DEADLINE_EXCEEDED
 */
export const listHygieneFindings = (
  db: Knex,
  { finding, thresholds, declaration }: HygieneFilter,
  page: PageRequest,
  cursors: Cursors,
): Promise<Page<HygieneFinding>> =>
  readPage(
    page,
    cursors,
    `findings ${JSON.stringify([finding, thresholds])}`,
    async (place, limit) => {
      const [from, after = ''] = place === '' ? [finding ?? NAMES[0]] : place.split(/ (.*)/s);
      const names = finding === undefined ? NAMES.slice(NAMES.indexOf(from as HygieneName)) : [finding];
      const rows: HygieneFinding[] = [];
      for (const name of names) {
        if (rows.length >= limit) break;
        const asked = { thresholds, declaration, after: name === from ? after : '', limit: limit - rows.length };
        rows.push(...(await findingsOf(db, name, asked)).findings);
      }
      return rows;
    },
    ({ finding: name, subject }) => `${name} ${subject}`,
    (found) => found,
  );

interface Found {
  readonly findings: readonly HygieneFinding[];
  /** How many there are, those that were not asked for as well. */
  readonly total: number;
}

/** The first `limit` findings of a kind behind the subject `after`, ordered by subject. @throws what the database throws */
export async function findingsOf(
  db: Knex,
  name: HygieneName,
  { thresholds, declaration, after, limit }: Omit<HygieneFilter, 'finding'> & { after: string; limit: number },
): Promise<Found> {
  const { sql, needs, needsDeclared, describe }: Kind = HYGIENE_KINDS[name];
  const declared: Declared = {
    register: [...declaration.actions.known.keys()],
    values: declaredValues(declaration),
  };
  const bindings = {
    ...Object.fromEntries(needs.map((need) => [need, thresholds[need]])),
    ...(needsDeclared && { [needsDeclared]: [...declared[needsDeclared]] }),
    after,
    limit,
  };
  const { rows } = await db.raw<{ rows: (HygieneRow & { total: number })[] }>(
    `select *, count(*) over ()::float8 as total from (${sql}) as found where subject > :after order by subject limit :limit`,
    bindings,
  );
  const findings = rows.map(({ total: _, subject, ...evidence }) => ({
    finding: name,
    subject,
    ...describe({ subject, ...evidence }, thresholds, declared),
    evidence,
  }));
  return { findings, total: rows[0]?.total ?? 0 };
}
