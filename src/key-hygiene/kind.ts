/** The form of a kind of findings, and the thresholds that kinds are told by. */

/** Thresholds of the queries, in days, hours, minutes or counts, as the names say. */
export const THRESHOLDS = {
  unusedDays: { default: 90, help: 'days without a use after which a key counts as unused' },
  rotateDays: { default: 365, help: 'days after which a key should have been rotated' },
  expiringDays: { default: 14, help: 'days before its expiry at which a key counts as expiring' },
  useDays: { default: 90, help: 'days of the log that are searched for what a key is used for' },
  fewBusinesses: { default: 3, help: 'businesses that are few enough to restrict a key to' },
  burstDenials: { default: 50, help: 'denials of one key that make a burst' },
  burstMinutes: { default: 10, help: 'minutes within which what makes a burst falls' },
  burstUses: { default: 1000, help: 'least decisions of one key or user that make a burst' },
  burstFactor: {
    default: 5,
    help: 'times its busiest such minutes of `usualDays` that a burst has more decisions than',
  },
  usualDays: { default: 8, help: 'days of the log that tell what is usual of a key or user' },
  watchHours: {
    default: 24,
    help: 'hours of the log that are searched for denials, bad credentials and unregistered actions',
  },
  credentialUses: { default: 100, help: 'uses of one bad credential that make a finding' },
  addressCredentials: { default: 20, help: 'different bad credentials from one address that make a finding' },
  callerRefusals: {
    default: 100,
    help: 'refused requests of one caller, or without one from one address, that make a finding',
  },
  freezeMinutes: { default: 60, help: 'minutes before its end at which a freeze counts as ending' },
} as const;

export type Threshold = keyof typeof THRESHOLDS;
export type Thresholds = Readonly<Record<Threshold, number>>;

/** A row of a kind's query: the subject, and the evidence. */
export interface HygieneRow {
  readonly subject: string;
  readonly [evidence: string]: unknown;
}

interface Description {
  readonly says: string;
  readonly advice: string;
  readonly commands: readonly string[];
}

/** What a kind is found by, and says. */
export interface Kind {
  /** The thresholds that the query binds. */
  readonly needs: readonly Threshold[];
  /** What it binds of the policy that is live, under that name. */
  readonly needsDeclared?: keyof Declared;
  /** Selects `subject`, unique among the rows, and the evidence under the names of the API. */
  readonly sql: string;
  readonly describe: (row: HygieneRow, thresholds: Thresholds, declared: Declared) => Description;
}

/** What `facts.yaml` declares, as the queries bind it. */
export interface Declared {
  /** The actions of its register. Empty: there is no register. */
  readonly register: readonly string[];
  /** Attributes and roles, as `declaredValues` (directory/undeclared.ts) writes them. */
  readonly values: readonly string[];
}

/** SQL of the row `k` of `audited_keys`: neither revoked nor expired. */
export const LIVE = 'k.revoked_at is null and (k.expires_at is null or k.expires_at > now())';
/** SQL of what `keyOf` reads. */
export const KEY = 'k.id::text as subject, k.user_id as "userId", k.friendly_name as "friendlyName"';

export const keyOf = ({ subject, friendlyName, userId }: HygieneRow): string =>
  `The key ${subject} (${JSON.stringify(friendlyName)}) of the user ${userId}`;
export const count = (number: unknown, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;
export const listOf = (values: unknown): readonly string[] => values as readonly string[];
export const instantOf = (moment: unknown): string => (moment as Date).toISOString();
