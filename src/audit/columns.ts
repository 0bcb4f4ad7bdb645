/**
 * The one table of the decision log's columns. INSERT, SELECT, export, the row reader of the verification, filters,
 * statistics and the shapes of the API are derived from it. The migration and `recordHash`, which are frozen once released,
 * are spelled out, and test/audit/columns.test.ts holds them against it.
 */

export type ColumnType = 'uuid' | 'timestamptz(3)' | 'bigint' | 'integer' | 'smallint' | 'text' | 'jsonb' | 'bytea';

export interface Column {
  readonly type: ColumnType;
  readonly nullable: boolean;
  /** The field of the API, of JSON output and of exports; null: never shown. */
  readonly api: string | null;
  /** Whether `recordHash` covers it. The personal data are covered by their digest instead. */
  readonly hashed: boolean;
  /** Whether decisions can be filtered by its equality with a value (query/filters.ts). */
  readonly filter: boolean;
  /** Whether an index leads to the decisions with a value of it; `except`: with any value but this one (a partial index). */
  readonly indexed?: true | { readonly except: string };
  /** All that it can hold, where that is an enumeration. */
  readonly values?: readonly string[];
  /** For the document of the API. */
  readonly says?: string;
  /** A value as the API shows it, for its document. */
  readonly example?: unknown;
}

const text = { type: 'text', nullable: false, hashed: true, filter: false } as const;
const nullable = { ...text, nullable: true, example: null } as const;
const uuid = { ...text, type: 'uuid' } as const;
const bytes = { ...text, type: 'bytea' } as const;

const FACTS = {
  key: { id: 'ada-main', status: 'active', userManagement: false, environment: 'production' },
  user: { id: 'ada', status: 'disabled', businesses: 'active' },
  target: { id: 'bakery', status: 'active', role: 'member', inRestriction: true },
  limit: { exceeded: false },
  request: { action: 'call:create', registered: true, addressed: true, byId: false },
  freeze: { active: false },
};
const FACTS_VERSION_SAYS = 'Which version of the facts was recorded; those that came later are not in `facts`';
const FINGERPRINT_SAYS = 'Of a credential that no key was found for';
const CALLER_REQUEST_ID_SAYS = "The caller's own X-Request-Id; requestId is what it told of its client's request";
const TRACE_ID_SAYS = 'Of the W3C trace that the question was asked in, where traces are configured: 32 hex digits';
const BOOT_SAYS = 'With the day of `at` it names the chain that the record stands in';

/** In the order in which the fields of a record are shown. */
export const COLUMNS = {
  id: { ...uuid, api: 'id', example: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e' },
  at: { ...text, type: 'timestamptz(3)', api: 'at', example: '2030-01-31T12:00:00.000Z' },
  caller_id: { ...text, api: 'callerId', filter: true, example: 'voice-gateway' },
  api_key_id: { ...nullable, api: 'apiKeyId', filter: true, indexed: true, example: 'ada-main' },
  user_id: { ...nullable, api: 'userId', filter: true, indexed: true, example: 'ada' },
  business_id: { ...nullable, api: 'businessId', filter: true, indexed: true, example: 'bakery' },
  action: { ...text, api: 'action', example: 'call:create' },
  effect: { ...text, api: 'effect', filter: true, values: ['allow', 'deny'], example: 'deny' },
  code: { ...text, api: 'code', filter: true, indexed: { except: 'OK' }, example: 'USER_DISABLED' },
  rule: { ...text, api: 'rule', filter: true, example: 'user-disabled' },
  policy: { ...text, api: 'policy', example: 'sha256:5ed05654' },
  facts_version: { ...text, type: 'smallint', api: 'factsVersion', says: FACTS_VERSION_SAYS, example: 4 },
  facts: { ...text, type: 'jsonb', api: 'facts', example: FACTS },
  ip: { ...nullable, api: 'ip', hashed: false, example: '203.0.113.7' },
  user_agent: { ...nullable, api: 'userAgent', hashed: false, example: 'curl/8.5' },
  personal_salt: { ...bytes, nullable: true, api: null, hashed: false },
  personal_digest: { ...bytes, api: null },
  request_id: { ...nullable, api: 'requestId', filter: true, example: '7f3a' },
  caller_request_id: { ...nullable, api: 'callerRequestId', says: CALLER_REQUEST_ID_SAYS, example: 'gateway-9c1' },
  trace_id: { ...nullable, api: 'traceId', filter: true, says: TRACE_ID_SAYS },
  duration_us: { ...nullable, type: 'integer', api: 'durationUs', example: 412 },
  fingerprint: { ...nullable, api: 'fingerprint', filter: true, indexed: true, says: FINGERPRINT_SAYS },
  shadow_policy: { ...nullable, api: 'shadowPolicy' },
  shadow_code: { ...nullable, api: 'shadowCode' },
  shadow_rule: { ...nullable, api: 'shadowRule' },
  boot: { ...uuid, api: 'boot', says: BOOT_SAYS, example: '0f9ae1de-6cde-4b8e-9e53-6f3bdf0c0a11' },
  seq: { ...text, type: 'bigint', api: 'seq', example: 4711 },
  hash: {
    ...bytes,
    api: 'hash',
    hashed: false,
    example: '5ed05654e0a1a5f4b7a8c0d6f1d2b3a4958677665544332211ffeeddccbbaa99',
  },
} as const satisfies Readonly<Record<string, Column>>;

type Table = typeof COLUMNS;
export type ColumnName = keyof Table;

export const COLUMN_NAMES = Object.keys(COLUMNS) as readonly ColumnName[];

/** The columns with a property, as a type. */
type ColumnsWith<Property> = { [C in ColumnName]: Table[C] extends Property ? C : never }[ColumnName];
export type HashedColumn = ColumnsWith<{ readonly hashed: true }>;

type OrNull<C extends ColumnName, T> = Table[C]['nullable'] extends true ? T | null : T;
type IsNumber<C extends ColumnName> = Table[C]['type'] extends 'bigint' | 'integer' | 'smallint' ? true : false;

/**
 * A value as this program writes, hashes and verifies it: times in ISO 8601 with milliseconds (UTC), jsonb as its RFC 8785
 * text, bytea in lower-case hex.
 */
export type ColumnValue<C extends ColumnName> = OrNull<C, IsNumber<C> extends true ? number : string>;

type ShownValue<C extends ColumnName> = OrNull<
  C,
  Table[C] extends { readonly values: readonly (infer V)[] }
    ? V
    : Table[C]['type'] extends 'jsonb'
      ? Readonly<Record<string, unknown>>
      : IsNumber<C> extends true
        ? number
        : string
>;

/**
 * A record as auditors see it. `at` is ISO text in UTC, `hash` lower-case hex; `ip` and `userAgent` are null where nothing was
 * told or where they were erased.
 */
export type DecisionRecord = { readonly [C in ColumnName as NonNullable<Table[C]['api']>]: ShownValue<C> };

/** The fields that decisions can be filtered by, as they are named over HTTP. */
export type FilterField = NonNullable<Table[ColumnsWith<{ readonly filter: true }>]['api']>;

export interface ShownColumn extends Column {
  readonly column: ColumnName;
  readonly api: keyof DecisionRecord;
}

/** Those that are shown, in their order. */
export const SHOWN_COLUMNS: readonly ShownColumn[] = COLUMN_NAMES.flatMap((column) => {
  const definition: Column = COLUMNS[column];
  return definition.api === null ? [] : [{ ...definition, column, api: definition.api as keyof DecisionRecord }];
});
