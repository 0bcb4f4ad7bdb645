/** What teams import: the client, its errors and its types. */

export { createClient } from './create-client.ts';
export { AuthzError, BadQuestion, type Issue, NotPermitted, TimedOut, Unavailable } from './errors.ts';
export { type Refusal, refusalOfDenial, refusalOfFailure } from './refusal.ts';
export type * from './resource-types.ts';
export type { ClientOptions } from './settings.ts';
export type {
  Allowed,
  AskOptions,
  Authorizer,
  Client,
  Context,
  Decision,
  DecisionData,
  DenialCode,
  Denied,
  Evaluated,
  EvaluateOptions,
  Evaluation,
  Question,
  RateLimit,
  Told,
} from './types.ts';
