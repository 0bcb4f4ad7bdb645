/**
 * Facts that a record has itself, as they are hashed, from the jsonb that PostgreSQL sends. They come again and again, and most differ from others in their ids only: so
 * the text around the ids is looked up, and the ids are put back. A plain id is the same in both forms, wherever it stands.
 */

import canonicalizer from 'canonicalize';
import type { Fields } from './binary-row.ts';
import { hasRoundedNumber } from './row.ts';
import { AT } from './stored-columns.ts';

// It is CommonJS, and its types say that its function is `default` once more.
const canonicalize = canonicalizer as unknown as (value: unknown) => string | undefined;

/** Where the ids stand in jsonb, which has short names first, and the columns that they should be of. */
const IDS = [
  { before: '"key": {"id": "', column: AT.api_key_id, mark: '@0@' },
  { before: '"user": {"id": "', column: AT.user_id, mark: '@1@' },
  { before: '"target": {"id": "', column: AT.business_id, mark: '@2@' },
];
const MARKS = /(@[012]@)/;
const PLAIN = /^[A-Za-z0-9._:-]*$/;
const MOST_KEPT = 10_000;

/** RFC 8785 in pieces: bytes as they are, or the column whose text stands there. Undefined where numbers would be rounded. */
type Canonical = readonly (Buffer | number)[] | undefined;

/** Writes the facts of a row as a field, where there is room for twice its length. @returns where it ends; -1 where they would be rounded */
export function factsWriter(): (fields: Fields, to: Buffer, at: number) => number {
  const kept = new Map<string, Canonical>();
  return (fields, to, at) => {
    const text = withMarks(fields);
    const known = kept.get(text);
    const canonical = known ?? canonicalOf(text);
    if (known === undefined) {
      if (kept.size === MOST_KEPT) kept.clear();
      kept.set(text, canonical);
    }
    if (canonical === undefined) return -1;
    let end = at + 4;
    for (const piece of canonical) {
      if (typeof piece === 'number') {
        const from = fields.start[piece] ?? 0;
        end += fields.bytes.copy(to, end, from, from + Math.max(0, fields.length[piece] ?? 0));
      } else end += piece.copy(to, end);
    }
    to.writeInt32BE(end - at - 4, at);
    return end;
  };
}

/** Stands before facts that have no marks, since they could be taken for them. No JSON begins with it. */
const UNMARKED = '!';

/** The jsonb of a row, a character a byte, with marks in the place of those ids that are plain and those of the row's columns. */
function withMarks({ bytes, start, length }: Fields): string {
  const from = (start[AT.facts] ?? 0) + 1;
  const jsonb = bytes.toString('latin1', from, from + (length[AT.facts] ?? 0) - 1);
  if (jsonb.includes('@')) return UNMARKED + jsonb;
  let text = '';
  let rest = 0;
  for (const { before, column, mark } of IDS) {
    const found = jsonb.indexOf(before, rest);
    if (found < 0) continue;
    const begins = found + before.length;
    const size = Math.max(0, length[column] ?? 0);
    const [idAt = 0] = [start[column]];
    const id = size === 0 ? '' : bytes.toString('latin1', idAt, idAt + size);
    if (!PLAIN.test(id) || !jsonb.startsWith(`${id}"`, begins)) continue;
    text += jsonb.slice(rest, begins) + mark;
    rest = begins + size;
  }
  return text + jsonb.slice(rest);
}

function canonicalOf(latin1: string): Canonical {
  const marked = !latin1.startsWith(UNMARKED);
  const json = Buffer.from(marked ? latin1 : latin1.slice(UNMARKED.length), 'latin1').toString('utf8');
  const canonical = hasRoundedNumber(json) ? undefined : canonicalize(JSON.parse(json));
  if (canonical !== undefined && !marked) return [Buffer.from(canonical)];
  return canonical?.split(MARKS).map((piece) => IDS.find(({ mark }) => mark === piece)?.column ?? Buffer.from(piece));
}
