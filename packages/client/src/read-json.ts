/** Reads the JSON of a response, and no more bytes of it than an answer can have. */

const JSON_TYPE = /^application\/json *(?:;|$)/i;
const DIGITS = /^\d{1,15}$/;

/** Why a body is no answer. */
export class Unreadable extends Error {}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The parsed body. @throws Unreadable; what reading it fails with */
export async function readJson(response: Response, maxBytes: number): Promise<unknown> {
  const { headers } = response;
  if (!JSON_TYPE.test(headers.get('content-type') ?? '')) throw unreadable(response, 'it is not application/json');
  // We asked for it as it is; what is packed could unpack to any size.
  if (headers.has('content-encoding')) throw unreadable(response, 'it is compressed, which was not asked for');
  const bytes = await readBytes(response, maxBytes);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // The error of JSON.parse would quote the body.
    throw new Unreadable('it is not JSON in UTF-8');
  }
}

async function readBytes(response: Response, maxBytes: number): Promise<Uint8Array> {
  const length = response.headers.get('content-length') ?? '';
  // What has a length ends there: reading it at once costs less than piece by piece.
  if (DIGITS.test(length) && Number(length) <= maxBytes) return new Uint8Array(await response.arrayBuffer());
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.byteLength;
    // To leave the loop cancels the body, which closes its connection.
    if (size > maxBytes) throw new Unreadable(`it has more than ${maxBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces, size);
}

function unreadable(response: Response, why: string): Unreadable {
  discard(response);
  return new Unreadable(why);
}

/** Ends a response whose body nobody reads: else its connection would stay open. */
export function discard({ body }: Response): void {
  body?.cancel().catch(() => undefined);
}
