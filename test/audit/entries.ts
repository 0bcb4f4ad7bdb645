/** Decisions for the log, without a service that makes them. */

import { v7 as uuidv7 } from 'uuid';
import type { Entry } from '../../src/audit/record/entry.ts';

/** The denial of an unknown key, now, unless `parts` say otherwise. */
export const entry = (parts: Partial<Entry> = {}): Entry => ({
  id: uuidv7(),
  callerId: 'caller',
  facts: {
    key: { id: '', status: 'unknown', userManagement: false, environment: '' },
    user: { id: '', status: 'unknown', businesses: 'active' },
    target: { id: '', status: 'none', role: 'none', inRestriction: false },
    limit: { exceeded: false },
    request: { action: 'account:read' },
  },
  decision: { effect: 'deny', code: 'INVALID_API_KEY', rule: 'key-not-active' },
  policy: 'sha256:',
  context: {},
  durationUs: 1000,
  fingerprint: undefined,
  shadow: undefined,
  ...parts,
});
