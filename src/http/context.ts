/** The state of a request: id, deadline, start time, route. */

import type { IncomingMessage } from 'node:http';
import { type Deadline, deadlineIn } from '../deadline.ts';
import { holdsSecret } from '../mask.ts';
import { uuidv7 } from '../uuid.ts';

export interface State {
  readonly requestId: string;
  readonly deadline: Deadline;
  /** The start time, in milliseconds of `performance.now()`. */
  readonly since: number;
  /** The path of the route that it is for; undefined where there is none. */
  readonly route: string | undefined;
}

export const stateOf = (request: IncomingMessage, deadlineMs: number, route: string | undefined): State => ({
  requestId: requestIdOf(request),
  deadline: deadlineIn(deadlineMs),
  since: performance.now(),
  route,
});

/** The request id for the logs: the client's X-Request-Id where that is plain text without a key, else a new UUIDv7. */
const requestIdOf = (request: IncomingMessage): string => {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(given) && !holdsSecret(given) ? given : uuidv7();
};
