/** What `facts.yaml` of a policy folder declares, as plain values: which facts there are beyond the built-in ones. */

/** A fact that is one of `values`, or `unknown`; of kind `boolean` there are no values, and it is false where nothing is known. */
export interface DeclaredValues {
  readonly kind: 'values' | 'boolean';
  readonly values: readonly string[];
  /** Whether it is meant to take away: see analysis/ignorance.ts. */
  readonly withholds: boolean;
}

/** A set of named grants: one boolean fact for each. */
export interface DeclaredGrants {
  readonly kind: 'grants';
  readonly grants: readonly string[];
  readonly withholds: boolean;
}

/** By name. */
export type DeclaredAttributes = ReadonlyMap<string, DeclaredValues | DeclaredGrants>;

export interface DeclaredNetwork {
  readonly name: string;
  /** IPv4 and IPv6 prefixes, each in the form that prefix.ts parses; undefined: those of `file`, which was not read. */
  readonly prefixes: readonly string[] | undefined;
  /** The file beside `facts.yaml` that they are from. */
  readonly file?: string;
  readonly withholds: boolean;
}

/** As in the contract's `facts.yaml`; schedules.ts parses it. */
export interface DeclaredSchedule {
  readonly name: string;
  /** 0: Sunday. Sorted. */
  readonly days: readonly number[];
  /** Minutes after midnight, by the clocks of the zone; `to` is exclusive, and before `from` where midnight lies between. */
  readonly from: number;
  readonly to: number;
  /** IANA name. */
  readonly zone: string;
  /** `2026-12-25`. Sorted. */
  readonly except: readonly string[];
}

export interface DeclaredActions {
  /** Whether nothing is allowed that is not in the register. */
  readonly strict: boolean;
  /** The register: action -> what it is, in a sentence. */
  readonly known: ReadonlyMap<string, string>;
  /** Name -> actions of the register. */
  readonly groups: ReadonlyMap<string, readonly string[]>;
}

export interface Declaration {
  readonly attributes: {
    readonly key: DeclaredAttributes;
    readonly user: DeclaredAttributes;
    readonly business: DeclaredAttributes;
  };
  /** Beside `owner` and `member`. */
  readonly roles: readonly string[];
  readonly networks: readonly DeclaredNetwork[];
  readonly schedules: readonly DeclaredSchedule[];
  /** What the calling service states in `context.attributes`. */
  readonly asked: ReadonlyMap<string, DeclaredValues>;
  readonly actions: DeclaredActions;
}

/** Of a folder without `facts.yaml`. */
export const NOTHING_DECLARED: Declaration = {
  attributes: { key: new Map(), user: new Map(), business: new Map() },
  roles: [],
  networks: [],
  schedules: [],
  asked: new Map(),
  actions: { strict: false, known: new Map(), groups: new Map() },
};

/** Which attributes are facts of which group. */
export const GROUP_OF_OWNER = { key: 'key', user: 'user', business: 'target' } as const satisfies Record<
  keyof Declaration['attributes'],
  string
>;

/** What the directory stores of what `facts.yaml` declares: `{"plan": "pro", "can": ["sms"]}`. */
export type StoredAttributes = Readonly<Record<string, string | boolean | readonly string[]>>;

/** The roles that are built in. */
export const BUILT_IN_ROLES: readonly string[] = ['owner', 'member'];
