/** YAML as plain values with their places: no aliases, no duplicate keys, no warnings. */

import { LineCounter, parseDocument, type YAMLError } from 'yaml';
import type { Finding } from './finding.ts';

export const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A YAML file as a plain value (undefined when it has none that can be used), and the way from a path in it to its place. */
export function parseYaml(
  file: string,
  text: string | undefined,
  report: (finding: Finding) => void,
): { value: unknown; place: (path: readonly (string | number)[]) => { line: number; column: number } } {
  const lines = new LineCounter();
  const start = { line: 1, column: 1 };
  if (text === undefined) {
    report({ file, ...start, rule: 'missing-file', message: 'this file is missing; a policy is refused without it' });
    return { value: undefined, place: () => start };
  }
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, strict: true, merge: false });
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const faults: YAMLError[] = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    report({ file, ...at(fault.pos[0]), rule: 'yaml-syntax', message: fault.message.split('\n')[0] ?? fault.code });
  }
  if (faults.length > 0) return { value: undefined, place: () => start };
  const place = (path: readonly (string | number)[]): { line: number; column: number } => {
    const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined;
    return node?.range ? at(node.range[0]) : start;
  };
  try {
    return { value: document.toJS({ maxAliasCount: 0 }) ?? null, place };
  } catch {
    report({ file, ...start, rule: 'yaml-syntax', message: 'write values out: aliases are not resolved here' });
    return { value: undefined, place };
  }
}
