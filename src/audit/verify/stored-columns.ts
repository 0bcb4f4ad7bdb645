/** The columns that a proof reads of the table, in the order in which most of them are hashed. */

import type { ColumnName } from '../columns.ts';

export const STORED_COLUMNS = [
  ...(['boot', 'seq', 'id', 'at', 'hash', 'duration_us', 'personal_digest'] as const),
  ...(['situation', 'facts_version', 'facts'] as const),
  // Those of each line stand in the hash as they stand in a row, one behind the other.
  ...(['caller_id', 'api_key_id', 'user_id', 'business_id', 'action', 'effect', 'code', 'rule', 'policy'] as const),
  ...(['request_id', 'caller_request_id', 'trace_id'] as const),
  ...(['fingerprint', 'shadow_policy', 'shadow_code', 'shadow_rule'] as const),
  ...(['personal_salt', 'ip', 'user_agent'] as const),
] satisfies readonly (ColumnName | 'situation')[];

/** Where each column stands in STORED_COLUMNS. */
export const AT = Object.fromEntries(STORED_COLUMNS.map((name, index) => [name, index])) as Readonly<
  Record<(typeof STORED_COLUMNS)[number], number>
>;
