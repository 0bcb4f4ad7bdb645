/** `authz business ...` and `authz member ...`, over the functions that the HTTP routes call. */

import type { Command } from 'commander';
import {
  deleteBusiness,
  deleteMember,
  getBusiness,
  listBusinesses,
  listMembers,
  putBusiness,
  putMember,
  updateBusiness,
} from '../../directory/businesses.ts';
import { businessBody, memberBody } from '../../input/resources.ts';
import { validate } from '../../input/scalars.ts';
import { withDatabase } from '../terminal/database.ts';
import { destructiveVerb, type JsonOption, listOptions, verb } from '../terminal/options.ts';
import { confirm } from '../terminal/prompt.ts';
import { show, showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { attributeChange, roleHere } from './attributes.ts';
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

export function addBusinessVerbs(business: Command, terminal: Terminal): void {
  stateOptions(
    destructiveVerb(
      business,
      'put <id>',
      'make a business, or replace what it is: what is left out is reset',
      'put bakery --disabled --reason "Unpaid."',
    ),
  ).action((name: string, options: StateOptions) =>
    withDatabase(terminal, async ({ db, actor }) => {
      const attributes = (await attributeChange(terminal, 'business', options))({});
      const asked = { disabled: options.disabled, disabledReason: options.reason, attributes };
      const state = validate(businessBody, asked);
      await confirmReset(terminal, `the business ${id(name)}`, getBusiness(db, id(name)), state, options);
      show(terminal, (await putBusiness(db, actor, id(name), state)).business, options);
    }),
  );

  stateChangeOptions(
    verb(business, 'update <id>', 'change what is named, and leave the rest', 'update bakery --attribute region=eu'),
  ).action((name: string, options: StateChanges) =>
    withDatabase(terminal, async ({ db, actor }) => {
      refuseNoChange(options);
      const attributesOf = await attributeChange(terminal, 'business', options);
      const updated = await updateBusiness(db, actor, id(name), (before) =>
        validate(businessBody, { ...changedState(options, before), attributes: attributesOf(before.attributes) }),
      );
      show(terminal, updated, options);
    }),
  );

  listOptions(verb(business, 'list', 'list businesses', 'list')).action((options: PageOptions) =>
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

export function addMemberVerbs(member: Command, terminal: Terminal): void {
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

  listOptions(verb(member, 'list <business>', 'list the members of a business', 'list bakery')).action(
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
