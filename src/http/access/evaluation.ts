/** POST /access/v1/evaluation and /evaluations: decisions in the words of AuthZEN, by the same `authorize` as /authorize. */

import { z } from 'zod';
import type { Answer } from '../../authorize.ts';
import { refuseQuestions } from '../../directory/bounds.ts';
import type { Caller } from '../../directory/find-caller.ts';
import { Failure } from '../../errors.ts';
import { validate } from '../../input/scalars.ts';
import type { Service } from '../../service.ts';
import { lacking } from '../authenticate.ts';
import { originOf } from '../context.ts';
import type { Answered } from '../exchange.ts';
import { type Asked, type Route, route } from '../route.ts';
import { decisionOf, faultyDecision, orFault } from './answer.ts';
import { CREDENTIAL, questionOf, type Shown, shownBy } from './question.ts';
import { refusePieces, refuseSecrets } from './secrets.ts';
import {
  decisionShape,
  EVALUATION,
  type Evaluation,
  evaluationSchema,
  evaluationsSchema,
  evaluationsShape,
  type SEMANTICS,
} from './shapes.ts';

/** Of bodies whose members are mostly not ours. */
export const JSON_BOUNDS = { depth: 16, anyNumber: true } as const;

export const SUBJECT_HEADER = 'Iqra-Subject-Authorization';
const subjectHeaders = z.object({
  [SUBJECT_HEADER]: z
    .string()
    .optional()
    .describe(
      'The Authorization header of the client, "Token <API key>": of the subject {"type": "credential", "id": "header"}.',
    ),
});
type Headers = z.output<typeof subjectHeaders>;

const BATCH_BYTES = 256 * 1024;
/** Of the defaults, of which each item may be made: as much as an evaluation alone has room for, or a batch would cost as a hundred batches. */
const DEFAULTS_BYTES = 16 * 1024;

/** Behind which effect each semantic ends. */
const UNTIL: Readonly<Record<(typeof SEMANTICS)[number], Answer['effect'] | undefined>> = {
  execute_all: undefined,
  deny_on_first_deny: 'deny',
  permit_on_first_permit: 'allow',
};

export const evaluationRoutes = (service: Service): Route[] => [
  route({
    method: 'post',
    path: '/access/v1/evaluation',
    scope: ['authorize', 'evaluate'],
    heedsBounds: true,
    summary: 'AuthZEN: may this subject do this action on this resource?',
    headers: subjectHeaders,
    json: JSON_BOUNDS,
    inspect: refuseSecrets,
    body: evaluationSchema,
    bodyExample: EVALUATION,
    answers: { 200: { description: 'The decision.', body: decisionShape } },
    handle: (asked) => evaluateOne(service, asked, asked.body),
  }),
  route({
    method: 'post',
    path: '/access/v1/evaluations',
    scope: ['authorize', 'evaluate'],
    heedsBounds: true,
    summary: 'AuthZEN: up to 100 evaluations at once, with defaults, and all or until the first deny or permit.',
    headers: subjectHeaders,
    json: JSON_BOUNDS,
    inspect: refuseSecrets,
    body: evaluationsSchema,
    bodyExample: { ...EVALUATION, evaluations: [{ action: { name: 'call:read' } }, {}] },
    maxBytes: BATCH_BYTES,
    answers: {
      200: {
        description:
          'The decisions, in the order of the evaluations; without any, the decision on what is asked beside them.',
        body: evaluationsShape,
      },
    },
    handle: (asked) => {
      const { evaluations, options, ...defaults } = asked.body;
      if (!evaluations || evaluations.length === 0)
        return evaluateOne(service, asked, validate(evaluationSchema, defaults));
      refuseLarge(defaults);
      const items = evaluations.map((item) => orFault(() => validate(evaluationSchema, withDefaults(defaults, item))));
      return evaluateAll(service, asked, items, UNTIL[options?.evaluations_semantic ?? 'execute_all']);
    },
  }),
];

type Asking = Pick<Asked<unknown, unknown, Headers, unknown>, 'caller' | 'deadline' | 'state' | 'headers'>;

async function evaluateOne(service: Service, asking: Asking, evaluation: Evaluation): Promise<Answered> {
  const shown = shownBy(evaluation, asking.headers[SUBJECT_HEADER]);
  refuse(asking, shown);
  const [answer] = await evaluate(service, asking, [shown]);
  if (!answer) throw new Error('an evaluation was left without an answer');
  return { reply: decisionOf(answer) };
}

