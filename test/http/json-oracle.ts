/** The oracle of strict JSON: a recursive descent parser that shares no code with src/input/json.ts. */

const LEVELS = 8;
const ESCAPES: Record<string, string> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

class Refused extends Error {}

/** Whether the text is JSON in which no two readers can find different things. */
export function isUnambiguous(text: string): boolean {
  let at = 0;

  const refuse = (): never => {
    throw new Refused();
  };
  const skipSpace = (): void => {
    while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at += 1;
  };
  const take = (expected: string): void => {
    if (!text.startsWith(expected, at)) refuse();
    at += expected.length;
  };

  const string = (): string => {
    take('"');
    let value = '';
    for (;;) {
      const character = text.charAt(at);
      if (character < ' ') refuse();
      at += 1;
      if (character === '"') break;
      if (character !== '\\') {
        value += character;
        continue;
      }
      const escaped = text.charAt(at);
      at += 1;
      if (escaped === 'u') {
        const digits = text.slice(at, at + 4);
        if (digits.length < 4 || [...digits].some((digit) => !'0123456789abcdefABCDEF'.includes(digit))) refuse();
        value += String.fromCharCode(Number.parseInt(digits, 16));
        at += 4;
      } else value += Object.hasOwn(ESCAPES, escaped) ? ESCAPES[escaped] : refuse();
    }
    for (let index = 0; index < value.length; index += 1) {
      const unit = value.charCodeAt(index);
      if (unit === 0 || (unit >= 0xdc00 && unit <= 0xdfff)) refuse();
      if (unit < 0xd800 || unit > 0xdbff) continue;
      index += 1;
      const second = value.charCodeAt(index);
      if (!(second >= 0xdc00 && second <= 0xdfff)) refuse();
    }
    return value;
  };

  const number = (): void => {
    const from = at;
    while (at < text.length && '0123456789'.includes(text.charAt(at))) at += 1;
    const digits = text.slice(from, at);
    if (digits === '' || (digits.length > 1 && digits.startsWith('0')) || '.eE'.includes(text.charAt(at) || '?'))
      refuse();
    if (BigInt(digits) > 2n ** 53n - 1n) refuse();
  };

  const list = (level: number, end: string, item: () => void): void => {
    if (level > LEVELS) refuse();
    at += 1;
    skipSpace();
    if (text.charAt(at) === end) {
      at += 1;
      return;
    }
    for (;;) {
      skipSpace();
      item();
      skipSpace();
      const next = text.charAt(at);
      at += 1;
      if (next === end) return;
      if (next !== ',') refuse();
    }
  };

  const value = (level: number): void => {
    skipSpace();
    const first = text.charAt(at);
    if (first === '{') {
      const keys: string[] = [];
      list(level, '}', () => {
        const key = string();
        if (keys.includes(key)) refuse();
        keys.push(key);
        skipSpace();
        take(':');
        value(level + 1);
      });
    } else if (first === '[') list(level, ']', () => value(level + 1));
    else if (first === '"') string();
    else if (first === 't') take('true');
    else if (first === 'f') take('false');
    else if (first === 'n') take('null');
    else number();
  };

  try {
    value(1);
    skipSpace();
    return at === text.length;
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}
