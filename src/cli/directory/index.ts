/** `authz user ...`, `authz business ...`, `authz member ...`: the directory, over the functions that the HTTP routes call. */

import type { Command } from 'commander';
import { z } from 'zod';
import {
  deleteBusiness,
  deleteMember,
  getBusiness,
  listBusinesses,
  listMembers,
  putBusiness,
  putMember,
} from '../../directory/businesses.ts';
import { deleteUser, getUser, listUsers, putUser } from '../../directory/users.ts';
import { Failure } from '../../errors.ts';
import {
  businessBody,
  memberBody,
  pageQuery,
  reasonBody,
  type StoredAttributes,
  userBody,
} from '../../input/resources.ts';
import { idSchema, validate } from '../../input/scalars.ts';
import { revokeKeysOf } from '../../keys/keys.ts';
import { withDatabase } from '../terminal/database.ts';
import { destructiveVerb, type JsonOption, pageOptions, rateLimitOption, verb } from '../terminal/options.ts';
import { confirm } from '../terminal/prompt.ts';
import { show, showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type AttributeOption, attributeOption, namedAttributes, roleHere, withAttributes } from './attributes.ts';

interface PageOptions extends JsonOption {
  readonly limit: string;
  readonly cursor?: string;
}
interface Destructive extends JsonOption {
  readonly yes?: true;
}
interface StateOptions extends Destructive, AttributeOption {
  readonly disabled?: true;
  readonly reason?: string;
}

const id = (text: string): string => validate(idSchema, text);
const page = ({ limit, cursor }: PageOptions) => validate(z.strictObject(pageQuery), { limit, cursor });
const stateOptions = (command: Command): Command =>
  attributeOption(command.option('--disabled', 'disable it').option('--reason <text>', 'why it is disabled; public'));

interface Replaced {
  readonly disabled: boolean;
  readonly businessesDisabled?: boolean;
  readonly attributes: StoredAttributes;
}

/**
 * Asks before a `put` without --disabled enables what is disabled, or drops attributes that no option names: it replaces, so what is
 * left out is reset. `before`: the current state; a rejection with NOT_FOUND means that there is none.
 */
async function confirmReset(
  terminal: Terminal,
  what: string,
  before: Promise<Replaced>,
  after: Replaced,
  { yes, ...options }: StateOptions,
): Promise<void> {
  const now = await before.catch((error: unknown) => {
    if (error instanceof Failure && error.code === 'NOT_FOUND') return undefined;
    throw error;
  });
  if (now?.disabled && !after.disabled) await confirm(terminal, `Enable ${what} again`, yes);
  if (now?.businessesDisabled && !after.businessesDisabled)
    await confirm(terminal, `Enable the businesses of ${what} again`, yes);
  const named = namedAttributes(options);
  const dropped = Object.keys(now?.attributes ?? {}).filter((name) => !named.has(name));
  if (dropped.length > 0) await confirm(terminal, `Take ${dropped.join(', ')} away from ${what}`, yes);
}

export function addUserVerbs(program: Command, terminal: Terminal): void {
  const user = program.command('user').description('users: make, change, list, delete, revoke their keys');

  addUserPut(user, terminal);

  pageOptions(verb(user, 'list', 'list users', 'list --limit 200')).action((options: PageOptions) =>
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
        const attributes = await withAttributes(terminal, 'user', {}, namedAttributes(options));
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

export function addBusinessVerbs(program: Command, terminal: Terminal): void {
  const business = program.command('business').description('businesses: make, change, list, delete');

  stateOptions(
    destructiveVerb(
      business,
      'put <id>',
      'make a business, or replace what it is: what is left out is reset',
      'put bakery --disabled --reason "Unpaid."',
    ),
  ).action((name: string, options: StateOptions) =>
    withDatabase(terminal, async ({ db, actor }) => {
      const attributes = await withAttributes(terminal, 'business', {}, namedAttributes(options));
      const asked = { disabled: options.disabled, disabledReason: options.reason, attributes };
      const state = validate(businessBody, asked);
      await confirmReset(terminal, `the business ${id(name)}`, getBusiness(db, id(name)), state, options);
      show(terminal, (await putBusiness(db, actor, id(name), state)).business, options);
    }),
  );

  pageOptions(verb(business, 'list', 'list businesses', 'list')).action((options: PageOptions) =>
    withDatabase(terminal, async ({ db, cursors }) =>
      showPage(
        terminal,
        await listBusinesses(db, page(options), cursors),
        ['id', 'disabled', 'disabledReason', 'attributes', 'createdAt'],
        options,
      ),
    ),
  );

  verb(business, 'show <id>', 'show a business', 'show bakery').action((name: string, options: JsonOption) =>
    withDatabase(terminal, async ({ db }) => show(terminal, await getBusiness(db, id(name)), options)),
  );

  destructiveVerb(business, 'delete <id>', 'delete a business and its memberships', 'delete bakery --yes').action(
    (name: string, options: Destructive) =>
      withDatabase(terminal, async ({ db, actor }) => {
        await confirm(terminal, `Delete the business ${id(name)}`, options.yes);
        await deleteBusiness(db, actor, id(name));
        show(terminal, { deleted: name }, options);
      }),
  );
}

export function addMemberVerbs(program: Command, terminal: Terminal): void {
  const member = program.command('member').description('who has access to a business');

  verb(member, 'put <business> <user>', 'give a user a role in a business', 'put bakery ada --role owner')
    .requiredOption('--role <role>', 'owner, member, or one that facts.yaml of POLICY_DIR declares')
    .action((business: string, user: string, options: JsonOption & { role: string }) =>
      withDatabase(terminal, async ({ db, actor }) => {
        const role = await roleHere(terminal, validate(memberBody, { role: options.role }).role);
        show(
          terminal,
          (await putMember(db, actor, { businessId: id(business), userId: id(user), role })).member,
          options,
        );
      }),
    );

  pageOptions(verb(member, 'list <business>', 'list the members of a business', 'list bakery')).action(
    (business: string, options: PageOptions) =>
      withDatabase(terminal, async ({ db, cursors }) =>
        showPage(
          terminal,
          await listMembers(db, id(business), page(options), cursors),
          ['businessId', 'userId', 'role'],
          options,
        ),
      ),
  );

  destructiveVerb(member, 'delete <business> <user>', "take a user's access away", 'delete bakery ada --yes').action(
    (business: string, user: string, options: Destructive) =>
      withDatabase(terminal, async ({ db, actor }) => {
        await confirm(terminal, `Take the access of ${id(user)} to ${id(business)} away`, options.yes);
        await deleteMember(db, actor, id(business), id(user));
        show(terminal, { deleted: `${business}/${user}` }, options);
      }),
  );
}
