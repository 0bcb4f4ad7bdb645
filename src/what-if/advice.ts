/** What to do about a denial: each of the smallest changes in words, and as a command where there is one. */

import type { Business } from '../directory/businesses.ts';
import type { User } from '../directory/users.ts';
import type { FreezeRecord } from '../freezes/freezes.ts';
import type { ApiKey } from '../keys/resource.ts';
import type { ChangeSet } from '../policy/analysis/change-sets.ts';
import type { Facts } from '../policy/facts.ts';
import type { Schema } from '../policy/schema.ts';
import { attributesWanted, declaredPart } from './attributes.ts';
import {
  createKey,
  deleteMember,
  type KeyWanted,
  liftFreeze,
  makeBusiness,
  putMember,
  updateBusiness,
  updateKey,
  updateUser,
} from './commands.ts';
import type { LiveQuestion } from './question.ts';
import { allows, inWords, type Left, listOf, namedValue, take, valuesText } from './wanted.ts';

export interface Advice {
  readonly says: string;
  /** For a shell. A word in capitals stands for what is to be chosen. Null: no command does it. */
  readonly command: string | null;
}

/** What is asked about, as it is stored. */
export interface Subject {
  readonly question: LiveQuestion;
  readonly facts: Facts;
  readonly schema: Schema;
  /** These are undefined where there is none. */
  readonly key: ApiKey | undefined;
  readonly user: User | undefined;
  readonly business: Business | undefined;
  /** The businesses of the key's restriction that its user is a member of: a command can name no other. */
  readonly reachable: readonly string[];
  /** Those that cover the question. */
  readonly freezes: readonly FreezeRecord[];
}

/** In an order in which the commands can be run: a key can be restricted only to a business that its user is a member of. */
export function adviceOn({ changes }: ChangeSet, subject: Subject): readonly Advice[] {
  const left: Left = new Map(changes.map((change) => [change.path, change]));
  const given = [onWhatWasSet, onAnotherTarget, onBusiness, onUser, onRole, onKey, onFreeze].flatMap((advise) =>
    advise(left, subject),
  );
  return [...given, ...[...left.values()].map((change) => ({ says: inWords(change), command: null }))];
}

const only = (says: string, command: string | null = null): Advice[] => [{ says, command }];

function onWhatWasSet(left: Left, { question }: Subject): Advice[] {
  const set = [...left.values()].filter(({ path }) => question.set.has(path));
  for (const { path } of set) left.delete(path);
  return set.flatMap(({ path, to }) => only(`set ${path} to ${valuesText(to)}, or leave it as it is stored`));
}

/** Another business, or none: what the question would have to ask. */
function onAnotherTarget(left: Left, { facts }: Subject): Advice[] {
  const id = take(left, 'r.target.id');
  if (!id) return [];
  const status = take(left, 'r.target.status');
  if (status && allows(status, 'none')) {
    for (const path of ['r.target.role', 'r.target.inRestriction']) left.delete(path);
    return only('ask about no business: leave businessId out');
  }
  const named =
    facts.target.id === '' ? 'ask about a business (businessId)' : `ask about another business: ${valuesText(id.to)}`;
  const of = ['r.target.role', 'r.target.inRestriction'].flatMap((path) => take(left, path) ?? []);
  const where = [...(status ? [status] : []), ...of].map(({ path, to }) => `${path} is ${valuesText(to)}`);
  return only(where.length > 0 ? `${named} of which ${listOf(where)}` : named);
}

function onBusiness(left: Left, { facts, schema, business }: Subject): Advice[] {
  const status = left.get('r.target.status');
  const attributes = attributesWanted(left, schema, 'business', business?.attributes);
  if (!status && attributes.says.length === 0) return [];
  const disabled = status && !allows(status, 'active');
  if (status && disabled && !allows(status, 'disabled')) return [];
  left.delete('r.target.status');
  const { id } = facts.target;
  const verb = business ? (disabled ? 'disable' : 'enable') : 'make';
  const says = listOf([...(status ? [`${verb} the business ${id}`] : []), ...attributes.says]);
  const wanted = { disabled, attributes: attributes.changed };
  return only(says, business ? updateBusiness(id, wanted) : makeBusiness(id, wanted));
}

function onUser(left: Left, { schema, user }: Subject): Advice[] {
  if (!user) return [];
  const [status, businesses] = ['r.user.status', 'r.user.businesses'].map((path) => left.get(path));
  const attributes = attributesWanted(left, schema, 'user', user.attributes);
  if (status && !allows(status, 'active')) return [];
  if (!status && !businesses && attributes.says.length === 0) return [];
  for (const path of ['r.user.status', 'r.user.businesses']) left.delete(path);
  const wanted = {
    disabled: status && false,
    businessesDisabled: businesses && !allows(businesses, 'active'),
    attributes: attributes.changed,
  };
  const parts = [
    ...(status ? [`enable the user ${user.id}`] : []),
    ...(businesses
      ? [`${wanted.businessesDisabled ? 'disable' : 'enable'} the businesses of the user ${user.id}`]
      : []),
    ...attributes.says,
  ];
  return only(listOf(parts), updateUser(user.id, wanted));
}

