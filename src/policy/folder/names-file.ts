/** Parses `names.yaml`: what the words of AuthZEN mean in this policy. Strict: whatever it does not know is a finding with its place. */

import { withNearest } from '../../nearest.ts';
import {
  ENTITIES,
  type Entity,
  type MappedProperty,
  type Names,
  NO_NAMES,
  OWN_RESOURCES,
  type ResourceKind,
} from '../declared/names.ts';
import { FACTS } from '../facts.ts';
import type { Schema } from '../schema.ts';
import { UNSEEN } from './characters.ts';
import { type Fault, type Path, partsOf } from './facts-parts.ts';
import { NAMES_FILE } from './files.ts';
import type { ReportError } from './findings.ts';
import { isMap, parseYaml } from './yaml.ts';

const MOST = 2000;
const { form: ACTION } = FACTS.request.action;
const ASKED = 'asked.';

/** What `text` maps; undefined where there is no such file, and that maps nothing. What is faulty is left out. */
export function parseNamesFile(text: string | undefined, schema: Schema, report: ReportError): Names {
  if (text === undefined) return NO_NAMES;
  const { value, place } = parseYaml(NAMES_FILE, text, report);
  const fault: Fault = (path, message) => report({ file: NAMES_FILE, ...place(path), rule: 'names', message });
  if (value === undefined || value === null) return NO_NAMES;
  if (!isMap(value)) {
    fault([], 'write a map of resources, actions and properties; each of them may be left out');
    return NO_NAMES;
  }
  const parts = partsOf(value, ['resources', 'actions', 'properties'], [], fault);
  const propertyOf = propertyReader(schema, fault);
  return Object.freeze({
    resources: new Map([...OWN_RESOURCES, ...entriesOf(parts['resources'], ['resources'], fault, kindReader(fault))]),
    actions: new Map(entriesOf(parts['actions'], ['actions'], fault, actionReader(schema, fault))),
    properties: entriesOf(parts['properties'], ['properties'], fault, propertyOf).map(([, property]) => property),
  });
}

type Read<T> = (name: string, meant: string, at: Path) => T | undefined;

/** The entries of a map of texts, each as `read` makes it. */
function entriesOf<T>(value: unknown, path: Path, fault: Fault, read: Read<T>): (readonly [string, T])[] {
  if (value === undefined || value === null) return [];
  if (!isMap(value)) {
    fault(path, `${path.join('.')} is a map of names`);
    return [];
  }
  const entries = Object.entries(value);
  if (entries.length > MOST)
    fault(path, `${path.join('.')} has ${entries.length} names; at most ${MOST} can be mapped`);
  return entries.slice(0, MOST).flatMap(([name, meant]): (readonly [string, T])[] => {
    const at = [...path, name];
    if (name === '' || name.length > 128 || UNSEEN.test(name)) {
      fault(at, `${JSON.stringify(name)} is no name: 1-128 characters, all of which can be seen`);
      return [];
    }
    if (typeof meant !== 'string') {
      fault(at, `${name}: write the one name that it means here`);
      return [];
    }
    const made = read(name, meant, at);
    return made === undefined ? [] : [[name, made]];
  });
}

function kindReader(fault: Fault): Read<ResourceKind> {
  return (type, kind, at) => {
    const found = OWN_RESOURCES.get(kind);
    if (OWN_RESOURCES.has(type)) {
      // Another meaning would lie to whoever asks in our own words.
      fault(at, `${type} is a type of ours and means itself; leave it out`);
      return undefined;
    }
    if (!found) fault(at, `${type}: a type of resources means business or account, not ${JSON.stringify(kind)}`);
    return found;
  };
}

function actionReader({ declaration }: Schema, fault: Fault): Read<string> {
  const { known, strict } = declaration.actions;
  return (name, action, at) => {
    if (!ACTION.accepts.test(action)) {
      fault(at, `${name}: ${JSON.stringify(action)} is no action: ${ACTION.says}`);
      return undefined;
    }
    // What nobody may do is a misspelling.
    if (strict && !known.has(action)) {
      const message = `${name}: ${action} is not in the register; add it to actions.known of facts.yaml`;
      fault(at, withNearest(message, action, [...known.keys()]));
    }
    return action;
  };
}

function propertyReader({ declaration }: Schema, fault: Fault): Read<MappedProperty> {
  const taken = new Map<string, string>();
  return (from, to, at) => {
    const [, of = '', name = ''] = /^([a-z]+)\.([A-Za-z_][A-Za-z0-9_-]{0,63})$/.exec(from) ?? [];
    if (!ENTITIES.includes(of as Entity) || name in Object.prototype) {
      fault(at, `${JSON.stringify(from)} is no property; write one such as subject.role, of ${ENTITIES.join(', ')}`);
      return undefined;
    }
    const asked = to.startsWith(ASKED) ? to.slice(ASKED.length) : '';
    if (!declaration.asked.has(asked)) {
      const names = [...declaration.asked.keys()].map((one) => ASKED + one);
      const message = `${from}: a property states a fact that asked in facts.yaml declares, and ${JSON.stringify(to)} is none`;
      fault(at, withNearest(message, to, names));
      return undefined;
    }
    const other = taken.get(asked);
    if (other !== undefined) {
      fault(at, `${from}: ${to} is what ${other} states already; of two that differ, neither could be believed`);
      return undefined;
    }
    taken.set(asked, from);
    return { of: of as Entity, name, asked };
  };
}
