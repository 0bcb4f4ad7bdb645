/** Parses `facts.yaml`: what facts there are beyond the built-in ones. Strict: whatever it does not know is a finding with its place. */

import { withNearest } from '../../nearest.ts';
import {
  BUILT_IN_ROLES,
  type Declaration,
  type DeclaredActions,
  type DeclaredAttributes,
  type DeclaredGrants,
  type DeclaredSchedule,
  type DeclaredValues,
  GROUP_OF_OWNER,
  NOTHING_DECLARED,
} from '../declared/declaration.ts';
import { ALWAYS, parseSchedule } from '../declared/parse-schedule.ts';
import { faultOfSchedules } from '../declared/schedules.ts';
import { UNKNOWN } from '../declared/table.ts';
import { FACTS, type FactTable } from '../facts.ts';
import { UNSEEN } from './characters.ts';
import { DECLARED_LIMITS, declaredOf, type Fault, type Form, NAME, names, type Path, partsOf } from './facts-parts.ts';
import { FACTS_FILE } from './files.ts';
import type { ReportError } from './findings.ts';
import { networksOf } from './networks-section.ts';
import { isMap, parseYaml } from './yaml.ts';

const VALUE: Form = {
  accepts: /^[a-z0-9][a-z0-9._-]{0,63}$/,
  says: 'a-z, 0-9 and . _ - there, beginning with a letter or a digit, at most 64',
};
const { form: ACTION } = FACTS.request.action;

/** The declaration of `text`; undefined where there is no such file, and that declares nothing. What is faulty is left out. */
export function parseFactsFile(text: string | undefined, report: ReportError): Declaration {
  if (text === undefined) return NOTHING_DECLARED;
  const { value, place } = parseYaml(FACTS_FILE, text, report);
  const fault: Fault = (path, message) => report({ file: FACTS_FILE, ...place(path), rule: 'facts', message });
  if (value === undefined || value === null) return NOTHING_DECLARED;
  if (!isMap(value)) {
    fault([], 'write a map of attributes, roles, networks, schedules, asked and actions; each of them may be left out');
    return NOTHING_DECLARED;
  }
  const parts = partsOf(value, ['attributes', 'roles', 'networks', 'schedules', 'asked', 'actions'], [], fault);
  return Object.freeze({
    ...NOTHING_DECLARED,
    attributes: attributesOf(parts['attributes'], fault),
    roles: names(parts['roles'] ?? [], ['roles'], DECLARED_LIMITS.roles, fault, NAME).filter((role, index) => {
      const taken = [...BUILT_IN_ROLES, 'none', 'other'].includes(role);
      if (taken) fault(['roles', index], `the role ${role} is built in; leave it out`);
      return !taken;
    }),
    networks: networksOf(parts['networks'], fault),
    schedules: schedulesOf(parts['schedules'], fault),
    asked: declaredOf(parts['asked'], ['asked'], {}, fault, (name, entry, path) => {
      const read = attributeOf(entry, path, fault);
      if (read?.kind !== 'grants') return read;
      fault(path, `${name}: what is asked is boolean or a list of values, not grants`);
      return undefined;
    }) as ReadonlyMap<string, DeclaredValues>,
    actions: actionsOf(parts['actions'], fault),
  });
}

function schedulesOf(value: unknown, fault: Fault): readonly DeclaredSchedule[] {
  const path = ['schedules'];
  const read = (name: string, entry: unknown, at: Path): DeclaredSchedule => {
    const { schedule, faults } = parseSchedule(entry);
    for (const { path: within, message } of faults) fault([...at, ...within], `${name}: ${message}`);
    return { name, ...(schedule ?? ALWAYS) };
  };
  const schedules = [...declaredOf(value, path, {}, fault, read, DECLARED_LIMITS.schedules).values()];
  const wrong = faultOfSchedules(schedules);
  if (wrong === undefined) return schedules;
  fault(path, wrong);
  return schedules.map(({ name }) => ({ name, ...ALWAYS }));
}

function attributesOf(value: unknown, fault: Fault): Declaration['attributes'] {
  const owners = Object.keys(GROUP_OF_OWNER) as (keyof typeof GROUP_OF_OWNER)[];
  const parts = partsOf(value, owners, ['attributes'], fault);
  const table: FactTable = FACTS;
  const of = (owner: (typeof owners)[number]): DeclaredAttributes =>
    declaredOf(parts[owner], ['attributes', owner], table[GROUP_OF_OWNER[owner]] ?? {}, fault, (_, entry, path) =>
      attributeOf(entry, path, fault, true),
    );
  return { key: of('key'), user: of('user'), business: of('business') };
}

