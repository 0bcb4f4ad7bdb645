/** Who changed what: the events that every mutation leaves, newest first. */

import type { Knex } from 'knex';
import { z } from 'zod';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import { pageQuery } from '../input/resources.ts';
import { momentSchema, searchText } from '../input/scalars.ts';

export interface AdminRecord {
  readonly id: string;
  readonly at: string;
  readonly actor: string;
  /** The login of the database that it was done with; `actor` is what the service or the command stated. */
  readonly login: string;
  readonly action: string;
  readonly kind: string;
  readonly subject: string;
  readonly before: object | null;
  readonly after: object | null;
  readonly requestId: string | null;
}

/** What events can be filtered by. Those that are given must all hold; times are RFC 3339, from inclusive, to exclusive. */
const adminFilter = {
  actor: searchText(128).optional(),
  action: searchText(64).optional(),
  kind: searchText(32).optional(),
  subject: searchText(129).optional(),
  from: momentSchema.optional(),
  to: momentSchema.optional(),
};
export type AdminFilter = Readonly<z.output<z.ZodObject<typeof adminFilter>>>;

export const adminQuery = z.strictObject({ ...pageQuery, ...adminFilter });

interface EventRow {
  id: string;
  at: Date;
  actor: string;
  login: string;
  action: string;
  subject_kind: string;
  subject_id: string;
  before: object | null;
  after: object | null;
  request_id: string | null;
}

export const listAdminEvents = (
  db: Knex,
  filter: AdminFilter,
  page: PageRequest,
  cursors: Cursors,
): Promise<Page<AdminRecord>> =>
  readPage(
    page,
    cursors,
    `admin events ${JSON.stringify(Object.entries(filter).sort())}`,
    (place, limit) => {
      const query = db<EventRow>('admin_events').orderBy('id', 'desc').limit(limit);
      if (place !== '') query.where('id', '<', place);
      const equal = {
        actor: filter.actor,
        action: filter.action,
        subject_kind: filter.kind,
        subject_id: filter.subject,
      };
      for (const [column, value] of Object.entries(equal)) if (value !== undefined) query.where(column, value);
      if (filter.from !== undefined) query.where('at', '>=', filter.from);
      if (filter.to !== undefined) query.where('at', '<', filter.to);
      return query as PromiseLike<EventRow[]>;
    },
    (row) => row.id,
    (row) => ({
      id: row.id,
      at: row.at.toISOString(),
      actor: row.actor,
      login: row.login,
      action: row.action,
      kind: row.subject_kind,
      subject: row.subject_id,
      before: row.before,
      after: row.after,
      requestId: row.request_id,
    }),
  );
