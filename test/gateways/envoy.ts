/** The double of Envoy, by the documents of its API v3: HTTP connection manager, header_mutation, ext_authz and routes. */

import { parse } from 'yaml';
import { shipped } from '../support/gateways.ts';
import { type Double, type DoubleWiring, type HeaderMap, headersOf, type Outcome, send } from './doubles.ts';
import type { Asked } from './wire.ts';

interface Exact {
  readonly patterns: readonly { readonly exact: string }[];
}

interface EnvoyManager {
  readonly common_http_protocol_options: { readonly headers_with_underscores_action: string };
  readonly path_with_escaped_slashes_action: string;
  readonly normalize_path: boolean;
  readonly merge_slashes: boolean;
  readonly local_reply_config: {
    readonly mappers: readonly { readonly body_format_override: EnvoyBody }[];
  };
  readonly http_filters: readonly { readonly name: string; readonly typed_config: unknown }[];
  readonly route_config: { readonly virtual_hosts: readonly { readonly routes: readonly EnvoyRoute[] }[] };
}

interface EnvoyBody {
  readonly content_type: string;
  readonly text_format_source: { readonly inline_string: string };
}

interface EnvoyRoute {
  readonly match: {
    readonly headers?: readonly {
      readonly name: string;
      readonly string_match: { readonly safe_regex: { readonly regex: string } };
    }[];
  };
  readonly direct_response?: { readonly status: number; readonly body: { readonly inline_string: string } };
}

interface ExtAuthz {
  readonly failure_mode_allow: boolean;
  readonly status_on_error: { readonly code: string };
  readonly clear_route_cache: boolean;
  readonly allowed_headers: Exact;
  readonly http_service: {
    readonly server_uri: { readonly uri: string; readonly timeout: string };
    readonly path_prefix: string;
    readonly authorization_request: {
      readonly headers_to_add: readonly { readonly key: string; readonly value: string }[];
    };
    readonly authorization_response: {
      readonly allowed_upstream_headers: Exact;
      readonly allowed_client_headers: Exact;
    };
  };
}

const namesOf = ({ patterns }: Exact): string[] => patterns.map(({ exact }) => exact.toLowerCase());

export function envoyDouble({ authz, caller, patience }: DoubleWiring): Double {
  const text = shipped('envoy/envoy.yaml', [
    ['${IQRA_CALLER}', caller],
    ['http://127.0.0.1:8080', `http://127.0.0.1:${authz}`],
  ]);
  const [listener] = parse(text).static_resources.listeners;
  const manager = listener.filter_chains[0].filters[0].typed_config as EnvoyManager;
  const configOf = <T>(name: string): T =>
    manager.http_filters.find((filter) => filter.name === `envoy.filters.http.${name}`)?.typed_config as T;
  const extAuthz = configOf<ExtAuthz>('ext_authz');
  const { http_service: service } = extAuthz;
  const { mutations } = configOf<{ mutations: { request_mutations: { remove: string }[] } }>('header_mutation');

  // Filters run in their order, and the router is the last.
  const order = manager.http_filters.map(({ name }) => name.replace('envoy.filters.http.', ''));
  if (order.join() !== 'header_mutation,ext_authz,router' || extAuthz.failure_mode_allow)
    throw new Error('the double knows the filters that are shipped, which fail closed');

  const failed = (): Outcome => {
    const [mapper] = manager.local_reply_config.mappers;
    if (extAuthz.status_on_error.code !== 'ServiceUnavailable' || !mapper) throw new Error('another status_on_error');
    const { content_type: type, text_format_source: body } = mapper.body_format_override;
    return { answer: { status: 503, headers: new Headers({ 'content-type': type }), body: body.inline_string } };
  };

  const ask = async (asked: Asked): Promise<Outcome> => {
    const { method = 'GET', target } = asked;
    const headers = headersOf(asked);
    if (manager.common_http_protocol_options.headers_with_underscores_action === 'DROP_HEADER')
      for (const name of headers.keys()) if (name.includes('_')) headers.delete(name);
    if (manager.path_with_escaped_slashes_action === 'REJECT_REQUEST' && /%(?:2f|5c)/i.test(target.split('?')[0] ?? ''))
      return { answer: { status: 400, headers: new Headers(), body: '' } };
    for (const { remove } of mutations.request_mutations) headers.delete(remove);
    // use_remote_address appends the address of the connection.
    headers.set('x-forwarded-for', [[...(headers.get('x-forwarded-for') ?? []), '127.0.0.1'].join(',')]);

    const asking: HeaderMap = new Map([['content-length', ['0']]]);
    for (const [name, values] of headers)
      if (['host', 'authorization', ...namesOf(extAuthz.allowed_headers)].includes(name)) asking.set(name, values);
    for (const { key, value } of service.authorization_request.headers_to_add) asking.set(key.toLowerCase(), [value]);
    const timeoutMs = Number.parseFloat(service.server_uri.timeout) * 1000 * patience;
    const path = service.path_prefix + target;
    const answer = await send(new URL(service.server_uri.uri), path, method, asking, timeoutMs);
    if (!answer || answer.status >= 500) return failed();
    const { allowed_upstream_headers: upstream, allowed_client_headers: client } = service.authorization_response;
    if (answer.status !== 200) {
      const shown = [...namesOf(client), 'content-length', 'www-authenticate', 'location'];
      const kept = [...answer.headers].filter(([name]) => shown.includes(name));
      return { answer: { ...answer, headers: new Headers(kept) } };
    }
    for (const name of namesOf(upstream)) {
      const value = answer.headers.get(name);
      if (value !== null) headers.set(name, [value]);
    }
    return routed(headers);
  };

  /** The first route that matches what the request has become, since clear_route_cache is set. */
  const routed = (headers: HeaderMap): Outcome => {
    if (!extAuthz.clear_route_cache) throw new Error('the route was chosen before the decision');
    const route = manager.route_config.virtual_hosts[0]?.routes.find(({ match }) =>
      (match.headers ?? []).every(({ name, string_match }) =>
        new RegExp(`^(?:${string_match.safe_regex.regex})$`).test(headers.get(name)?.join() ?? ''),
      ),
    );
    if (!route) return { answer: { status: 404, headers: new Headers(), body: '' } };
    const { direct_response: direct } = route;
    if (!direct) return { passed: headers };
    const type = { 'content-type': 'application/json' };
    return { answer: { status: direct.status, headers: new Headers(type), body: direct.body.inline_string } };
  };
  return { ask, close: async () => undefined };
}
