/** The shape of a finding about a key or its use. */

import { z } from 'zod';
import { shape } from './shapes.ts';

export const hygieneData = shape(
  {
    finding: z.string(),
    subject: z.string().describe('The id of a key, the fingerprint of a credential, or an address'),
    says: z.string(),
    advice: z.string(),
    commands: z.array(z.string()).describe('What does so, to be pasted'),
    evidence: z.looseObject({}),
  },
  {
    finding: 'key-unrestricted',
    subject: 'ada-main',
    says: 'The key ada-main ("Main") of the user ada may reach every business of its user, and was used for bakery alone in 90 days.',
    advice: 'Restrict it to them.',
    commands: ['authz key update ada-main --restrict bakery'],
    evidence: { userId: 'ada', friendlyName: 'Main', businessIds: ['bakery'] },
  },
);
