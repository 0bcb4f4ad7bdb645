/** Command lines of the CLI that put the directory into a state: what is not to change is repeated where a command would reset it. */

import type { RateLimit } from '../input/scalars.ts';

/** As it is stored: a value, or the grants of a set. */
export type Attributes = Readonly<Record<string, string | boolean | readonly string[]>>;

export interface UserWanted {
  readonly disabled: boolean;
  readonly disabledReason: string | null;
  readonly businessesDisabled: boolean;
  readonly rateLimit: RateLimit | null;
  readonly attributes: Attributes;
}

export interface BusinessWanted extends Pick<UserWanted, 'disabled' | 'disabledReason' | 'attributes'> {}

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

export const putUser = (id: string, { businessesDisabled, rateLimit, ...state }: UserWanted): string =>
  line(
    'user',
    'put',
    id,
    stateWords(state),
    businessesDisabled ? ['--businesses-disabled'] : [],
    rateWords(rateLimit),
    '--yes',
  );

export const putBusiness = (id: string, state: BusinessWanted): string =>
  line('business', 'put', id, stateWords(state), '--yes');

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
    userManagement === undefined ? [] : [userManagement ? '--allow-user-management' : '--no-allow-user-management'],
    keyWords(wanted),
    expires ? ['--no-expires-at'] : [],
  );

export const liftFreeze = (id: string): string => line('freeze', 'lift', id);

const stateWords = ({ disabled, disabledReason, attributes }: BusinessWanted): string[] => [
  ...(disabled ? ['--disabled'] : []),
  ...(disabled && disabledReason !== null ? ['--reason', disabledReason] : []),
  ...attributeWords(attributes),
];

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
