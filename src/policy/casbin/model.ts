/** The Casbin model that `model.conf` must hold, and the text that Casbin is given: one for each of casbin.md's reasons. */

import { FACT_GROUPS } from '../facts.ts';

/** Matched rows are tried in order and the first one decides, whole; no row is a deny (which `decide` makes a failure). */
export const MODEL = `[request_definition]
r = ${FACT_GROUPS.join(', ')}
[policy_definition]
p = id, action, when, eft, code
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = keyMatch(r.request.action, p.action) && eval(p.when)
`;
