/**
 * A strict JSON parser. `JSON.parse` keeps the last of two equal keys, rounds numbers, and accepts text that PostgreSQL
 * rejects or that two parsers would read differently; here each of those is an invalid request.
 */

import { isUtf8 } from 'node:buffer';
import { Failure, type Issue } from '../errors.ts';

/** What bodies may hold beside what all may. */
export interface JsonBounds {
  /** How many levels of objects and arrays. */
  readonly depth: number;
  /** Any number that JSON can write, for texts whose numbers nobody reads. */
  readonly anyNumber?: true;
}
const BOUNDS: JsonBounds = { depth: 8 };

// Splits a text that JSON.parse has accepted into tokens; it does not validate.
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|-?\d[^,\]}\s]*/g;

interface Level {
  /** The keys of the object so far; undefined for an array. */
  readonly keys: Set<string> | undefined;
  /** The current key or index. */
  at: string | number;
}

/** @throws Failure INVALID_REQUEST whose issues have paths; it never quotes the text, which may hold an API key */
export function parseJson(body: Buffer, bounds: JsonBounds = BOUNDS): unknown {
  if (!isUtf8(body)) throw invalid('', 'this is not valid UTF-8');
  const text = body.toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('', whyNoJson(text));
  }
  if (!isPlain(text, value)) {
    const issues = faultsOf(text, bounds);
    if (issues.length > 0) throw refused(issues);
  }
  return value;
}

function whyNoJson(text: string): string {
  if (text === '') return 'there is nothing here; send a JSON object';
  return text.startsWith('\ufeff')
    ? 'begins with a byte order mark (U+FEFF); save it as UTF-8 without one'
    : 'this is not valid JSON';
}

/**
 * A fast path: whether the text is certain to have none of the faults, so that it need not be tokenised. Without escapes each
 * string takes exactly two quotes; a duplicate key is missing from `value`, so the text has more quotes than its strings.
 */
function isPlain(text: string, value: unknown): boolean {
  if (text.includes('\\')) return false;
  let quotes = 0;
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 1)) quotes += 1;
  return quotes === 2 * stringsOf(value, 0);
}

/** How many strings the value has, its keys included. NaN when it has a number or is nested too deep, which must be checked. */
function stringsOf(value: unknown, depth: number): number {
  if (typeof value === 'string') return 1;
  if (typeof value === 'number') return Number.NaN;
  if (typeof value !== 'object' || value === null) return 0;
  if (depth === BOUNDS.depth) return Number.NaN;
  let count = 0;
  if (Array.isArray(value)) for (const item of value) count += stringsOf(item, depth + 1);
  else {
    for (const key of Object.keys(value)) count += 1 + stringsOf((value as Record<string, unknown>)[key], depth + 1);
  }
  return count;
}

function faultsOf(text: string, { depth, anyNumber }: JsonBounds): Issue[] {
  const levels: Level[] = [];
  const issues: Issue[] = [];
  const fault = (message: string): void =>
    void issues.push({ path: printPath(levels.map((level) => level.at)), message });
  let keyNext = false;
  for (const [token] of text.matchAll(TOKEN)) {
    if (levels.length > depth) break;
    const level = levels.at(-1);
    switch (token[0]) {
      case '{':
      case '[':
        if (levels.length === depth) fault(`nested deeper than ${depth} levels`);
        levels.push(token === '{' ? { keys: new Set(), at: '' } : { keys: undefined, at: 0 });
        keyNext = token === '{';
        break;
      case '}':
      case ']':
        levels.pop();
        break;
      case ',':
        if (level && typeof level.at === 'number') level.at += 1;
        keyNext = level?.keys !== undefined;
        break;
      case ':':
        break;
      case '"': {
        const string = token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1);
        if (keyNext && level?.keys) {
          level.at = string;
          if (level.keys.has(string)) fault('this key stands here twice');
          level.keys.add(string);
        }
        keyNext = false;
        // Only an escape can produce these: the text is valid UTF-8, and JSON forbids raw control characters.
        if (string.includes('\0')) fault('the character NUL is not accepted');
        if (!string.isWellFormed()) fault('a lone surrogate is not a character');
        break;
      }
      default:
        if (!anyNumber && (!/^(?:0|[1-9]\d*)$/.test(token) || !Number.isSafeInteger(Number(token)))) {
          fault('a number is a whole one from 0 to 2^53-1, written plainly');
        }
    }
  }
  return issues;
}

/**
 * A path as text, such as `requests[3].context.ip`. A key that is no plain name of at most 32 letters becomes `?`, since
 * somebody may have pasted a secret there. INVARIANT: API keys and caller tokens are longer, so none is ever printed.
 */
export function printPath(path: readonly PropertyKey[]): string {
  return path
    .map((part) =>
      typeof part === 'number' ? `[${part}]` : `.${/^[A-Za-z_]{1,32}$/.test(String(part)) ? String(part) : '?'}`,
    )
    .join('')
    .replace(/^\./, '');
}

/** A Failure INVALID_REQUEST with these issues. */
export const refused = (issues: readonly Issue[]): Failure => new Failure('INVALID_REQUEST', undefined, { issues });

export const invalid = (path: string, message: string): Failure => refused([{ path, message }]);
