/** `authz caller ...` and `authz pepper ...`: the calling services with their tokens, and the use of each pepper. */

import type { Command } from 'commander';
import { z } from 'zod';
import { pepperUse } from '../../credentials/peppers.ts';
import { createCaller, listCallers, type NewCaller, revokeCaller, rotateCaller } from '../../directory/callers.ts';
import { SCOPES } from '../../directory/find-caller.ts';
import { Refusal } from '../../errors.ts';
import { rotateBody } from '../../input/resources.ts';
import { idSchema, nameSchema, validate } from '../../input/scalars.ts';
import { withDatabase, withPresentDatabase } from '../terminal/database.ts';
import {
  collect,
  destructiveVerb,
  type JsonOption,
  type TableOptions,
  verb,
  wholeNumber,
  wideOption,
} from '../terminal/options.ts';

import { jsonText } from '../terminal/output.ts';
import { confirm } from '../terminal/prompt.ts';
import { show, showList } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

const boundIds = z.array(idSchema).min(1).max(1000, 'at most 1000 ids').nullable();
const callerBody = z.strictObject({
  name: nameSchema,
  scopes: z.array(z.enum(SCOPES, `must be of ${SCOPES.join(', ')}`)).min(1),
  users: boundIds,
  businesses: boundIds,
});

const CALLER_COLUMNS = [
  'id',
  'name',
  'scopes',
  'boundUsers',
  'boundBusinesses',
  'status',
  'createdAt',
  'expiresAt',
] as const;

/**
 * What a bound caller can do nothing with: the log, the policy and freezes are of all, and whose key is asked about is known too late.
 * And what would lead out of its bounds: user management of a member of its businesses is of all that the user has.
 */
function refuseScopesOutOfBounds({ scopes, users, businesses }: Omit<z.output<typeof callerBody>, 'name'>): void {
  const outside = scopes.filter(
    (scope) =>
      ['audit', 'policy', 'policy:read', 'freeze', 'search'].includes(scope) ||
      ((scope === 'authorize' || scope === 'evaluate') && users !== null) ||
      (scope === 'keys:grant-user-management' && users === null),
  );
  if ((users ?? businesses) === null || outside.length === 0) return;
  throw new Refusal(
    `a caller with these bounds may not use ${outside.join(', ')}; leave the scope out, or make a caller without bounds`,
  );
}

export function addCallerVerbs(caller: Command, terminal: Terminal): void {
  verb(caller, 'create', 'make a caller; its token is printed this once', 'create --name billing --scope authorize')
    .requiredOption('--name <name>', 'which service it is')
    .requiredOption('--scope <scopes>', `what it may ask, separated by commas: ${SCOPES.join(', ')}`, collect)
    .option('--user <ids>', 'the only users that it may see and change, separated by commas', collect)
    .option(
      '--business <ids>',
      'the only businesses that it may ask about, see and change, separated by commas',
      collect,
    )
    .action((options: JsonOption & { name: string; scope: string[]; user?: string[]; business?: string[] }) => {
      const { user: users = null, business: businesses = null, scope: scopes } = options;
      const { name, ...rest } = validate(callerBody, { name: options.name, scopes, users, businesses });
      refuseScopesOutOfBounds(rest);
      return withDatabase(terminal, async ({ db, peppers, actor }) => {
        showNew(terminal, await createCaller(db, peppers[0], actor, name, rest.scopes, rest), options);
      });
    });

  wideOption(verb(caller, 'list', 'list callers', 'list')).action((options: TableOptions) =>
    withPresentDatabase(terminal, async ({ db }) =>
      showList(terminal, await listCallers(db), [...CALLER_COLUMNS], options),
    ),
  );

  verb(
    caller,
    'rotate <id>',
    'make a new token; the old one works for the overlap',
    'rotate CALLER-ID --overlap-seconds 3600',
  )
    .option('--overlap-seconds <n>', 'how long the old one still works', '0')
    .action((id: string, options: JsonOption & { overlapSeconds: string }) =>
      withDatabase(terminal, async ({ db, peppers, actor }) => {
        const { overlapSeconds } = validate(rotateBody, { overlapSeconds: wholeNumber(options.overlapSeconds) });
        showNew(terminal, await rotateCaller(db, peppers[0], actor, validate(idSchema, id), overlapSeconds), options);
      }),
    );

  destructiveVerb(caller, 'revoke <id>', 'end a caller, at once and for good', 'revoke CALLER-ID --yes').action(
    (id: string, options: JsonOption & { yes?: true }) =>
      withDatabase(terminal, async ({ db, actor }) => {
        await confirm(terminal, `Revoke the caller ${validate(idSchema, id)}`, options.yes);
        show(terminal, await revokeCaller(db, actor, validate(idSchema, id)), options);
      }),
  );
}

export function addPepperVerbs(pepper: Command, terminal: Terminal): void {
  verb(
    pepper,
    'status',
    'count the keys and callers under each pepper; one that counts none can be retired',
    'status',
  ).action((options: JsonOption) =>
    withDatabase(terminal, async ({ db, peppers }) =>
      showList(terminal, await pepperUse(db, peppers), ['id', 'current', 'held', 'apiKeys', 'callers'], options),
    ),
  );
}

function showNew(terminal: Terminal, { token, caller }: NewCaller, format: JsonOption): void {
  if (format.json) terminal.printSecret(jsonText({ token, caller }));
  else {
    show(terminal, caller, format);
    terminal.printSecret(`\nThe token, shown this once:\n\n${token}`);
  }
}
