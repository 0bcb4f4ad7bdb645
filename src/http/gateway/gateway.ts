/**
 * What gateways ask before they let a request through: /gateway/<dialect>. The request's method and path are mapped onto an action and a
 * business by the policy's gateway.yaml, and the question goes the way of every other (authorize.ts). Apart from Koa and its router: the
 * target of a request is read byte by byte, and with Envoy it is part of the address.
 */

import type { IncomingMessage, RequestListener } from 'node:http';
import type { Context } from '../../audit/record/entry.ts';
import type { AuthorizeRequest } from '../../authorize.ts';
import { attempt, type Settle } from '../../awaitable.ts';
import { outOfBounds } from '../../directory/bounds.ts';
import type { Caller } from '../../directory/find-caller.ts';
import { Failure } from '../../errors.ts';
import { holdsPieceOf, maskSecrets } from '../../mask.ts';
import { businessOf, type Gateway, type RouteReason, routeOf } from '../../policy/declared/gateway.ts';
import type { Refused } from '../../policy/declared/request-path.ts';
import type { Service } from '../../service.ts';
import { keyOfHeader } from '../../token-form.ts';
import { uuidv7 } from '../../uuid.ts';
import { forwardedClient } from '../address.ts';
import type { Entrance } from '../answer.ts';
import { originOf, type State, stateOf } from '../context.ts';
import { type Answered, deliver, type Phase, settle } from '../exchange.ts';
import { faultOfMessage, repeatedHeader } from '../framing.ts';
import { decisionAnswer, inDialect, refusalAnswer } from './answers.ts';
import { METHODS, originalOf, type Place, placeOf, valuesOf } from './dialects.ts';

/** Why a request is denied without a decision. */
export type GatewayReason = RouteReason | 'unset' | 'doubled' | 'bounds' | 'header';

/** Answers gateways; `otherwise` gets all other requests, untouched. */
export function gateways(
  service: Service,
  phase: () => Phase,
  { authenticate, tracing }: Entrance,
  otherwise: RequestListener,
): RequestListener {
  return (request, response) => {
    const place = placeOf(request.url ?? '');
    if (!place) {
      otherwise(request, response);
      return;
    }
    const state = stateOf(request, service.config.DECISION_DEADLINE_MS, place.route, faultOfMessage(request));
    settle(
      service,
      phase,
      request,
      state,
      (end) => {
        const credential = credentialOf(request);
        keepOutOfLogs(credential, state);
        refuseMethod(place, request);
        attempt(
          () => authenticate(request, 'authorize', true, state.deadline),
          (caller) => {
            state.trace = tracing?.begin(request, state);
            answer(service, { place, request, state, caller, credential }, end);
          },
          end,
        );
      },
      (answered) => deliver(service, response, state, inDialect(place.dialect, answered)),
    );
  };
}

interface Asking {
  readonly place: Place;
  readonly request: IncomingMessage;
  readonly state: State;
  readonly caller: Caller;
  readonly credential: string | undefined;
}

function answer({ authorizeThen, metrics, live, config }: Service, asking: Asking, end: Settle<Answered>): void {
  const { place, request, state, caller, credential } = asking;
  // INVARIANT: nothing is awaited between this and `authorizeThen`, which takes the live policy at once: the route is one of the policy that decides.
  const asked = askedBy(live.policy().gateway, asking);
  if ('reason' in asked) {
    metrics.gatewayRefused(place.dialect, asked.reason);
    end(refusalAnswer(asked.says));
    return;
  }
  const question: AuthorizeRequest = {
    apiKey: keyOfHeader(credential ?? ''),
    otherCredential: credential,
    action: asked.action,
    businessId: asked.businessId,
    context: contextOf(request, credential, forwardedClient(request, config.TRUSTED_PROXIES)),
  };
  authorizeThen(caller.id, [question], state.deadline, originOf(state), (answers) => {
    if (answers instanceof Failure) return end(answers);
    const [only] = answers;
    if (!only) throw new Error('a question was left without an answer');
    metrics.decided(only.code);
    end(decisionAnswer(only));
  });
}

const refused = <Reason extends GatewayReason>(reason: Reason, says: string): Refused<Reason> => ({ reason, says });

/** The action and the business of a request. @throws Failure FORBIDDEN: the token is one of a caller that may ask nothing */
function askedBy(
  gateway: Gateway,
  { place, request, caller: { bounds }, credential = '' }: Asking,
): { readonly action: string; readonly businessId: string | undefined } | Refused<GatewayReason> {
  const repeated = repeatedHeader(request);
  // Two credentials are a question about no key.
  if (repeated !== undefined && repeated !== 'Authorization')
    return refused('header', `The header ${repeated} is there twice. Send it once.`);
  const original = originalOf(place, request);
  if ('reason' in original) return original;
  const routed = routeOf(gateway, original.method, original.target);
  if ('reason' in routed) return routed;
  const business = businessOf(routed, (name) => valuesOf(request, name.toLowerCase()));
  if ('reason' in business) return business;
  const { id } = business;
  if (id !== undefined && holdsPieceOf(credential, id))
    return refused('business', 'A part of the API key stands in the place of a business. Send the id of one.');
  if (bounds?.users) throw outOfBounds();
  if (bounds && !(id !== undefined && bounds.businesses?.has(id)))
    return refused('bounds', 'This gateway does not serve that business.');
  return { action: routed.route.action, businessId: id };
}

/** The client's Authorization; of several all of them, with a space between, which is the form of no key. */
function credentialOf(request: IncomingMessage): string | undefined {
  const values = valuesOf(request, 'authorization');
  return values.length > 1 ? values.join(', ') : values[0];
}

/** Makes a new request id where the client's holds a part of its own API key. */
function keepOutOfLogs(credential: string | undefined, state: State): void {
  if (credential === undefined || !holdsPieceOf(credential, state.requestId)) return;
  state.requestId = uuidv7();
}

/** @throws Failure METHOD_NOT_ALLOWED */
function refuseMethod({ dialect }: Place, { method = '' }: IncomingMessage): void {
  if (dialect !== 'envoy' && !METHODS.includes(method))
    throw new Failure('METHOD_NOT_ALLOWED', undefined, { allow: METHODS });
}

/** What the log keeps of the client: nothing that holds its API key. */
function contextOf(request: IncomingMessage, credential: string | undefined, ip: string | undefined): Context {
  const agent = request.headers['user-agent']?.slice(0, MOST_OF_AGENT);
  const keeps = agent !== undefined && !(credential !== undefined && holdsPieceOf(credential, agent));
  return { ip, userAgent: keeps ? maskSecrets(agent) : undefined, requestId: undefined };
}
const MOST_OF_AGENT = 512;
