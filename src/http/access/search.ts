/** POST /access/v1/search/subject, /resource and /action: who may do this, on what, and what else. */

import type { z } from 'zod';
import { type Actor, mutate } from '../../db/mutate.ts';
import type { Policy } from '../../policy/decide.ts';
import type { Asked } from '../../policy/facts-under.ts';
import { searchActions } from '../../search/actions.ts';
import { type Found, type Place, searchBusinesses, searchSubjects } from '../../search/search.ts';
import type { Service } from '../../service.ts';
import type { Answered } from '../exchange.ts';
import { type Asked as Asking, type Route, route } from '../route.ts';
import { exampleOf } from '../shared-shapes.ts';
import { ASSUMES } from './answer.ts';
import { JSON_BOUNDS } from './evaluation.ts';
import { pageTokens } from './page-token.ts';
import { actionOf, askedBy, type Bringing, beginningOf, contextOf, namedBy, targetOf } from './question.ts';
import { refuseSecrets } from './secrets.ts';
import {
  actionSearchSchema,
  actionsShape,
  EVALUATION,
  entitiesShape,
  resourceSearchSchema,
  subjectSearchSchema,
} from './shapes.ts';

const { action, context } = EVALUATION;
const [SUBJECT, RESOURCE] = [
  { type: 'user', id: 'ada' },
  { type: 'business', id: 'bakery' },
];
const page = { limit: 100 };
const BUSINESSES = { ...exampleOf(entitiesShape), results: [RESOURCE] };

/** A list, and so over a screen: each route is one value. */
export const searchRoutes = (service: Service): Route[] => [
  route({
    ...COMMON,
    path: '/access/v1/search/subject',
    summary: 'AuthZEN: the keys or users that may do this action on this resource, in pages.',
    body: subjectSearchSchema,
    bodyExample: { subject: { type: 'user' }, action, resource: RESOURCE, context, page },
    answers: { 200: { description: 'A page of subjects.', body: entitiesShape } },
    handle: (asking) =>
      answerPage(service, 'subject', asking, async (policy, place) => {
        const { subject, resource } = asking.body;
        const { type } = subject;
        const question = await questionOf(service, policy, asking, asking.body.action.name);
        const target = targetOf(policy.names, resource);
        if (!question || !target || (type !== 'user' && type !== 'api_key')) return NOTHING;
        const search = { db: service.auditDb, policy, question, place };
        return { found: await searchSubjects(search, type, target.businessId), present: (id) => ({ type, id }) };
      }),
  }),
  route({
    ...COMMON,
    path: '/access/v1/search/resource',
    summary: 'AuthZEN: the businesses on which this key or user may do this action, in pages.',
    body: resourceSearchSchema,
    bodyExample: { subject: SUBJECT, action, resource: { type: 'business' }, context, page },
    answers: { 200: { description: 'A page of resources.', body: entitiesShape, example: BUSINESSES } },
    handle: (asking) =>
      answerPage(service, 'resource', asking, async (policy, place) => {
        const { subject, resource } = asking.body;
        const { type } = resource;
        const question = await questionOf(service, policy, asking, asking.body.action.name);
        const named = namedBy(subject);
        // An account has no id to be found by.
        if (!question || !named || policy.names.resources.get(type) !== 'business') return NOTHING;
        const search = { db: service.auditDb, policy, question, place };
        return { found: await searchBusinesses(search, named), present: (id) => ({ type, id }) };
      }),
  }),
  route({
    ...COMMON,
    path: '/access/v1/search/action',
    summary: 'AuthZEN: the actions that this key or user may do on this resource, in pages.',
    body: actionSearchSchema,
    bodyExample: { subject: SUBJECT, resource: RESOURCE, context, page },
    answers: { 200: { description: 'A page of actions.', body: actionsShape } },
    handle: (asking) =>
      answerPage(service, 'action', asking, async (policy, { after, limit }) => {
        const { subject, resource } = asking.body;
        const [named, target] = [namedBy(subject), targetOf(policy.names, resource)];
        if (!named || !target) return NOTHING;
        const question = await askedOf(service, policy, asking);
        const {
          searching: { loadNamed, freezes },
        } = service;
        const all = await searchActions({
          loadNamed,
          freezes,
          policy,
          named,
          ...target,
          question,
          deadline: asking.deadline,
        });
        const found = all.filter((name) => name > (after?.[0] ?? '')).slice(0, limit + 1);
        return { found: found.map((name) => [name]), present: (name) => ({ name }) };
      }),
  }),
];

