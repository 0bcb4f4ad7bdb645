/** Decisions for the log, without a service that makes them. */

import { v7 as uuidv7 } from 'uuid';
import type { Entry } from '../../src/audit/record/entry.ts';
import { factsWith } from '../support/facts.ts';

/** The denial of an unknown key, now, unless `parts` say otherwise. */
export const entry = (parts: Partial<Entry> = {}): Entry => ({
  id: uuidv7(),
  callerId: 'caller',
  callerRequestId: undefined,
  traceId: undefined,
  facts: factsWith({ request: { action: 'account:read' } }),
  decision: { effect: 'deny', code: 'INVALID_API_KEY', rule: 'key-not-active' },
  policy: 'sha256:',
  context: {},
  durationUs: 1000,
  fingerprint: undefined,
  shadow: undefined,
  ...parts,
});
