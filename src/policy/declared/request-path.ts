/**
 * Reads the path of a request for the routes of `gateway.yaml`. What a server behind the gateway could read in another way than we do is
 * refused: the request would be allowed as one thing and arrive as another. The list is that of Spring's StrictHttpFirewall and RFC 3986's
 * own equivalences.
 */

/** Why a request is denied without a decision; a closed set, which a metric has for a label. */
export type PathReason = 'malformed' | 'ambiguous';

export interface Refused<Reason extends string = string> {
  readonly reason: Reason;
  /** For the client: a sentence that quotes nothing of the request. */
  readonly says: string;
}

export interface RequestPath {
  /** Percent-decoded once. None is empty; the slash at the end is `trailing`. */
  readonly segments: readonly string[];
  /** The segments without their case. */
  readonly folded: readonly string[];
  /** Whether a slash stands behind the last segment. */
  readonly trailing: boolean;
}

/** In characters: what servers accept of a request line. */
const MOST = 8192;

/** RFC 3986's `pchar` and the slash, without the semicolon. */
const PLAIN = /^[A-Za-z0-9/._~!$&'()*+,=:@-]*$/;
const PATH = /^(?:[A-Za-z0-9/._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*$/;

const AMBIGUOUS: readonly (readonly [form: RegExp, names: string])[] = [
  [/\\|%5c/i, 'a backslash'],
  [/%2f/i, 'an encoded slash'],
  [/;|%3b/i, 'a semicolon'],
  [/%25/, 'an encoded percent sign'],
  [
    /%(?:2[de]|3\d|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/i,
    'an encoded letter, digit or one of - . _ ~, which need no encoding',
  ],
  [/\/\//, 'an empty segment, //'],
  [/\/\.\.?(?:\/|$)/, 'a segment that is . or ..'],
];

const malformed = (says: string): Refused<'malformed'> => ({ reason: 'malformed', says });
const ambiguous = (names: string): Refused<'ambiguous'> => ({
  reason: 'ambiguous',
  says: `The path can be read in more than one way: it has ${names}. Send it without that.`,
});

/** The path of a request's target as it stood in the request line, such as `/v1/calls/7?full=1`. The query says nothing about a route. */
export function readPath(target: string): RequestPath | Refused<PathReason> {
  if (target.length > MOST) return malformed(`The path and query have more than ${MOST} characters. Send fewer.`);
  if (!/^\/[!-~]*$/.test(target) || target.includes('#'))
    return malformed('The target is no path: a slash, then visible ASCII characters without #. Send it in that form.');
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  if (PLAIN.test(path) && !path.includes('//') && !path.includes('/.')) return pathOf(path.slice(1).split('/'));
  for (const [form, names] of AMBIGUOUS) if (form.test(path)) return ambiguous(names);
  if (!PATH.test(path)) return ambiguous('what RFC 3986 has in no path, or a % without two hex digits');
  let segments: string[];
  try {
    segments = path.slice(1).split('/').map(decodeURIComponent);
  } catch {
    return ambiguous('encoded bytes that are no UTF-8');
  }
  if (segments.some((segment) => /\p{Cc}/u.test(segment))) return ambiguous('an encoded control character');
  return pathOf(segments);
}

function pathOf(segments: string[]): RequestPath {
  const trailing = segments.length > 1 && segments.at(-1) === '';
  // That of `/` has no segment.
  if (segments.at(-1) === '') segments.pop();
  return { segments, folded: segments.map(folded), trailing };
}

/** Without its case, as servers do that compare without it: by the upper case, as regular expressions do, and by the lower. */
export const folded = (text: string): string =>
  /[^\0-\x7f]/.test(text) ? text.toUpperCase().toLowerCase() : text.toLowerCase();
