/**
 * The bytes that `admin_events` are hashed over, each with the one before. docs/audit.md describes them; the database hashes what it
 * adds (migrations/001_initial/admin-chain.ts), and this is what the verification recomputes.
 */

import { field, sha256 } from './record-hash.ts';

/** A row of `admin_events` that has its place in the chain, as texts. */
export interface EventRecord {
  /** The place in the chain, from 1 without a gap. */
  readonly seq: number;
  readonly id: string;
  /** Like `chained_at` in ISO 8601 with milliseconds, UTC. */
  readonly at: string;
  /** When it took its place: with the change; of the event of a read, later. */
  readonly chained_at: string;
  readonly actor: string;
  readonly login: string;
  readonly action: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  /** Like `after` the text that PostgreSQL has of the jsonb value. */
  readonly before: string | null;
  readonly after: string | null;
  readonly request_id: string | null;
}

/** The hash of an event that stands after one with the hash `previous`; the first stands after 32 zero bytes. */
export const eventHash = (previous: Buffer, event: EventRecord): Buffer =>
  sha256(
    'iqra-authz/event/1\n' +
      previous.toString('latin1') +
      field(String(event.seq)) +
      field(event.id) +
      field(event.at) +
      field(event.chained_at) +
      field(event.actor) +
      field(event.login) +
      field(event.action) +
      field(event.subject_kind) +
      field(event.subject_id) +
      field(event.before) +
      field(event.after) +
      field(event.request_id),
  );
