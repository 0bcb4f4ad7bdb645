/**
 * Command lines of the CLI that put the directory into a state. What is not to change is left out: it may be another when the command
 * is run, such as a user that was disabled meanwhile.
 */

import type { RateLimit } from '../input/scalars.ts';

/** As it is stored: a value, or the grants of a set. */
export type Attributes = Readonly<Record<string, string | boolean | readonly string[]>>;

/** What is not named is left as it is. */
export interface StateWanted {
  readonly disabled?: boolean | undefined;
  /** Of a user. */
  readonly businessesDisabled?: boolean | undefined;
  readonly attributes: Attributes;
}

/** What is not named is left as it is, or has its default. */
export interface KeyWanted {
  readonly userManagement?: boolean | undefined;
  readonly environment?: string | undefined;
  /** Null: all businesses. */
  readonly restriction?: readonly string[] | null | undefined;
  readonly rateLimit?: RateLimit | null | undefined;
  readonly attributes?: Attributes | undefined;
}

/** A word for a POSIX shell. */
const word = (text: string): string =>
  /^[A-Za-z0-9._:,=/@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

const line = (...words: readonly (string | readonly string[])[]): string =>
  ['authz', ...words.flat()].map(word).join(' ');

export const updateUser = (id: string, state: StateWanted): string => line('user', 'update', id, stateWords(state));

export const updateBusiness = (id: string, state: StateWanted): string =>
  line('business', 'update', id, stateWords(state));

/** For a business that there is not. */
export const makeBusiness = (id: string, { disabled, attributes }: StateWanted): string =>
  line('business', 'put', id, disabled ? ['--disabled'] : [], attributeWords(attributes));

export const putMember = (business: string, user: string, role: string): string =>
  line('member', 'put', business, user, '--role', role);

export const deleteMember = (business: string, user: string): string =>
  line('member', 'delete', business, user, '--yes');

export const createKey = (user: string, name: string, { userManagement, ...wanted }: KeyWanted): string =>
  line(
    'key',
    'create',
    '--user',
    user,
    '--name',
    name,
    userManagement ? ['--allow-user-management'] : [],
    keyWords(wanted),
  );

export const updateKey = (id: string, { userManagement, ...wanted }: KeyWanted, expires: 'never' | undefined): string =>
  line(
    'key',
    'update',
    id,
    switchWord('allow-user-management', userManagement),
    keyWords(wanted),
    expires ? ['--no-expires-at'] : [],
  );

export const liftFreeze = (id: string): string => line('freeze', 'lift', id);

const stateWords = ({ disabled, businessesDisabled, attributes }: StateWanted): string[] => [
  ...switchWord('disabled', disabled),
  ...switchWord('businesses-disabled', businessesDisabled),
  ...attributeWords(attributes),
];

const switchWord = (name: string, on: boolean | undefined): string[] =>
  on === undefined ? [] : [on ? `--${name}` : `--no-${name}`];

const keyWords = ({
  environment,
  restriction,
  rateLimit,
  attributes = {},
}: Omit<KeyWanted, 'userManagement'>): string[] => [
  ...(environment === undefined ? [] : ['--environment', environment]),
  ...(restriction ? ['--restrict', restriction.join(',')] : []),
  ...rateWords(rateLimit ?? null),
  ...attributeWords(attributes),
];

const rateWords = (rate: RateLimit | null): string[] =>
  rate ? ['--rate-limit', `${rate.requests}/${rate.windowSeconds}`] : [];

const attributeWords = (attributes: Attributes): string[] =>
  Object.entries(attributes).flatMap(([name, value]) => [
    '--attribute',
    `${name}=${typeof value === 'object' ? value.join(',') : String(value)}`,
  ]);
