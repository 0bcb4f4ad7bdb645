/** Parses `gateway.yaml`: which requests of gateways ask for which action. Strict: whatever it does not know is a finding with its place. */

import { withNearest } from '../../nearest.ts';
import {
  type BusinessFrom,
  covers,
  type Gateway,
  type GatewayRoute,
  NO_ROUTES,
  parseTemplate,
  requestsOf,
  type Template,
} from '../declared/gateway.ts';
import { FACTS } from '../facts.ts';
import type { Schema } from '../schema.ts';
import { type Fault, type Path, partsOf } from './facts-parts.ts';
import { GATEWAY_FILE } from './files.ts';
import type { ReportError } from './findings.ts';
import { isMap, parseYaml } from './yaml.ts';

const MOST_ROUTES = 1000;
const MOST_METHODS = 32;
const { form: ACTION } = FACTS.request.action;
const METHOD = /^[A-Z][A-Z-]{0,31}$/;
const HEADER = /^[A-Za-z0-9-]{1,64}$/;
/** Headers that are the gateway's or the client's credential, so that no business stands in them. */
const TAKEN = /^(?:authorization|cookie|host|forwarded|iqra-.*|x-iqra-.*|x-original-.*|x-forwarded-.*)$/;

/** What `text` maps; undefined where there is no such file, and that maps nothing. What is faulty is left out. Yields for each route. */
export function* parseGatewayFile(
  text: string | undefined,
  schema: Schema,
  report: ReportError,
): Generator<void, Gateway> {
  if (text === undefined) return NO_ROUTES;
  const { value, place } = parseYaml(GATEWAY_FILE, text, report);
  const fault: Fault = (path, message) => report({ file: GATEWAY_FILE, ...place(path), rule: 'gateway', message });
  if (value === undefined || value === null) return NO_ROUTES;
  const parts = isMap(value) ? partsOf(value, ['routes'], [], fault) : {};
  const listed: unknown = parts['routes'] ?? [];
  if (!isMap(value) || !Array.isArray(listed)) {
    fault(isMap(value) ? ['routes'] : [], 'write routes: and below it a list of {methods, path, action, business}');
    return NO_ROUTES;
  }
  if (listed.length > MOST_ROUTES)
    fault(['routes'], `there are ${listed.length} routes; at most ${MOST_ROUTES} can be written`);
  const routes: GatewayRoute[] = [];
  for (const [index, entry] of (listed as unknown[]).slice(0, MOST_ROUTES).entries()) {
    yield;
    const at = ['routes', index];
    const route = routeOf(entry, at, place(at).line, schema, fault);
    if (!route) continue;
    const hidden = hiddenBy(routes, route);
    if (hidden) report({ file: GATEWAY_FILE, ...place(at), rule: 'unreachable-route', message: hidden });
    routes.push(route);
  }
  return Object.freeze(routes);
}

function routeOf(entry: unknown, at: Path, line: number, schema: Schema, fault: Fault): GatewayRoute | undefined {
  if (!isMap(entry)) {
    fault(at, 'a route is a map of methods, path, action and business');
    return undefined;
  }
  const { methods, path, action, business } = partsOf(entry, ['methods', 'path', 'action', 'business'], at, fault);
  // What is missing is missing from the route.
  const placeOf = (name: string): Path => (Object.hasOwn(entry, name) ? [...at, name] : at);
  const template = templateOf(path, placeOf('path'), fault);
  const allowed = methodsOf(methods, placeOf('methods'), fault);
  const asked = actionOf(action, placeOf('action'), schema, fault);
  const from = template && businessFrom(business, placeOf('business'), template, fault);
  if (!template || allowed === undefined || asked === undefined || from === undefined) return undefined;
  return {
    methods: allowed === 'any' ? undefined : allowed,
    template,
    action: asked,
    business: from === 'none' ? undefined : from,
    line,
  };
}

