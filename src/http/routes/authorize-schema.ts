/** The shapes of the questions, as the contract has them. */

import { z } from 'zod';
import type { AuthorizeRequest } from '../../authorize.ts';
import { keyOfHeader } from '../../credentials/token.ts';
import { actionSchema, idSchema, ipSchema, isAction, isAddress, isId } from '../../input/scalars.ts';

const BATCH_MAX = 100;

const credentialSchema = z.string({ error: 'must be text' }).nullish();

/** Text of the client's as the log keeps it: without the keys that somebody put there. */
const withoutKeys = (text: string): string => text.replace(/iqra_\w+/g, 'iqra_***');
const clientText = (max: number) => z.string().max(max, `must have at most ${max} characters`).transform(withoutKeys);

const USER_AGENT_MAX = 512;
const REQUEST_ID_MAX = 128;

export const authorizeSchema = z
  .strictObject({
    authorization: credentialSchema,
    apiKey: credentialSchema,
    action: actionSchema,
    businessId: idSchema.nullish(),
    context: z
      .strictObject({
        ip: ipSchema.optional(),
        userAgent: clientText(USER_AGENT_MAX).optional(),
        requestId: clientText(REQUEST_ID_MAX).optional(),
      })
      .optional(),
  })
  .refine((body) => (body.authorization ?? null) === null || (body.apiKey ?? null) === null, {
    path: ['apiKey'],
    message: 'send authorization or apiKey, not both',
  })
  .transform(
    (body): AuthorizeRequest => ({
      apiKey: body.apiKey ?? keyOfHeader(body.authorization ?? ''),
      otherCredential: body.authorization ?? undefined,
      action: body.action,
      businessId: body.businessId ?? undefined,
      context: body.context ?? {},
    }),
  );

export const batchSchema = z.strictObject({
  requests: z.array(authorizeSchema).min(1, 'must hold 1-100 requests').max(BATCH_MAX, 'must hold 1-100 requests'),
});

/**
 * A usual question as `authorizeSchema` would have it, in a tenth of the time. Undefined for anything else, sound or not,
 * which is then for the schema to judge.
 * INVARIANT: what this accepts, the schema accepts with the same outcome (test/http/usual.test.ts).
 */
export function usualQuestion(body: unknown): AuthorizeRequest | undefined {
  if (!isRecord(body)) return undefined;
  let apiKey: string | undefined;
  let otherCredential: string | undefined;
  let action: string | undefined;
  let businessId: string | undefined;
  let context: AuthorizeRequest['context'] | undefined = {};
  let credentials = 0;
  for (const name of Object.keys(body)) {
    const value = body[name];
    if (name === 'context') context = usualContext(value);
    else if (typeof value !== 'string') return undefined;
    else if (name === 'action') action = isAction(value) ? value : undefined;
    else if (name === 'businessId' && isId(value)) businessId = value;
    else if (name === 'apiKey' || name === 'authorization') {
      apiKey = name === 'apiKey' ? value : keyOfHeader(value);
      if (name === 'authorization') otherCredential = value;
      credentials += 1;
    } else return undefined;
  }
  return action === undefined || context === undefined || credentials > 1
    ? undefined
    : { apiKey, otherCredential, action, businessId, context };
}

function usualContext(context: unknown): AuthorizeRequest['context'] | undefined {
  if (!isRecord(context)) return undefined;
  const known: Record<string, string> = {};
  for (const name of Object.keys(context)) {
    const value = context[name];
    if (typeof value !== 'string') return undefined;
    if (name === 'ip' && isAddress(value)) known[name] = value;
    else if (name === 'userAgent' && value.length <= USER_AGENT_MAX) known[name] = withoutKeys(value);
    else if (name === 'requestId' && value.length <= REQUEST_ID_MAX) known[name] = withoutKeys(value);
    else return undefined;
  }
  return known;
}

/** As `usualQuestion`, of a batch. */
export function usualBatch(body: unknown): { requests: AuthorizeRequest[] } | undefined {
  if (!isRecord(body)) return undefined;
  const { requests, ...rest } = body;
  if (Object.keys(rest).length > 0 || !Array.isArray(requests)) return undefined;
  if (requests.length < 1 || requests.length > BATCH_MAX) return undefined;
  const questions: AuthorizeRequest[] = [];
  for (const request of requests) {
    const question = usualQuestion(request);
    if (!question) return undefined;
    questions.push(question);
  }
  return { requests: questions };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
