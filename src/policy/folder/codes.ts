/** Parses `codes.yaml` strictly: no denial can be given the status of an allow, nor the name of a failure. */

import { FAILURES } from '../../errors.ts';
import type { Code, Row } from '../row.ts';
import { UNSEEN } from './characters.ts';
import { CODES_FILE } from './files.ts';
import type { Report, ReportError } from './findings.ts';
import { isMap, parseYaml } from './yaml.ts';

const REASONS: readonly string[] = ['user', 'target', 'freeze'] satisfies Code['reason'][];
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/;

/** `codes.yaml`: code -> what it means for the client. */
export function parseCodes(text: string | undefined, report: ReportError): Map<string, Code> {
  const file = CODES_FILE;
  const codes = new Map<string, Code>();
  const { value, place } = parseYaml(file, text, report);
  const fault = (path: readonly string[], message: string): void =>
    report({ file, ...place(path), rule: 'codes', message });
  if (!isMap(value)) {
    if (value !== undefined) fault([], 'write a map of CODE: {status, message}');
    return codes;
  }
  for (const [code, entry] of Object.entries(value)) {
    const wrong = codeFault(code, entry);
    if (wrong) fault([code], wrong);
    // Kept even with a fault, so that rows with this code get no second finding.
    codes.set(code, Object.freeze(entry as unknown as Code));
  }
  if (!codes.has('OK')) fault([], 'the code OK is missing: nothing could be allowed');
  return codes;
}

/** Reports codes that no row uses, except those that have a finding already. */
export function checkCodesUsed(
  codes: ReadonlyMap<string, Code>,
  rows: readonly Row[],
  text: string | undefined,
  report: Report,
): void {
  const used = new Set(rows.map(({ code }) => code));
  const unused = [...codes].filter(([code, entry]) => !used.has(code) && codeFault(code, entry) === undefined);
  if (unused.length === 0) return;
  const file = CODES_FILE;
  const { place } = parseYaml(file, text, () => undefined);
  for (const [code] of unused) {
    const message = `no row uses the code ${code}; remove it, or write the row that it is for`;
    report({ file, ...place([code]), rule: 'unused-code', message });
  }
}

function codeFault(code: string, entry: unknown): string | undefined {
  if (!CODE.test(code)) return `${code}: a code is upper-case letters, digits and _, at most 64`;
  if (Object.hasOwn(FAILURES, code)) return `${code} is reserved for failures, which are never decisions`;
  if (!isMap(entry)) return `${code}: write {status: 403, message: "..."}`;
  const unknown = Object.keys(entry).find((name) => !['status', 'message', 'reason'].includes(name));
  if (unknown !== undefined)
    return `${code}: nothing reads ${JSON.stringify(unknown)}; a code has status, message and reason`;
  const { status, message, reason } = entry as { status?: unknown; message?: unknown; reason?: unknown };
  if (code === 'OK' && status !== 200) return 'OK: its status is 200';
  if (code !== 'OK' && !(Number.isInteger(status) && Number(status) >= 400 && Number(status) <= 499)) {
    return `${code}: the status of a denial is a whole number from 400 to 499`;
  }
  if (typeof message !== 'string' || message.trim() === '' || message.length > 300 || UNSEEN.test(message)) {
    return `${code}: message is one line of 1-300 characters, all of which can be seen`;
  }
  if (reason !== undefined && !REASONS.includes(String(reason)))
    return `${code}: reason is one of ${REASONS.join(', ')}`;
  return undefined;
}