/** A faulty item is denied where it stands, so `deny_on_first_deny` ends there. */
async function evaluateAll(
  service: Service,
  asking: Asking,
  items: readonly (Evaluation | Failure)[],
  until: Answer['effect'] | undefined,
): Promise<Answered> {
  const header = asking.headers[SUBJECT_HEADER];
  const shown = items.map((item) => (item instanceof Failure ? item : orFault(() => shownBy(item, header))));
  // What is refused here is no fault of an item: it is a leak, or a question that is not this caller's to ask.
  for (const item of shown) if (!(item instanceof Failure)) refuse(asking, item);
  const first = until === 'deny' ? shown.findIndex((item) => item instanceof Failure) : -1;
  const considered = first === -1 ? shown : shown.slice(0, first + 1);
  const sound = considered.filter((item): item is Shown => !(item instanceof Failure));
  const answers = (sound.length === 0 ? [] : await evaluate(service, asking, sound, until)).values();
  const decisions: Readonly<Record<string, unknown>>[] = [];
  for (const item of considered) {
    const answer = item instanceof Failure ? undefined : answers.next().value;
    // Behind the decision that ended it.
    if (!(item instanceof Failure) && !answer) break;
    decisions.push(item instanceof Failure ? faultyDecision(item) : decisionOf(answer as Answer));
    if (answer && answer.effect === until) break;
  }
  return { reply: { evaluations: decisions } };
}

async function evaluate(
  { authorize, metrics }: Service,
  { caller, deadline, state }: Asking,
  shown: readonly Shown[],
  until?: Answer['effect'],
): Promise<readonly Answer[]> {
  const answers = await authorize(
    caller.id,
    (policy) => {
      const questions = shown.map((one) => questionOf(one, policy));
      if (caller.bounds) refuseQuestions(caller.bounds, questions);
      return questions;
    },
    deadline,
    { ...originOf(state), until },
  );
  for (const { code } of answers) metrics.decided(code);
  return answers;
}

/** @throws Failure FORBIDDEN: the caller may not ask it; INVALID_REQUEST: a part of the credential stands beside it */
function refuse({ caller, state }: Asking, { evaluation, credential }: Shown): void {
  mayAsk(caller, evaluation.subject.type);
  if (credential !== undefined) refusePieces(credential, evaluation, state);
}

/** To ask about a key that nobody has shown takes a scope of its own. Of a type that nothing maps, nothing is told. */
function mayAsk(caller: Caller, type: string): void {
  const needed = type === CREDENTIAL ? 'authorize' : type === 'api_key' || type === 'user' ? 'evaluate' : undefined;
  if (needed && !caller.scopes.has(needed)) throw lacking(caller, needed);
}

/** @throws Failure PAYLOAD_TOO_LARGE */
function refuseLarge(defaults: object): void {
  if (Buffer.byteLength(JSON.stringify(defaults)) > DEFAULTS_BYTES)
    throw new Failure(
      'PAYLOAD_TOO_LARGE',
      `What stands beside the evaluations, as defaults, is larger than ${DEFAULTS_BYTES} bytes. Move what not all of them need into them.`,
    );
}

const NEEDED: Readonly<Record<string, readonly string[]>> = {
  subject: ['type', 'id'],
  action: ['name'],
  resource: ['type', 'id'],
};

/**
 * An item over the defaults: each of its members replaces the default as a whole, but for a `type`, `id` or `name` that it lacks, which is
 * taken from there.
 */
function withDefaults(defaults: Readonly<Record<string, unknown>>, item: unknown): unknown {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
  const given = item as Readonly<Record<string, unknown>>;
  const member = (name: string): readonly [string, unknown][] => {
    if (!Object.hasOwn(given, name)) return Object.hasOwn(defaults, name) ? [[name, defaults[name]]] : [];
    const [own, fallback] = [given[name], defaults[name]];
    if (!isObject(own) || !isObject(fallback)) return [[name, own]];
    const lacking = (NEEDED[name] ?? []).filter(
      (field) => !Object.hasOwn(own, field) && Object.hasOwn(fallback, field),
    );
    return [[name, { ...own, ...Object.fromEntries(lacking.map((field) => [field, fallback[field]])) }]];
  };
  return Object.fromEntries(['subject', 'action', 'resource', 'context'].flatMap(member));
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
