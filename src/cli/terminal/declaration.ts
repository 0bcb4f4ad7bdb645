/** What the policy in POLICY_DIR declares, for commands that hold something against it. */

import type { Declaration } from '../../policy/declared/declaration.ts';
import { compileFolder } from '../../rollout/folder.ts';
import type { Terminal } from './terminal.ts';

/** @throws Refusal when that policy cannot be read */
export const declarationHere = async ({ config }: Terminal): Promise<Declaration> =>
  (await compileFolder(config().POLICY_DIR)).schema.declaration;
