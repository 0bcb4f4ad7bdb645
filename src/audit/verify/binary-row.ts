/** Rows as COPY sends them in its binary format: where each field of a row lies among the bytes, so that only what is asked for is decoded. */

/** The fields of one row; the same object for each, good until the next. A length of -1 is null. */
export interface Fields {
  bytes: Buffer;
  readonly start: Int32Array;
  readonly length: Int32Array;
}

/** PGCOPY, flags, and the length of an extension of which there is none. */
const HEADER_BYTES = 19;

/** Feeds chunks of a COPY of rows with `columns` columns, however they are cut, and calls `visit` for each row. */
export function rowSplitter(columns: number, visit: (fields: Fields) => void): (chunk: Buffer) => void {
  const fields: Fields = { bytes: Buffer.alloc(0), start: new Int32Array(columns), length: new Int32Array(columns) };
  let rest: Buffer = Buffer.alloc(0);
  let at = HEADER_BYTES;
  /** Where the row that begins at `from` ends; 0 where it has not all come. */
  const endOf = (bytes: Buffer, from: number): number => {
    if (from + 2 > bytes.length) return 0;
    const count = bytes.readInt16BE(from);
    if (count === -1) return 0;
    if (count !== columns) throw new Error(`a row of ${count} columns, and not of ${columns}`);
    let end = from + 2;
    for (let index = 0; index < columns; index += 1) {
      if (end + 4 > bytes.length) return 0;
      const length = bytes.readInt32BE(end);
      end += 4;
      fields.start[index] = end;
      fields.length[index] = length;
      if (length > 0) end += length;
    }
    return end <= bytes.length ? end : 0;
  };
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    fields.bytes = bytes;
    for (let end = at > bytes.length ? 0 : endOf(bytes, at); end > 0; end = endOf(bytes, at)) {
      visit(fields);
      at = end;
    }
    const kept = Math.min(at, bytes.length);
    rest = bytes.subarray(kept);
    at -= kept;
  };
}
