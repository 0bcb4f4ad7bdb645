/** `authz key ...`: the life of API keys, over the functions that the HTTP routes call. */

import type { Command } from 'commander';
import { z } from 'zod';
import { Refusal } from '../../errors.ts';
import { keyBody, keyChanges, pageQuery, reasonBody, rotateBody } from '../../input/resources.ts';
import { idSchema, validate } from '../../input/scalars.ts';
import {
  createKey,
  deleteKey,
  findKey,
  getKey,
  listKeys,
  type NewKey,
  revokeKey,
  rotateKey,
  updateKey,
} from '../../keys/keys.ts';
import { type KeyRights, operatorRights } from '../../keys/rights.ts';
import { withDatabase, withPresentDatabase } from '../terminal/database.ts';
import { MOMENT_HELP, readComing } from '../terminal/moment.ts';
import {
  collect,
  destructiveVerb,
  type JsonOption,
  listOptions,
  rateLimitOption,
  verb,
  wholeNumber,
} from '../terminal/options.ts';
import { jsonText } from '../terminal/output.ts';
import { confirm, readStdin } from '../terminal/prompt.ts';
import { show, showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type ZoneOption, zoneOption } from '../terminal/zone.ts';
import { type AttributeOption, attributeChange, attributeOption, namedAttributes } from './attributes.ts';

interface GrantOptions extends JsonOption, AttributeOption, ZoneOption {
  readonly name?: string;
  readonly allowUserManagement?: boolean;
  readonly restrict?: string[] | false;
  readonly environment?: string;
  readonly expiresAt?: string | false;
  readonly rateLimit?: string | false;
}

const COLUMNS = [
  'id',
  'userId',
  'friendlyName',
  'hint',
  'environment',
  'restrictedBusinessIds',
  'attributes',
  'status',
  'lastUsedAt',
] as const;

export function addKeyVerbs(key: Command, terminal: Terminal): void {
  addGrantVerbs(key, terminal);
  addReadVerbs(key, terminal);
  addEndVerbs(key, terminal);
}

/** `create`, and `update`, which changes what is named. */
function addGrantVerbs(key: Command, terminal: Terminal): void {
  const createVerb = verb(
    key,
    'create',
    'make a key; it is printed this once',
    'create --user ada --name "Only for the bakery" --restrict bakery',
  )
    .requiredOption('--user <id>', 'whose key it is')
    .requiredOption('--name <name>', 'its friendly name')
    .option('--allow-user-management', 'let it use the user-management endpoints', false)
    .option('--restrict <ids>', 'the only businesses that it may reach, separated by commas', collect)
    .option('--environment <name>', 'such as production, staging')
    .option('--expires-at <time>', 'such as 2030-01-31, or "in 90d"')
    .option('--rate-limit <n/s>', 'requests per seconds, such as 100/60');
  attributeOption(zoneOption(createVerb))
    .addHelpText('after', MOMENT_HELP)
    .action((options: GrantOptions & { user: string }) => create(terminal, options));

  const updateVerb = verb(
    key,
    'update <id>',
    'change what is named, and leave the rest',
    'update KEY-ID --restrict bakery,garage',
  )
    .option('--name <name>', 'its friendly name')
    .option('--allow-user-management', 'let it use the user-management endpoints')
    .option('--no-allow-user-management', 'do not')
    .option('--restrict <ids>', 'the only businesses that it may reach, separated by commas', collect)
    .option('--no-restrict', 'let it reach all businesses of its user')
    .option('--environment <name>', 'such as production, staging')
    .option('--expires-at <time>', 'such as 2030-01-31, or "in 90d"')
    .option('--no-expires-at', 'let it live on')
    .option('--rate-limit <n/s>', 'requests per seconds, such as 100/60')
    .option('--no-rate-limit', "use its user's, or the default");
  attributeOption(zoneOption(updateVerb))
    .addHelpText('after', MOMENT_HELP)
    .action((id: string, options: GrantOptions) => update(terminal, id, options));
}

/** `list` and `show`. */
function addReadVerbs(key: Command, terminal: Terminal): void {
  listOptions(verb(key, 'list', 'list keys', 'list --user ada'))
    .option('--user <id>', 'of this user only')
    .action((options: JsonOption & { user?: string; limit: string; cursor?: string }) =>
      withPresentDatabase(terminal, async ({ db, cursors }) => {
        const page = validate(z.strictObject(pageQuery), { limit: options.limit, cursor: options.cursor });
        const user = options.user === undefined ? undefined : validate(idSchema, options.user);
        showPage(terminal, await listKeys(db, user, page, cursors), COLUMNS, options);
      }),
    );

  verb(key, 'show [id]', 'show a key, by its id or by its clear text', 'show --key-stdin < leaked.txt')
    .option('--key-stdin', 'read the key in clear from standard input')
    .action((id: string | undefined, options: JsonOption & { keyStdin?: true }) =>
      withPresentDatabase(terminal, async ({ db, peppers }) => {
        if ((id === undefined) === (options.keyStdin === undefined))
          throw new Refusal('name a key by its id, or with --key-stdin');
        show(
          terminal,
          id === undefined
            ? await findKey(db, await peppers(), await readStdin(terminal))
            : await getKey(db, validate(idSchema, id)),
          options,
        );
      }),
    );
}