const SHAPE =
  'write boolean, a list of values, {values: [..], withholds: true}, {grants: [..]} or {boolean: true, withholds: true}';

/** `[free, pro]`, `boolean`, `{grants: [..]}`, `{values: [..], withholds: true}`. */
function attributeOf(
  entry: unknown,
  path: Path,
  fault: Fault,
  stored = false,
): DeclaredValues | DeclaredGrants | undefined {
  if (entry === 'boolean') {
    if (!stored) return { kind: 'boolean', values: [], withholds: false };
    fault(
      path,
      'an attribute is a list of values or {grants: [..]}; for yes and no, write {grants: [..]} with one name',
    );
    return undefined;
  }
  const map = Array.isArray(entry) ? { values: entry } : entry;
  if (!isMap(map)) {
    fault(path, SHAPE);
    return undefined;
  }
  const { withholds = false, ...rest } = partsOf(map, ['values', 'grants', 'boolean', 'withholds'], path, fault);
  if (typeof withholds !== 'boolean') fault([...path, 'withholds'], 'withholds is true or false');
  const [[kind, list] = [], ...more] = Object.entries(rest);
  if (kind === undefined || more.length > 0 || (kind === 'boolean' && (list !== true || stored))) {
    fault(path, SHAPE);
    return undefined;
  }
  if (kind === 'boolean') return { kind, values: [], withholds: withholds === true };
  const at = Array.isArray(entry) ? path : [...path, kind];
  const values = names(list, at, DECLARED_LIMITS.values, fault, kind === 'grants' ? NAME : VALUE);
  if (values.length === 0) {
    if (Array.isArray(list) && list.length === 0) fault(at, `${at.join('.')} is empty; declare what it can be`);
    return undefined;
  }
  if (kind === 'grants') return { kind, grants: values, withholds: withholds === true };
  const taken = values.indexOf(UNKNOWN);
  if (taken !== -1) fault([...at, taken], 'unknown is what each attribute is where nothing is known; leave it out');
  return { kind: 'values', values: values.filter((one) => one !== UNKNOWN), withholds: withholds === true };
}

function actionsOf(value: unknown, fault: Fault): DeclaredActions {
  const { strict = false, ...parts } = partsOf(value, ['strict', 'known', 'groups'], ['actions'], fault);
  if (typeof strict !== 'boolean') fault(['actions', 'strict'], 'strict is true or false');
  const known = knownActions(parts['known'], fault);
  const groups = declaredOf(parts['groups'], ['actions', 'groups'], {}, fault, (name, entry, path) =>
    names(entry, path, DECLARED_LIMITS.actions, fault, ACTION).filter((action, index) => {
      // A misspelt action would silently be in no group.
      if (!known.has(action)) {
        const message = `${name}: ${action} is not in the register; add it to actions.known`;
        fault([...path, index], withNearest(message, action, [...known.keys()]));
      }
      return known.has(action);
    }),
  );
  if (strict === true && known.size === 0)
    fault(['actions', 'strict'], 'a strict register without actions would allow nothing; fill actions.known');
  return { strict: strict === true, known, groups };
}

function knownActions(value: unknown, fault: Fault): ReadonlyMap<string, string> {
  const path = ['actions', 'known'];
  if (value === undefined || value === null) return new Map();
  if (!isMap(value)) {
    fault(path, 'actions.known is a map of action: what it is, in a sentence');
    return new Map();
  }
  const entries = Object.entries(value);
  if (entries.length > DECLARED_LIMITS.actions)
    fault(path, `${entries.length} actions are known; at most ${DECLARED_LIMITS.actions} can be`);
  return new Map(
    entries.flatMap(([action, says]): [string, string][] => {
      const at = [...path, action];
      const valid = ACTION.accepts.test(action);
      if (!valid) fault(at, `${JSON.stringify(action)} is no action: ${ACTION.says}`);
      if (typeof says === 'string' && says.trim() !== '' && says.length <= 300 && !UNSEEN.test(says))
        return valid ? [[action, says]] : [];
      fault(at, `${action}: say in one line what it is, in 1-300 characters`);
      return [];
    }),
  );
}
