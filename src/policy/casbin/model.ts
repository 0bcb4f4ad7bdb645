/** The Casbin model that `model.conf` must hold: docs/adr/0003-strict-policy-checking.md says why there is one alone. */

import { FACTS_VERSION } from '../facts.ts';
import { BUILT_IN, type Schema } from '../schema.ts';

const modelOf = (groups: readonly string[]): string => `[request_definition]
r = ${groups.join(', ')}
[policy_definition]
p = id, action, when, eft, code
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = keyMatch(r.request.action, p.action) && eval(p.when)
`;

/**
 * What Casbin is given, whatever `model.conf` says: rows are tried in order and the first match decides, whole; no match is
 * a deny, which `decide` makes a failure.
 */
export const modelFor = ({ groups }: Schema): string => modelOf(groups);

/**
 * The newest first: a policy that was written before a group of facts came names fewer groups in its request definition,
 * and is still read, so that what it decided can be replayed.
 */
export const ACCEPTED_MODELS: readonly string[] = [
  ...new Set(
    Array.from({ length: FACTS_VERSION }, (_, age) => FACTS_VERSION - age).map((version) =>
      modelOf(BUILT_IN.groups.filter((group) => BUILT_IN.factsOf(group).some(([, { since }]) => since <= version))),
    ),
  ),
];