/** `rotate`, `revoke` and `delete`. */
function addEndVerbs(key: Command, terminal: Terminal): void {
  verb(
    key,
    'rotate <id>',
    'make a key with the same grants; the old one works for the overlap',
    'rotate KEY-ID --overlap-seconds 3600',
  )
    .option('--overlap-seconds <n>', 'how long the old one still works', '0')
    .action((id: string, options: JsonOption & { overlapSeconds: string }) =>
      withDatabase(terminal, async ({ db, peppers, actor }) => {
        const { overlapSeconds } = validate(rotateBody, { overlapSeconds: wholeNumber(options.overlapSeconds) });
        const rights = rightsIn(terminal);
        showNew(
          terminal,
          await rotateKey(db, peppers[0], actor, rights, validate(idSchema, id), overlapSeconds),
          options,
        );
      }),
    );

  destructiveVerb(
    key,
    'revoke <id>',
    'end a key, at once and for good',
    'revoke KEY-ID --reason "posted in a public channel" --yes',
  )
    .option('--reason <text>', 'why, for the record')
    .action((id: string, options: JsonOption & { reason?: string; yes?: true }) =>
      withDatabase(terminal, async ({ db, actor }) => {
        const { reason } = validate(reasonBody, { reason: options.reason });
        await confirm(terminal, `Revoke the key ${validate(idSchema, id)}`, options.yes);
        show(terminal, await revokeKey(db, actor, validate(idSchema, id), reason), options);
      }),
    );

  destructiveVerb(key, 'delete <id>', 'delete a key, at once', 'delete KEY-ID --yes').action(
    (id: string, options: JsonOption & { yes?: true }) =>
      withDatabase(terminal, async ({ db, actor }) => {
        await confirm(terminal, `Delete the key ${validate(idSchema, id)}`, options.yes);
        await deleteKey(db, actor, validate(idSchema, id));
        show(terminal, { deleted: id }, options);
      }),
  );
}

const rightsIn = (terminal: Terminal): KeyRights => operatorRights(terminal.config().MAX_KEY_LIFETIME);

async function create(terminal: Terminal, options: GrantOptions & { user: string }): Promise<void> {
  const { userId, ...grants } = validate(keyBody, {
    allowUserManagementApiRequests: false,
    ...fields(options, terminal),
    attributes: (await attributeChange(terminal, 'key', options))({}),
    userId: options.user,
  });
  await withDatabase(terminal, async ({ db, peppers, actor }) =>
    showNew(terminal, await createKey(db, peppers[0], actor, rightsIn(terminal), userId, grants), options),
  );
}

/** Attributes are changed in those of one version of the key: a change of another between read and write is a refusal. */
async function update(terminal: Terminal, name: string, options: GrantOptions): Promise<void> {
  const id = validate(idSchema, name);
  const named = namedAttributes(options);
  const given = validate(keyChanges, fields(options, terminal));
  if (Object.keys(given).length + named.size === 0)
    throw new Refusal('nothing is named that should change; see authz key update --help');
  await withDatabase(terminal, async ({ db, actor }) => {
    const grants = given as Parameters<typeof updateKey>[4];
    const change = (more: Partial<typeof grants>, mayChange?: (version: number) => boolean) =>
      updateKey(db, actor, rightsIn(terminal), id, { ...grants, ...more }, mayChange);
    if (named.size === 0) return show(terminal, await change({}), options);
    const before = await getKey(db, id);
    const attributes = (await attributeChange(terminal, 'key', options))(before.attributes);
    show(terminal, await change({ attributes }, (version) => version === before.version), options);
  });
}

/** The fields of a body that the options give; `--no-x` is null. */
function fields(options: GrantOptions, { env }: Terminal): object {
  const of = <O, T>(option: O | false | undefined, read: (given: O) => T): T | null | undefined =>
    option === false ? null : option === undefined ? undefined : read(option);
  const all = {
    friendlyName: options.name,
    allowUserManagementApiRequests: options.allowUserManagement,
    restrictedBusinessIds: of(options.restrict, (ids) => ids),
    environment: options.environment,
    expiresAt: of(options.expiresAt, (text) => readComing(text, options, env)),
    rateLimit: of(options.rateLimit, rateLimitOption),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function showNew(terminal: Terminal, { apiKey, key }: NewKey, format: JsonOption): void {
  if (format.json) terminal.printSecret(jsonText({ apiKey, key }));
  else {
    show(terminal, key, format);
    terminal.printSecret(`\nThe key, shown this once:\n\n${apiKey}`);
  }
}