function templateOf(path: unknown, at: Path, fault: Fault): Template | undefined {
  const template =
    typeof path === 'string' ? parseTemplate(path) : 'write a path, such as /v1/businesses/{business}/**';
  if (typeof template !== 'string') return template;
  fault(at, template);
  return undefined;
}

/** GET includes HEAD, which servers answer by the same handler. */
function methodsOf(methods: unknown, at: Path, fault: Fault): ReadonlySet<string> | 'any' | undefined {
  if (methods === 'any') return 'any';
  const listed: readonly unknown[] = Array.isArray(methods) ? methods : [];
  if (listed.length === 0 || listed.length > MOST_METHODS) {
    fault(at, `write a list of 1-${MOST_METHODS} methods, such as [GET, POST], or any`);
    return undefined;
  }
  const found = new Set<string>();
  for (const [index, method] of listed.entries()) {
    if (typeof method !== 'string' || !METHOD.test(method)) {
      fault([...at, index], `${JSON.stringify(method)} is no method; write it in upper case, such as GET`);
      return undefined;
    }
    if (found.has(method) && method !== 'HEAD') fault([...at, index], `${method} stands twice`);
    found.add(method);
    if (method === 'GET') found.add('HEAD');
  }
  return found;
}

function actionOf(action: unknown, at: Path, { declaration }: Schema, fault: Fault): string | undefined {
  if (typeof action !== 'string' || !ACTION.accepts.test(action)) {
    fault(at, `${JSON.stringify(action) ?? 'nothing'} is no action: ${ACTION.says}`);
    return undefined;
  }
  const { known } = declaration.actions;
  if (known.size > 0 && !known.has(action)) {
    const message = `${action} is not in the register; add it to actions.known of facts.yaml`;
    fault(at, withNearest(message, action, [...known.keys()]));
  }
  return action;
}

function businessFrom(
  business: unknown,
  at: Path,
  { parameters }: Template,
  fault: Fault,
): BusinessFrom | 'none' | undefined {
  if (business === undefined || business === null) {
    if (!parameters.has('business')) return 'none';
    fault(at, 'the path has {business}: write business: {parameter: business}, or call it otherwise');
    return undefined;
  }
  const [first, ...more] = isMap(business) ? Object.entries(business) : [];
  const [kind, name] = first ?? [];
  if (more.length > 0 || (kind !== 'parameter' && kind !== 'header') || typeof name !== 'string') {
    fault(at, 'write {parameter: NAME} of the path, or {header: NAME}; or leave it out, for what is about no business');
    return undefined;
  }
  if (kind === 'parameter') {
    if (parameters.has(name)) return { parameter: name };
    const written = [...parameters.keys()];
    fault([...at, kind], withNearest(`the path has no {${name}}`, name, written));
    return undefined;
  }
  if (HEADER.test(name) && !TAKEN.test(name.toLowerCase())) return { header: name };
  fault([...at, kind], `${JSON.stringify(name)} can hold no business: write a header of your own, such as X-Business`);
  return undefined;
}

/** What is wrong where no request gets to a route, because of those above it. */
function hiddenBy(above: readonly GatewayRoute[], route: GatewayRoute): string | undefined {
  const covering = above.filter(({ template }) => covers(template, route.template));
  const any = covering.find(({ methods }) => methods === undefined);
  const each = [...(route.methods ?? [])].map((method) => covering.find(({ methods }) => methods?.has(method)));
  const hiding = any ? [any] : route.methods && each.every((one) => one !== undefined) ? each : [];
  const lines = [...new Set(hiding.map((one) => one?.line))];
  if (lines.length === 0) return undefined;
  const where = `${lines.length === 1 ? 'line' : 'lines'} ${lines.join(', ')}`;
  return `no request gets to ${requestsOf(route)}: ${where} above it has all of them, case, a slash at the end and endings such as .json aside; move it up, or remove it`;
}
