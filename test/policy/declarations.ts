/**
 * Random small declarations, as `facts.yaml` says them, and all situations under one or two of them: a plain product of what is
 * stored, asked, and when and from where. What the facts of a situation are is said here again, from the contract alone.
 */

import fc from 'fast-check';
import { liesIn } from './declared/addresses.ts';

export type Value = string | boolean;
/** Facts by path. */
export type Flat = Readonly<Record<string, Value>>;

export type Entry =
  | { readonly values: readonly string[]; readonly withholds: boolean }
  | { readonly grants: readonly string[]; readonly withholds: boolean }
  | { readonly boolean: true; readonly withholds: boolean };

export interface Hours {
  readonly days: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly zone: string;
  readonly except: readonly string[];
}

/** Everything by name; attributes as `user.plan`. */
export interface Spec {
  readonly attributes: Readonly<Record<string, Entry>>;
  readonly roles: Readonly<Record<string, true>>;
  readonly networks: Readonly<Record<string, { readonly prefixes: readonly string[]; readonly withholds: boolean }>>;
  readonly schedules: Readonly<Record<string, Hours>>;
  readonly asked: Readonly<Record<string, Entry>>;
  readonly known: Readonly<Record<string, string>>;
  readonly groups: Readonly<Record<string, readonly string[]>>;
  readonly strict: boolean;
}

/** The text of `facts.yaml`: JSON is YAML, too. */
export function factsFile(spec: Spec): string {
  const owned = (owner: string) =>
    Object.fromEntries(
      Object.entries(spec.attributes).flatMap(([name, entry]) =>
        name.startsWith(`${owner}.`) ? [[name.slice(owner.length + 1), entry]] : [],
      ),
    );
  const { networks, schedules, asked } = spec;
  return JSON.stringify({
    attributes: { key: owned('key'), user: owned('user'), business: owned('business') },
    roles: Object.keys(spec.roles),
    networks,
    schedules,
    asked,
    actions: { strict: isStrict(spec), known: spec.known, groups: groupsOf(spec) },
  });
}

export const isStrict = ({ strict, known }: Spec): boolean => strict && Object.keys(known).length > 0;

/** Of the actions that are known. */
const groupsOf = ({ known, groups }: Spec): Record<string, string[]> =>
  Object.fromEntries(Object.entries(groups).map(([name, of]) => [name, of.filter((action) => action in known)]));

const GROUP_OF: Readonly<Record<string, string>> = { key: 'key', user: 'user', business: 'target' };
const pathOf = (attribute: string): string => {
  const [owner = '', name] = attribute.split('.');
  return `r.${GROUP_OF[owner]}.${name}`;
};

const factsOfEntry = (path: string, entry: Entry): readonly (readonly [string, readonly Value[]])[] => {
  if ('grants' in entry) return entry.grants.map((grant) => [`${path}.${grant}`, [true, false]] as const);
  return [[path, 'values' in entry ? [...entry.values, 'unknown'] : [true, false]]];
};

/** Each declared fact, with its values. */
export function declaredFacts(spec: Spec): ReadonlyMap<string, readonly Value[]> {
  const booleans = (group: string, names: object) =>
    Object.keys(names).map((name) => [`r.${group}.${name}`, [true, false]] as const);
  return new Map<string, readonly Value[]>([
    ...Object.entries(spec.attributes).flatMap(([name, entry]) => factsOfEntry(pathOf(name), entry)),
    ...Object.entries(spec.asked).flatMap(([name, entry]) => factsOfEntry(`r.asked.${name}`, entry)),
    ...booleans('network', spec.networks),
    ...booleans('schedule', spec.schedules),
    ...booleans('request.group', spec.groups),
    ['r.request.registered', [true, false]],
    ['r.request.addressed', [true, false]],
    ['r.target.role', ['owner', 'member', 'none', 'other', ...Object.keys(spec.roles)]],
  ]);
}

