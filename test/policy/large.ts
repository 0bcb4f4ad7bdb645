/** A large policy: the shipped rows, and rows for single keys on single actions. */

import type { PolicyTexts } from '../../src/policy/folder/files.ts';

const CONDITIONS = [
  (n: number) => `r.key.id == 'rare-key-${n}' && r.target.role != 'owner'`,
  (n: number) => `r.key.environment == 'env-${n % 7}' && r.user.id == 'rare-user-${n}'`,
  (n: number) => `(r.user.id in ['rare-user-${n}', 'rare-user-${n + 1000}']) && r.target.status == 'active'`,
  (n: number) => `r.target.id == 'rare-business-${n}' && !r.key.userManagement`,
  (n: number) => `r.key.environment == 'test' && (r.target.role == 'member' && r.target.id == 'rare-business-${n}')`,
];

/** `shipped` with denials added, `rows` in all, spread over `actions` actions of as many nouns; each can decide. */
export function largePolicy(
  shipped: PolicyTexts,
  { rows, actions }: { readonly rows: number; readonly actions: number },
): PolicyTexts {
  const shippedRows = [...shipped.values()].join('\n').match(/^p, /gm)?.length ?? 0;
  const lines = Array.from({ length: rows - shippedRows }, (_, index) => {
    const when = CONDITIONS[Math.floor(index / actions) % CONDITIONS.length]?.(index);
    return `p, row-${index}, noun${index % actions}:create, "${when}", deny, PERMISSION_DENIED`;
  });
  return new Map([...shipped, ['50-large.csv', `${lines.join('\n')}\n`]]);
}
