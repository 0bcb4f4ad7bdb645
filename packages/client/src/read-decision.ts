/** From the body of an answer to a decision. Whatever is not exactly one is none. */

import { isObject } from './read-json.ts';
import type { Allowed, Decision, DecisionData, Denied, Question } from './types.ts';

/** What of a question its decision says again. */
export type Asked = Pick<Question, 'action' | 'businessId'>;

/**
 * The decision on that question; undefined: the value is none.
 * INVARIANT: `allowed` is true only for Success true, Code OK, status 200 and the ids of a key and its user, on the very action and business
 * that were asked about. The HTTP status is the caller's to check.
 */
export function readDecision(value: unknown, question: Asked, requestId: string): Decision<string> | undefined {
  if (!isObject(value) || typeof value['Message'] !== 'string' || !isDataOf(value['Data'], question)) return undefined;
  const { Success, Code, Message, Data } = value as {
    readonly Success: unknown;
    readonly Code: unknown;
    readonly Message: string;
    readonly Data: DecisionData;
  };
  if (Success === true && Code === 'OK' && isGrant(Data))
    return Object.freeze({ allowed: true, Success, Code, Message, Data: Object.freeze(Data), requestId });
  if (Success === false && isDenialCode(Code) && Data.status >= 400)
    return Object.freeze({ allowed: false, Success, Code, Message, Data: Object.freeze(Data), requestId });
  return undefined;
}

const isGrant = (data: DecisionData): data is Allowed['Data'] =>
  data.status === 200 && data.apiKeyId !== null && data.userId !== null;

const isDenialCode = (code: unknown): code is Denied['Code'] =>
  typeof code === 'string' && code !== 'OK' && /^[A-Z][A-Z0-9_]*$/.test(code);

/** Whether it is the data of a decision on that question, and of no other. */
function isDataOf(data: unknown, { action, businessId = null }: Asked): data is DecisionData {
  return (
    isObject(data) &&
    isText(action) &&
    data['action'] === action &&
    data['businessId'] === (businessId === null ? null : String(businessId)) &&
    isText(data['decisionId']) &&
    isText(data['rule']) &&
    isText(data['policy']) &&
    isWhole(data['status']) &&
    data['status'] <= 599 &&
    isTextOrNull(data['apiKeyId']) &&
    isTextOrNull(data['userId']) &&
    isRateLimit(data['rateLimit']) &&
    (data['retryAfterSeconds'] === undefined || isWhole(data['retryAfterSeconds']))
  );
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isTextOrNull = (value: unknown): boolean => value === null || isText(value);
const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isRateLimit = (value: unknown): boolean =>
  value === undefined ||
  (isObject(value) && isWhole(value['limit']) && isWhole(value['remaining']) && isWhole(value['resetSeconds']));
