/** `authz user ...`, over the functions that the HTTP routes call. */

import type { Command } from 'commander';
import { deleteUser, getUser, listUsers, putUser, updateUser } from '../../directory/users.ts';
import { reasonBody, userBody } from '../../input/resources.ts';
import { validate } from '../../input/scalars.ts';
import { revokeKeysOf } from '../../keys/keys.ts';
import { withDatabase } from '../terminal/database.ts';
import { destructiveVerb, type JsonOption, listOptions, rateLimitOption, verb } from '../terminal/options.ts';
import { confirm } from '../terminal/prompt.ts';
import { show, showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { attributeChange } from './attributes.ts';
import {
  changedState,
  confirmReset,
  type Destructive,
  id,
  type PageOptions,
  page,
  refuseNoChange,
  type StateChanges,
  type StateOptions,
  stateChangeOptions,
  stateOptions,
} from './state.ts';

export function addUserVerbs(user: Command, terminal: Terminal): void {
  addUserPut(user, terminal);
  addUserUpdate(user, terminal);

  listOptions(verb(user, 'list', 'list users', 'list --limit 200')).action((options: PageOptions) =>
    withDatabase(terminal, async ({ db, cursors }) =>
      showPage(
        terminal,
        await listUsers(db, page(options), cursors),
        ['id', 'disabled', 'businessesDisabled', 'rateLimit', 'attributes', 'createdAt'],
        options,
      ),
    ),
  );

  verb(user, 'show <id>', 'show a user', 'show ada').action((name: string, options: JsonOption) =>
    withDatabase(terminal, async ({ db }) => show(terminal, await getUser(db, id(name)), options)),
  );

  destructiveVerb(user, 'delete <id>', 'delete a user, its keys and its memberships', 'delete ada --yes').action(
    (name: string, options: Destructive) =>
      withDatabase(terminal, async ({ db, actor }) => {
        await confirm(terminal, `Delete the user ${id(name)} with all its keys`, options.yes);
        await deleteUser(db, actor, id(name));
        show(terminal, { deleted: name }, options);
      }),
  );

  destructiveVerb(
    user,
    'revoke-keys <id>',
    'revoke all keys of a user, at once',
    'revoke-keys ada --reason "laptop stolen" --yes',
  )
    .option('--reason <text>', 'why, for the record')
    .action((name: string, options: Destructive & { reason?: string }) =>
      withDatabase(terminal, async ({ db, actor }) => {
        const { reason } = validate(reasonBody, { reason: options.reason });
        await confirm(terminal, `Revoke all keys of the user ${id(name)}`, options.yes);
        show(terminal, { revoked: await revokeKeysOf(db, actor, id(name), reason) }, options);
      }),
    );
}

function addUserPut(user: Command, terminal: Terminal): void {
  stateOptions(
    destructiveVerb(
      user,
      'put <id>',
      'make a user, or replace what it is: what is left out is reset',
      'put ada --rate-limit 1200/60',
    ),
  )
    .option('--businesses-disabled', 'disable all its businesses for it')
    .option('--rate-limit <n/s>', 'requests per seconds, for its keys without their own')
    .action((name: string, options: StateOptions & { businessesDisabled?: true; rateLimit?: string }) =>
      withDatabase(terminal, async ({ db, actor }) => {
        const { disabled, reason: disabledReason, businessesDisabled, rateLimit } = options;
        const attributes = (await attributeChange(terminal, 'user', options))({});
        const asked = {
          disabled,
          disabledReason,
          businessesDisabled,
          rateLimit: rateLimitOption(rateLimit),
          attributes,
        };
        const state = validate(userBody, asked);
        await confirmReset(terminal, `the user ${id(name)}`, getUser(db, id(name)), state, options);
        show(terminal, (await putUser(db, actor, id(name), state)).user, options);
      }),
    );
}

interface UserChanges extends StateChanges {
  readonly businessesDisabled?: boolean;
  readonly rateLimit?: string | false;
}

function addUserUpdate(user: Command, terminal: Terminal): void {
  stateChangeOptions(
    verb(user, 'update <id>', 'change what is named, and leave the rest', 'update ada --attribute plan=pro'),
  )
    .option('--businesses-disabled', 'disable all its businesses for it')
    .option('--no-businesses-disabled', 'enable them')
    .option('--rate-limit <n/s>', 'requests per seconds, for its keys without their own')
    .option('--no-rate-limit', 'use the default')
    .action((name: string, options: UserChanges) =>
      withDatabase(terminal, async ({ db, actor }) => {
        refuseNoChange(options);
        const { businessesDisabled, rateLimit } = options;
        const limit = rateLimit === false ? null : rateLimitOption(rateLimit);
        const attributesOf = await attributeChange(terminal, 'user', options);
        const updated = await updateUser(db, actor, id(name), (before) =>
          validate(userBody, {
            ...changedState(options, before),
            businessesDisabled: businessesDisabled ?? before.businessesDisabled,
            rateLimit: limit === undefined ? before.rateLimit : limit,
            attributes: attributesOf(before.attributes),
          }),
        );
        show(terminal, updated, options);
      }),
    );
}