/** The facts that every policy has; of texts those that rows of the tests name, and one more. */
export const BUILT_IN_FACTS: ReadonlyMap<string, readonly Value[]> = new Map<string, readonly Value[]>([
  ['r.key.status', ['active', 'expired', 'revoked', 'unknown']],
  ['r.key.environment', ['prod', '']],
  ['r.user.status', ['active', 'disabled', 'unknown']],
  ['r.target.status', ['none', 'active', 'disabled', 'unknown']],
  ['r.target.inRestriction', [true, false]],
  ['r.freeze.active', [true, false]],
]);

// ---- random declarations

const some = <T>(of: readonly T[], minLength = 1) => fc.subarray([...of], { minLength });
const maybe = <T>(names: readonly string[], of: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> =>
  fc
    .tuple(
      ...names.map((name) =>
        fc.option(
          of.map((entry) => [name, entry] as const),
          { nil: undefined, freq: 2 },
        ),
      ),
    )
    .map((entries) => Object.fromEntries(entries.filter((entry) => entry !== undefined)));

const withholds = fc.boolean();
const valuesOf = (...of: string[]) => fc.record({ values: some(of), withholds });
const grantsOf = (...of: string[]) => fc.record({ grants: some(of), withholds });
const PREFIXES = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.2.0/24',
  '10.1.2.3/32',
  '::ffff:10.2.0.0/112',
  '0.0.0.0/1',
  '128.0.0.0/1',
  '2001:db8::/32',
  '2001:db8:1::/48',
  '::/0',
];
/** One in each part that the prefixes cut the addresses into. */
const ADDRESSES = [
  '10.9.0.1',
  '10.1.9.1',
  '10.1.2.9',
  '10.1.2.3',
  '::ffff:10.1.2.3',
  '10.2.0.7',
  '9.9.9.9',
  '200.0.0.1',
  '2001:db8::1',
  '2001:db8:1::1',
  '2001:dead::1',
];
const ZONES = ['Europe/Berlin', 'UTC', 'Asia/Kolkata', 'Asia/Tokyo'];
const WEEK = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const hour = fc.constantFrom('00:00', '06:30', '08:00', '12:00', '18:00', '22:00');
const hours: fc.Arbitrary<Hours> = fc
  .record({
    days: some(WEEK),
    from: hour,
    to: fc.oneof(hour, fc.constant('24:00')),
    zone: fc.constantFrom(...ZONES),
    except: fc.subarray(['2026-03-29', '2026-05-01', '2026-12-25']),
  })
  .map((one) => (one.from === one.to ? { ...one, to: '23:30' } : one));

const KNOWN = ['call:create', 'call:read', 'call:list', 'user:read', 'report:read'];
/** Every known one, and for each pattern that rows have an unknown one. */
export const ACTIONS = [...KNOWN, 'call:zz', 'user:zz', 'z:z'];
export const PATTERNS = ['*', 'call:*', 'call:create', 'user:*'];

const record = fc.record({
  attributes: fc
    .tuple(
      maybe(['user.plan'], fc.oneof(valuesOf('free', 'pro', 'max'), grantsOf('free', 'pro'))),
      maybe(['user.level'], valuesOf('low', 'high')),
      maybe(['key.can'], grantsOf('sms', 'fax')),
      maybe(['business.region'], valuesOf('eu', 'us')),
      maybe(['business.has'], grantsOf('sla')),
    )
    .map((parts): Record<string, Entry> => Object.assign({}, ...parts)),
  roles: maybe(['viewer', 'auditor'], fc.constant(true as const)),
  networks: maybe(
    ['office', 'berlin', 'blocked'],
    fc.record({ prefixes: fc.subarray(PREFIXES, { minLength: 1, maxLength: 3 }), withholds }),
  ),
  schedules: maybe(['hours', 'nights', 'shift'], hours),
  asked: fc
    .tuple(
      maybe(['soft'], fc.oneof(fc.record({ boolean: fc.constant(true as const), withholds }), valuesOf('a', 'b'))),
      maybe(['kind'], valuesOf('text', 'voice')),
    )
    .map((parts): Record<string, Entry> => Object.assign({}, ...parts)),
  known: some(KNOWN, 0).map((known) => Object.fromEntries(known.map((action) => [action, 'Something']))),
  groups: maybe(['reads', 'calls'], some(KNOWN)),
  strict: fc.boolean(),
});

