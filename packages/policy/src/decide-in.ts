/** Decides a question in a world: the facts, the evaluator and the public message are those of the service. */

import { Failure, type Issue } from '../../../src/errors.ts';
import { patternsOf } from '../../../src/policy/action-patterns.ts';
import { decide, isActive, type Policy } from '../../../src/policy/decide.ts';
import { closed, FACTS, type Facts } from '../../../src/policy/facts.ts';
import { factsUnder } from '../../../src/policy/facts-under.ts';
import { toldOf, WANTED_FORM } from '../../../src/policy/message.ts';
import type { Effect } from '../../../src/policy/row.ts';
import { keyOfHeader } from '../../../src/token-form.ts';
import { knownIn, momentOf, type World, type WorldFreeze } from './world.ts';

/** As of POST /authorize. */
export interface Question {
  readonly authorization?: string | null | undefined;
  readonly apiKey?: string | null | undefined;
  readonly action: string;
  readonly businessId?: string | number | null | undefined;
  readonly context?:
    | {
        readonly ip?: string | undefined;
        readonly attributes?: Readonly<Record<string, string | boolean>> | undefined;
      }
    | undefined;
}

/** A decision, with what the service's answer says of it. */
export interface Ruling {
  readonly effect: Effect;
  /** OK exactly when the effect is allow. */
  readonly code: string;
  /** Public. */
  readonly message: string;
  /** The HTTP status for the client. */
  readonly status: number;
  readonly rule: string;
  /** The digest of the policy. */
  readonly policy: string;
  readonly apiKeyId: string | null;
  readonly userId: string | null;
  readonly businessId: string | null;
  readonly action: string;
}

/** @throws Failure INVALID_REQUEST, UNAVAILABLE; TypeError: a time of the world is none */
export function decideIn(policy: Policy, question: Question, world: World): Ruling {
  const { authorization, action, context } = question;
  const businessId = question.businessId === null ? undefined : question.businessId?.toString();
  refuseFaults(policy, question, businessId);
  const now = world.at === undefined ? Date.now() : momentOf(world.at, 'at');
  const apiKey = question.apiKey ?? keyOfHeader(authorization ?? '');
  const known = knownIn(world, apiKey, businessId, now);
  const asked = { action, ip: context?.ip, attributes: context?.attributes, moment: now };
  const freeze = freezeOf(world.freezes ?? [], { ...known, request: asked }, now);
  const facts: Facts = closed({
    ...factsUnder(policy.schema, known, asked),
    // Only a request of an active key of an active user is counted.
    limit: closed({ exceeded: known.rateLimitExceeded && isActive(known) }),
    freeze: closed({ active: freeze !== undefined }),
  });
  const { effect, code, rule } = decide(policy, facts);
  const hint = apiKey === undefined && authorization ? WANTED_FORM : undefined;
  const { status, message } = toldOf(policy.codes, code, { ...known.reasons, freeze: freeze?.reason }, hint);
  return {
    effect,
    code,
    message,
    status,
    rule,
    policy: policy.digest,
    apiKeyId: facts.key.id || null,
    userId: facts.user.id || null,
    businessId: businessId ?? null,
    action,
  };
}

type Coverable = Pick<Facts, 'key' | 'user' | 'target'> & { readonly request: { readonly action: string } };

/** The freeze that covers a question; of several the one that lasts longest. */
function freezeOf(freezes: readonly WorldFreeze[], question: Coverable, now: number): WorldFreeze | undefined {
  const { key, user, target, request } = question;
  const patterns = patternsOf(request.action);
  const endOf = ({ until }: WorldFreeze): number =>
    until === undefined ? Number.POSITIVE_INFINITY : momentOf(until, 'until');
  const fits = (named: string | null | undefined, value: string): boolean => (named ?? value) === value;
  return freezes
    .filter(
      (one) =>
        endOf(one) > now &&
        (one.action === undefined || one.action === null || patterns.includes(one.action)) &&
        fits(one.apiKeyId, key.id) &&
        fits(one.userId, user.id) &&
        fits(one.businessId, target.id),
    )
    .sort((a, b) => endOf(b) - endOf(a))[0];
}

/** @throws Failure INVALID_REQUEST: the service would refuse the question, too; `issues` have its paths */
function refuseFaults({ schema }: Policy, question: Question, businessId: string | undefined): void {
  const issues: Issue[] = [];
  if ((question.authorization ?? null) !== null && (question.apiKey ?? null) !== null)
    issues.push({ path: 'apiKey', message: 'send authorization or apiKey, not both' });
  const { action } = FACTS.request;
  if (!action.form.accepts.test(question.action))
    issues.push({ path: 'action', message: `must be ${action.form.says}` });
  const { id } = FACTS.target;
  if (businessId !== undefined && (businessId === '' || !id.form.accepts.test(businessId)))
    issues.push({ path: 'businessId', message: `must be ${id.form.says}` });
  const { asked } = schema.declaration;
  for (const [name, value] of Object.entries(question.context?.attributes ?? {})) {
    const declared = asked.get(name);
    const fits = declared?.kind === 'boolean' ? typeof value === 'boolean' : declared?.values.includes(String(value));
    if (!fits || (declared?.kind === 'values' && typeof value !== 'string'))
      issues.push({ path: `context.attributes.${name}`, message: 'is not what `asked` in facts.yaml declares' });
  }
  if (issues.length > 0) throw new Failure('INVALID_REQUEST', undefined, { issues });
}
