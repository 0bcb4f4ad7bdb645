/**
 * What `names.yaml` of a policy folder maps: the words of services that ask by AuthZEN, onto the actions, businesses and facts of the
 * policy. It is part of the policy, so one digest says what a decision was made from.
 */

/** What a resource is to us: a business, or nothing beside the account of the user itself. */
export type ResourceKind = 'business' | 'account';

/** Entities that bring properties. */
export const ENTITIES = ['subject', 'resource', 'action', 'context'] as const;
export type Entity = (typeof ENTITIES)[number];

/** A property, and the fact of the group `asked` that it states. */
export interface MappedProperty {
  readonly of: Entity;
  readonly name: string;
  readonly asked: string;
}

export interface Names {
  /** Types of resources; `business` and `account` are among them, each as itself. */
  readonly resources: ReadonlyMap<string, ResourceKind>;
  /** Foreign name -> action. A name that stands here means this alone; any other may be an action itself. */
  readonly actions: ReadonlyMap<string, string>;
  readonly properties: readonly MappedProperty[];
}

export const OWN_RESOURCES: Names['resources'] = new Map([
  ['business', 'business'],
  ['account', 'account'],
]);

/** Of a folder without `names.yaml`. */
export const NO_NAMES: Names = { resources: OWN_RESOURCES, actions: new Map(), properties: [] };