export const spec: fc.Arbitrary<Spec> = record;

/** A declaration and an edit of it: each entry stays, or is that of another one, or is missing there. */
export const specPair: fc.Arbitrary<readonly [Spec, Spec]> = fc
  .tuple(record, record, fc.infiniteStream(fc.integer({ min: 0, max: 3 })))
  .map(([a, b, choices]) => {
    const edited = (): boolean => choices.next().value === 0;
    const mixed = <T>(one: Readonly<Record<string, T>>, other: Readonly<Record<string, T>>): Record<string, T> =>
      Object.fromEntries(
        [...new Set([...Object.keys(one), ...Object.keys(other)])].flatMap((name) => {
          const of = edited() ? other[name] : one[name];
          return of === undefined ? [] : [[name, of]];
        }),
      );
    return [
      a,
      {
        attributes: mixed(a.attributes, b.attributes),
        roles: mixed(a.roles, b.roles),
        networks: mixed(a.networks, b.networks),
        schedules: mixed(a.schedules, b.schedules),
        asked: mixed(a.asked, b.asked),
        known: mixed(a.known, b.known),
        groups: mixed(a.groups, b.groups),
        strict: edited() ? b.strict : a.strict,
      },
    ] as const;
  });

// ---- situations

/** What is so, whatever a policy declares. */
export interface Situation {
  readonly builtIn: Flat;
  /** `owner`, a declared one, or one that no policy declares. */
  readonly role: string;
  /** By `user.plan`: a text, or the grants; undefined: none is stored. */
  readonly stored: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly asked: Readonly<Record<string, Value | undefined>>;
  readonly ip: string | undefined;
  readonly moment: number;
  readonly action: string;
}

/** The facts of a situation under a declaration. */
export function factsIn(spec: Spec, { builtIn, role, stored, asked, ip, moment, action }: Situation): Flat {
  const facts: Record<string, Value> = { ...builtIn };
  const read = (path: string, entry: Entry, raw: unknown): void => {
    if ('grants' in entry)
      for (const grant of entry.grants) facts[`${path}.${grant}`] = Array.isArray(raw) && raw.includes(grant);
    else if ('values' in entry) facts[path] = typeof raw === 'string' && entry.values.includes(raw) ? raw : 'unknown';
    else facts[path] = raw === true;
  };
  const isThere = { key: builtIn['r.key.status'] !== 'unknown', user: builtIn['r.user.status'] !== 'unknown' };
  const isTarget = ['active', 'disabled'].includes(String(builtIn['r.target.status']));
  for (const [name, entry] of Object.entries(spec.attributes)) {
    const there = name.startsWith('business.') ? isTarget : isThere[name.startsWith('key.') ? 'key' : 'user'];
    read(pathOf(name), entry, there ? stored[name] : undefined);
  }
  for (const [name, entry] of Object.entries(spec.asked)) read(`r.asked.${name}`, entry, asked[name]);
  const declared = ['owner', 'member', 'none', ...Object.keys(spec.roles)];
  facts['r.target.role'] = isTarget && isThere.user ? (declared.includes(role) ? role : 'other') : 'none';
  facts['r.request.addressed'] = ip !== undefined;
  facts['r.request.byId'] = false;
  for (const [name, one] of Object.entries(spec.networks)) facts[`r.network.${name}`] = isInside(one, ip);
  for (const [name, one] of Object.entries(spec.schedules)) facts[`r.schedule.${name}`] = isDuring(one, moment);
  facts['r.request.action'] = action;
  facts['r.request.registered'] = action in spec.known;
  for (const [name, of] of Object.entries(groupsOf(spec))) facts[`r.request.group.${name}`] = of.includes(action);
  return facts;
}

const answers = new WeakMap<object, Map<unknown, boolean>>();

/** Remembers what was answered about a network or a schedule. */
function remembered<T>(of: object, about: T, answer: (about: T) => boolean): boolean {
  const known = answers.get(of) ?? new Map<unknown, boolean>();
  answers.set(of, known);
  const value = known.get(about) ?? answer(about);
  known.set(about, value);
  return value;
}