/** Who is to be chosen. */
const USER = 'USER';
const NAME = 'NAME';

function onRole(left: Left, { facts }: Subject): Advice[] {
  const change = left.get('r.target.role');
  if (!change) return [];
  const [user, business] = [facts.user.id || USER, facts.target.id];
  const roles = 'anyOf' in change.to ? change.to.anyOf.map(String) : [];
  const given = roles.filter((role) => role !== 'none' && role !== 'other');
  // Of several, not the one that may do most.
  const role = given.includes('member') ? 'member' : (given.find((one) => one !== 'owner') ?? given[0]);
  if (role === undefined && !roles.includes('none')) return [];
  left.delete('r.target.role');
  if (role === undefined) return only(`take the access of ${user} to ${business} away`, deleteMember(business, user));
  const says = `make the user ${user} ${given.join(' or ')} of the business ${business}`;
  return only(says, putMember(business, user, role));
}

function onKey(left: Left, subject: Subject): Advice[] {
  const { schema, key, user } = subject;
  const status = left.get('r.key.status');
  if (status && !allows(status, 'active')) return [];
  const attributes = attributesWanted(left, schema, 'key', key?.attributes);
  const wanted = { ...grantsWanted(left, subject), attributes: attributes.changed };
  const parts = [...wanted.says, ...attributes.says];
  if (!status && parts.length === 0) return [];
  left.delete('r.key.status');
  if (!key) {
    for (const path of ['r.key.id', 'r.user.id', 'r.user.status']) left.delete(path);
    return only(listOf(['make a key of a user that is active', ...parts]), createKey(USER, NAME, wanted));
  }
  const { id, rotatedTo } = key;
  if (!status) return only(listOf(parts), updateKey(id, wanted, undefined));
  // A key that expires at the time that is asked about lives now, and may go on to.
  if (key.status === 'active' && rotatedTo === null)
    return only(listOf([`let the key ${id} live on`, ...parts]), updateKey(id, wanted, 'never'));
  const why = key.revokedAt === null ? 'an expired key is not revived' : 'a revoked key stays revoked';
  const says = listOf([`make another key, and use that: ${why}`, ...parts]);
  const like = grantsOf(subject);
  const all = { ...like, ...wanted, attributes: { ...like.attributes, ...wanted.attributes } };
  return only(says, createKey(user?.id ?? USER, key.friendlyName, all));
}

/** What a key like this one needs. */
const grantsOf = ({ schema, key, reachable }: Subject): KeyWanted =>
  key
    ? {
        userManagement: key.allowUserManagementApiRequests,
        environment: key.environment,
        restriction: key.restrictedBusinessIds && reachable,
        rateLimit: key.rateLimit,
        attributes: declaredPart(key.attributes, schema.declaration.attributes.key),
      }
    : {};

function grantsWanted(
  left: Left,
  { facts, key, reachable }: Subject,
): KeyWanted & { readonly says: readonly string[] } {
  const management = take(left, 'r.key.userManagement');
  const environment = take(left, 'r.key.environment');
  const restriction = left.get('r.target.inRestriction');
  const business = facts.target.id;
  const others = reachable.filter((one) => one !== business);
  const allowed = restriction && allows(restriction, true);
  // A restriction names at least one business.
  const restricts = restriction !== undefined && key !== undefined && (allowed || others.length > 0);
  if (restricts || (restriction && !key)) left.delete('r.target.inRestriction');
  const name = environment && (namedValue(environment) ?? NAME);
  return {
    ...(management && { userManagement: allows(management, true) }),
    ...(environment && { environment: String(name) }),
    ...(restricts && { restriction: allowed ? [...others, business] : others }),
    says: [
      ...(management ? [`${allows(management, true) ? 'let the key' : 'keep the key from'} manage users`] : []),
      ...(environment ? [`put the key into the environment ${valuesText(environment.to)}`] : []),
      ...(restricts
        ? [allowed ? `let the key reach the business ${business}` : `keep the key from the business ${business}`]
        : []),
    ],
  };
}

function onFreeze(left: Left, { freezes }: Subject): Advice[] {
  if (!left.has('r.freeze.active')) return [];
  const inForce = freezes.filter(({ status }) => status === 'in force');
  if (inForce.length === 0) return [];
  left.delete('r.freeze.active');
  return inForce.flatMap(({ id, until }) =>
    only(`lift the freeze ${id}, or wait until it ends at ${until}`, liftFreeze(id)),
  );
}
