/**
 * Keys have no place in the body of an AuthZEN question but one: enforcement points log these bodies. What has the form of a key is refused
 * wherever else it stands, before anything is made of it.
 */

import { invalid, printPath } from '../../input/json.ts';
import { holdsPieceOf, holdsSecret } from '../../mask.ts';
import { uuidv7 } from '../../uuid.ts';
import type { State } from '../context.ts';

const WHERE =
  'has the form of an API key or a caller token. Send the API key in the header Iqra-Subject-Authorization, as "Token <API key>", with ' +
  'the subject {"type": "credential", "id": "header"}; or in subject.properties.authorization';

/** Shown a body before it is validated. @throws Failure INVALID_REQUEST: a key stands where none belongs, X-Request-Id included */
export function refuseSecrets(body: unknown, state: State): void {
  const { sentRequestId } = state;
  if (sentRequestId !== undefined && holdsSecret(sentRequestId)) throw invalid('', `X-Request-Id ${WHERE}`);
  const path = pathOfSecret(body, []);
  if (path) throw invalid(printPath(path), WHERE);
}

/** @throws Failure INVALID_REQUEST: the request id, or another text of a question than its credential, holds a part of that */
export function refusePieces(credential: string, question: unknown, state: State): void {
  if (state.sentRequestId !== undefined && holdsPieceOf(credential, state.sentRequestId)) {
    // Neither the answer nor a line of the log has it.
    state.requestId = uuidv7();
    state.echo = undefined;
    throw invalid('', `X-Request-Id ${WHERE}`);
  }
  if (holdsPieceOf(credential, JSON.stringify(question))) throw invalid('', `a text beside the credential ${WHERE}`);
}

/** Where a body may hold a key: `subject.properties.authorization`, of itself or of one of its evaluations. */
const isPlaceOfKey = (path: readonly PropertyKey[]): boolean => {
  // Member by member: the name of one may have dots in it.
  const own = path[0] === 'evaluations' && typeof path[1] === 'number' ? path.slice(2) : path;
  return own.length === PLACE_OF_KEY.length && PLACE_OF_KEY.every((name, depth) => own[depth] === name);
};
const PLACE_OF_KEY = ['subject', 'properties', 'authorization'];

function pathOfSecret(value: unknown, path: readonly PropertyKey[]): readonly PropertyKey[] | undefined {
  if (typeof value === 'string') return holdsSecret(value) && !isPlaceOfKey(path) ? path : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  const entries: Iterable<[PropertyKey, unknown]> = Array.isArray(value) ? value.entries() : Object.entries(value);
  for (const [name, member] of entries) {
    const at = [...path, name];
    if (typeof name === 'string' && holdsSecret(name)) return at;
    const found = pathOfSecret(member, at);
    if (found) return found;
  }
  return undefined;
}