const isInside = (network: Spec['networks'][string], ip: string | undefined): boolean =>
  ip !== undefined && remembered(network, ip, () => liesIn(ip, network.prefixes));

/** Whether a moment lies in a schedule. */
const isDuring = (hours: Hours, moment: number): boolean => remembered(hours, moment, () => isDuringNow(hours, moment));

const MINUTE = 60_000;
interface Local {
  readonly date: string;
  readonly minute: number;
}
const locals = new Map<string, Local>();
const formats = new Map(
  ZONES.map((zone) => [
    zone,
    new Intl.DateTimeFormat('en-CA', {
      timeZone: zone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    }),
  ]),
);

/** What the calendar and the clock of a zone show. */
function localOf(zone: string, moment: number): Local {
  const key = `${zone} ${moment}`;
  const known = locals.get(key);
  if (known) return known;
  const parts = Object.fromEntries(
    formats
      .get(zone)
      ?.formatToParts(moment)
      .map(({ type, value }) => [type, value]) ?? [],
  );
  const local = {
    date: `${parts['year']}-${parts['month']}-${parts['day']}`,
    minute: 60 * Number(parts['hour']) + Number(parts['minute']),
  };
  locals.set(key, local);
  return local;
}

const minutes = (time: string): number => 60 * Number(time.slice(0, 2)) + Number(time.slice(3));
const dayBefore = (date: string): string => new Date(Date.parse(date) - 24 * 60 * MINUTE).toISOString().slice(0, 10);

/** A period belongs to the day on which it begins. */
function isDuringNow({ days, from, to, zone, except }: Hours, moment: number): boolean {
  const { date, minute } = localOf(zone, moment);
  const begins = (day: string): boolean =>
    days.includes(WEEK[new Date(day).getUTCDay()] ?? '') && !except.includes(day);
  const [first, end] = [minutes(from), minutes(to)];
  if (first < end) return minute >= first && minute < end && begins(date);
  return (minute >= first && begins(date)) || (minute < end && begins(dayBefore(date)));
}

/** Each half hour, and the minute before, of the weeks around the excepted dates, with both changes of the clocks, and of one in summer. */
const MOMENTS = ['2026-01-05', '2026-03-26', '2026-04-28', '2026-07-06', '2026-10-22', '2026-12-22'].flatMap((day) =>
  Array.from({ length: 9 * 48 }, (_, half) => Date.parse(day) + half * 30 * MINUTE).flatMap((moment) => [
    moment,
    moment - MINUTE,
  ]),
);

/** The first of each kind. */
function distinctBy<T>(all: readonly T[], kind: (one: T) => string): T[] {
  const found = new Map<string, T>();
  for (const one of all) if (!found.has(kind(one))) found.set(kind(one), one);
  return [...found.values()];
}

const subsets = <T>(of: readonly T[]): T[][] =>
  of.reduce<T[][]>((sets, one) => sets.flatMap((set) => [set, [...set, one]]), [[]]);

/** What can be stored or asked under any of the declarations. */
function rawValues(entries: readonly (Entry | undefined)[]): readonly (Value | readonly string[] | undefined)[] {
  const values = new Set<Value>();
  const grants = new Set<string>();
  for (const entry of entries) {
    if (entry && 'values' in entry) for (const value of entry.values) values.add(value);
    if (entry && 'boolean' in entry) values.add(true);
    if (entry && 'grants' in entry) for (const grant of entry.grants) grants.add(grant);
  }
  return [undefined, ...values, ...subsets([...grants]).filter(({ length }) => length > 0)];
}

function* product(lists: Readonly<Record<string, readonly unknown[]>>): Generator<Record<string, unknown>> {
  const names = Object.keys(lists);
  const chosen: Record<string, unknown> = {};
  function* from(at: number): Generator<Record<string, unknown>> {
    const name = names[at];
    if (name === undefined) return yield { ...chosen };
    for (const value of lists[name] ?? []) {
      chosen[name] = value;
      yield* from(at + 1);
    }
  }
  yield* from(0);
}