const COMMON = {
  method: 'post',
  scope: 'search',
  json: JSON_BOUNDS,
  inspect: refuseSecrets,
} as const;

interface Results {
  readonly found: Found;
  readonly present: (id: string) => Readonly<Record<string, string>>;
}
/** Nothing here has that name. */
const NOTHING: Results = { found: [], present: (id) => ({ id }) };

const DEFAULT_LIMIT = 100;
/** A page that is asked to be longer is as long as this. */
const MOST = 1000;

type Searching = Pick<Asking<unknown, unknown, unknown, SearchBody>, 'actor' | 'body' | 'caller' | 'deadline'>;
type SearchBody = Bringing & { readonly page?: z.output<typeof subjectSearchSchema>['page'] };

async function answerPage(
  { adminDb, cursors, live }: Service,
  search: string,
  { actor, body, caller }: Searching,
  find: (policy: Policy, place: Place) => Promise<Results>,
): Promise<Answered> {
  const tokens = pageTokens(cursors, search, caller.id, body);
  const after = tokens.read(body.page?.token);
  const limit = Math.min(body.page?.limit ?? DEFAULT_LIMIT, MOST);
  const policy = live.policy();
  const { found, present } = await find(policy, { after, limit });
  await recordSearch(adminDb, actor, policy, search, body);
  const shown = found.slice(0, limit);
  const next = found.length > limit ? tokens.make(shown.at(-1) ?? after) : '';
  return {
    reply: {
      page: { next_token: next, count: shown.length },
      context: { assumes: ASSUMES },
      results: shown.map((ids) => present(ids.at(-1) ?? '')),
    },
  };
}

/** INVARIANT: who searches awaits this before anything of it is shown. */
const recordSearch = (
  db: Service['adminDb'],
  actor: Actor,
  { digest }: Policy,
  search: string,
  body: SearchBody,
): Promise<void> =>
  mutate(db, actor, async () => ({
    result: undefined,
    events: [{ action: 'access.search', kind: 'policy', id: digest, after: { search, ...namesIn(body) } }],
    changes: [],
  }));

/** What was asked, without properties and context, which can be anything, and as much as an id can have of each. */
function namesIn(body: SearchBody): Readonly<Record<string, unknown>> {
  const most = (value: unknown): unknown => (typeof value === 'string' ? beginningOf(value, 128) : undefined);
  const {
    subject,
    action: asked,
    resource,
  } = body as Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;
  return {
    subject: { type: most(subject?.['type']), id: most(subject?.['id']) },
    ...(asked && { action: most(asked['name']) }),
    resource: { type: most(resource?.['type']), id: most(resource?.['id']) },
  };
}

/** What is asked of each candidate; undefined: nothing maps the action. */
async function questionOf(service: Service, policy: Policy, asking: Searching, name: string) {
  const found = actionOf(policy.names, name);
  return found === undefined ? undefined : { action: found, ...(await askedOf(service, policy, asking)) };
}

/** What every candidate is asked with. @throws Failure INVALID_REQUEST: context.ip is no address */
async function askedOf(
  { searching: { moments } }: Service,
  { names, schema }: Policy,
  { body, deadline }: Searching,
): Promise<Omit<Asked, 'action'>> {
  const { ip } = contextOf((body.context as Readonly<Record<string, unknown>> | null | undefined) ?? {});
  const moment = await moments.momentFor(schema, deadline);
  return { ip, ...askedBy(names, schema.declaration.asked, body), moment, byId: true };
}
