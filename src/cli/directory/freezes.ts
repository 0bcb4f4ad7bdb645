/** `authz freeze ...`: deny at once, for a while, what an incident asks for. */

import type { Command } from 'commander';
import { z } from 'zod';
import { endOf, freezeBody, freezeEndBody } from '../../freezes/body.ts';
import { createFreeze, extendFreeze, liftFreeze, listFreezes } from '../../freezes/freezes.ts';
import { pageQuery } from '../../input/resources.ts';
import { idSchema, validate } from '../../input/scalars.ts';
import { withDatabase, withPresentDatabase } from '../terminal/database.ts';
import { MOMENT_HELP, readComing, readDuration } from '../terminal/moment.ts';
import { type JsonOption, listOptions, verb } from '../terminal/options.ts';
import { show, showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type ZoneOption, zoneOption } from '../terminal/zone.ts';

interface EndOptions extends ZoneOption {
  readonly for?: string;
  readonly until?: string;
}

interface FreezeOptions extends JsonOption, EndOptions {
  readonly action?: string;
  readonly key?: string;
  readonly user?: string;
  readonly business?: string;
  readonly everything?: true;
  readonly reason: string;
}

const HELP = `
What fits all that is named is denied with FROZEN, in every process within a second, until the end or until it is lifted. No policy
can allow it, and no edit of the policy is needed.

Example:
  authz freeze --action 'call:*' --business bakery --for 2h --reason "Calls to premium numbers are being looked into."`;

export function addFreezeVerbs(freeze: Command, terminal: Terminal): void {
  endOptions(freeze)
    .enablePositionalOptions()
    .option('--action <pattern>', "an action, such as call:create, or 'call:*'")
    .option('--key <id>', 'an API key, by its id')
    .option('--user <id>', 'a user')
    .option('--business <id>', 'a business')
    .option('--everything', 'whatever is asked')
    .option('--reason <text>', 'why; public: clients read it')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(({ json, ...options }: FreezeOptions) =>
      withDatabase(terminal, async ({ db, actor }) => {
        const { action, key: apiKeyId, user: userId, business: businessId, everything, reason } = options;
        const asked = { action, apiKeyId, userId, businessId, everything, reason, ...endAsked(options, terminal.env) };
        const { reason: why, everything: _, until, forSeconds, ...scope } = validate(freezeBody, defined(asked));
        show(terminal, await createFreeze(db, actor, scope, why, endOf({ until, forSeconds })), {
          ...(json && { json }),
        });
      }),
    );

  listOptions(verb(freeze, 'list', 'list freezes, the newest first', 'list --in-force'))
    .option('--in-force', 'only those in force')
    .action(
      ({
        inForce = false,
        limit,
        cursor,
        ...format
      }: JsonOption & { inForce?: boolean; limit: string; cursor?: string }) =>
        withPresentDatabase(terminal, async ({ db, cursors }) => {
          const page = validate(z.strictObject(pageQuery), defined({ limit, cursor }));
          const columns = ['id', 'status', 'action', 'apiKeyId', 'userId', 'businessId', 'until', 'reason'] as const;
          showPage(terminal, await listFreezes(db, inForce, page, cursors), columns, format);
        }),
    );

  endOptions(
    verb(freeze, 'extend <id>', 'move the end of a freeze in force, without a gap', 'extend FREEZE-ID --for 2h'),
  ).action((id: string, options: JsonOption & EndOptions) =>
    withDatabase(terminal, async ({ db, actor }) => {
      const end = endOf(validate(freezeEndBody, defined(endAsked(options, terminal.env))));
      show(terminal, await extendFreeze(db, actor, validate(idSchema, id), end), options);
    }),
  );

  verb(freeze, 'lift <id>', 'end a freeze, at once', 'lift FREEZE-ID').action((id: string, options: JsonOption) =>
    withDatabase(terminal, async ({ db, actor }) =>
      show(terminal, await liftFreeze(db, actor, validate(idSchema, id)), options),
    ),
  );
}

const endOptions = (command: Command): Command =>
  zoneOption(
    command
      .option('--for <length>', 'how long from now: 90m, 2h, 7d')
      .option('--until <time>', 'its end, such as 2030-01-31T12:00:00Z or "tomorrow 09:00"'),
  ).addHelpText('after', MOMENT_HELP);

/** As the body of a request has it. */
const endAsked = (
  { for: length, until, ...zone }: EndOptions,
  env: NodeJS.ProcessEnv,
): { forSeconds?: number | undefined; until?: string | undefined } => ({
  forSeconds: length === undefined ? undefined : readDuration(length),
  until: until === undefined ? undefined : readComing(until, zone, env),
});

const defined = (options: object): object =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