/** The situations in which any of the `named` facts can differ; undefined where there are more than `most`. */
export function everySituation(
  specs: readonly Spec[],
  named: ReadonlySet<string>,
  most: number,
): readonly Situation[] | undefined {
  const isNamed = (path: string): boolean => [...named].some((one) => one === path || one.startsWith(`${path}.`));
  const builtIn = builtInParts(named);
  const roles = isNamed('r.target.role')
    ? ['owner', 'member', 'none', 'ghost', ...specs.flatMap((one) => Object.keys(one.roles))]
    : ['member'];
  const entriesOf = (part: 'attributes' | 'asked', path: (name: string) => string) => {
    const names = new Set(specs.flatMap((one) => Object.keys(one[part])).filter((name) => isNamed(path(name))));
    return Object.fromEntries([...names].map((name) => [name, rawValues(specs.map((one) => one[part][name]))]));
  };
  const stored = [...product(entriesOf('attributes', pathOf))] as Situation['stored'][];
  const asked = [...product(entriesOf('asked', (name) => `r.asked.${name}`))] as Situation['asked'][];
  const isAbout = (path: string): boolean => [...named].some((one) => one.startsWith(path));
  const ips: readonly (string | undefined)[] =
    isAbout('r.network.') || isNamed('r.request.addressed')
      ? [undefined, ...distinctBy(ADDRESSES, (ip) => specs.map((one) => kindOfAddress(one, ip)).join())]
      : [undefined];
  const moments = isAbout('r.schedule.')
    ? distinctBy(MOMENTS, (moment) => specs.map((one) => kindOfMoment(one, moment)).join())
    : MOMENTS.slice(0, 1);
  const lists = { builtIn, role: [...new Set(roles)], stored, asked, ip: ips, moment: moments, action: ACTIONS };
  const count = Object.values(lists).reduce((size, { length }) => size * length, 1);
  if (count > most) return undefined;
  return ([...product(lists)] as unknown as Situation[]).filter(
    ({ builtIn: { 'r.target.status': target, 'r.user.status': user }, role }) =>
      // Otherwise the role is none, whatever the table says.
      role === (roles[0] ?? '') || (user !== 'unknown' && (target === 'active' || target === 'disabled')),
  );
}

const kindOfAddress = ({ networks }: Spec, ip: string): string =>
  Object.values(networks)
    .map((one) => Number(isInside(one, ip)))
    .join('');
const kindOfMoment = ({ schedules }: Spec, moment: number): string =>
  Object.values(schedules)
    .map((one) => Number(isDuring(one, moment)))
    .join('');

/** The combinations of built-in facts that can occur; what is not named keeps one value, but for who and what there is. */
function builtInParts(named: ReadonlySet<string>): Flat[] {
  const lists = Object.fromEntries(
    [...BUILT_IN_FACTS].map(([path, values]) => {
      const always = path.endsWith('.status') || path === 'r.freeze.active';
      if (path === 'r.key.environment') return [path, named.has(path) ? [...values, 'z'] : ['']];
      return [path, always || named.has(path) ? values : [false]];
    }),
  );
  return ([...product(lists)] as Flat[])
    .map((facts): Flat => {
      const id = (group: string, is: boolean): Flat => ({ [`r.${group}.id`]: is ? group : '' });
      return {
        ...facts,
        ...id('key', facts['r.key.status'] !== 'unknown'),
        ...id('user', facts['r.user.status'] !== 'unknown'),
        ...id('target', facts['r.target.status'] !== 'none'),
        'r.key.userManagement': false,
        'r.user.businesses': 'active',
        'r.limit.exceeded': false,
      };
    })
    .filter((facts) => {
      const restricted = facts['r.target.inRestriction'] === true;
      if (restricted && facts['r.target.status'] === 'none') return false;
      if (facts['r.key.status'] !== 'unknown') return true;
      return facts['r.user.status'] === 'unknown' && facts['r.key.environment'] === '' && !restricted;
    });
}
