/** YAML as plain values with their places. Strict: aliases, keys that are no text, duplicate keys and warnings are faults. */

import { isScalar, isSeq, isMap as isYamlMap, LineCounter, parseDocument, visit, type YAMLMap } from 'yaml';
import type { ReportError } from './findings.ts';

export const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

interface Place {
  readonly line: number;
  readonly column: number;
}

export interface Parsed {
  /** undefined: the text could not be parsed; the findings say why. */
  readonly value: unknown;
  /** Where the value at a path stands; the start of the file when there is none. */
  readonly place: (path: readonly (string | number)[]) => Place;
}

const START: Place = { line: 1, column: 1 };

/** A YAML file as a plain value, and the way from a path in it to its place. */
export function parseYaml(file: string, text: string | undefined, report: ReportError): Parsed {
  const nothing: Parsed = { value: undefined, place: () => START };
  if (text === undefined) {
    report({ file, ...START, rule: 'missing-file', message: 'this file is missing; a policy is refused without it' });
    return nothing;
  }
  const fault = (place: Place, message: string): void => report({ file, ...place, rule: 'yaml-syntax', message });
  if (tooDeep(text)) {
    fault(START, 'this nests too deep; write it flatter');
    return nothing;
  }
  return parseDocumentOf(text, fault) ?? nothing;
}

const MAX_BRACKETS = 64;
const INDENTED = /^[ ?-]{200}/m;

/** Whether the recursive parser might overflow the stack. Brackets in quotes count too: nobody writes so many. */
function tooDeep(text: string): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === '[' || character === '{') depth += 1;
    if (character === ']' || character === '}') depth -= 1;
    if (depth > MAX_BRACKETS) return true;
  }
  return INDENTED.test(text);
}

function parseDocumentOf(text: string, fault: (place: Place, message: string) => void): Parsed | undefined {
  const lines = new LineCounter();
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  // uniqueKeys is quadratic, so `keyFaults` checks keys with a set. prettyErrors quotes the text around each fault, which is
  // slow where there are thousands.
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: false,
    prettyErrors: false,
    strict: true,
    merge: false,
  });
  const faults = [...document.errors, ...document.warnings].map(({ pos, message, code }) => ({
    place: at(pos[0]),
    message: message.split('\n')[0] ?? code,
  }));
  if (faults.length === 0) {
    visit(document, {
      Alias: (_, alias) => {
        faults.push({ place: at(alias.range?.[0] ?? 0), message: 'write values out: aliases are not resolved here' });
      },
      Map: (_, map) => {
        for (const { offset, message } of keyFaults(map)) faults.push({ place: at(offset), message });
      },
    });
  }
  for (const { place, message } of faults) fault(place, message);
  if (faults.length > 0) return undefined;
  const find = finder();
  return {
    value: document.toJS({ maxAliasCount: 0 }) ?? null,
    place: (path) => {
      const offset = find(document.contents, path);
      return offset === undefined ? START : at(offset);
    },
  };
}

function keyFaults(map: YAMLMap): { offset: number; message: string }[] {
  const seen = new Set<string>();
  return map.items.flatMap(({ key }) => {
    const offset = (key as { range?: readonly number[] } | null)?.range?.[0] ?? map.range?.[0] ?? 0;
    if (!isScalar(key)) return [{ offset, message: 'a key is a plain text' }];
    const name = String(key.value);
    if (seen.has(name)) return [{ offset, message: `Map keys must be unique: ${JSON.stringify(name)} stands twice` }];
    seen.add(name);
    return [];
  });
}

/** Finds the offset of the node at a path. Each map is indexed once, because its own look-up is linear. */
function finder(): (node: unknown, path: readonly (string | number)[]) => number | undefined {
  const known = new WeakMap<YAMLMap, Map<string, unknown>>();
  const step = (node: unknown, name: string | number | undefined): unknown => {
    if (isSeq(node)) return node.items[Number(name)];
    if (!isYamlMap(node)) return undefined;
    const members =
      known.get(node) ??
      new Map(node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : key), value] as const));
    known.set(node, members);
    return members.get(String(name));
  };
  return (node, path) => {
    const found = path.reduce<unknown>(step, node) as { range?: readonly number[] } | null | undefined;
    return found?.range?.[0];
  };
}
