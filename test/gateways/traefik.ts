/** The double of Traefik, by the reference of its middlewares headers and forwardAuth and of its file provider. */

import { parse } from 'yaml';
import { shipped } from '../support/gateways.ts';
import { type Double, type DoubleWiring, type HeaderMap, headersOf, type Outcome, send } from './doubles.ts';
import type { Answer, Asked } from './wire.ts';

interface TraefikMiddleware {
  readonly headers?: { readonly customRequestHeaders: Readonly<Record<string, string>> };
  readonly forwardAuth?: {
    readonly address: string;
    readonly trustForwardHeader: boolean;
    readonly authRequestHeaders: readonly string[];
    readonly authResponseHeaders: readonly string[];
  };
}

/** Headers of a hop, which it passes on to nobody; with those that Connection names. */
const HOP = ['connection', 'keep-alive', 'te', 'trailers', 'transfer-encoding', 'upgrade', 'proxy-authenticate'];
/** Its client waits so long, and that cannot be set. */
const TRAEFIK_TIMEOUT_MS = 30_000;

export function traefikDouble({ authz, caller }: DoubleWiring): Double {
  const text = shipped('traefik/dynamic.yml', [
    ['{{ env "IQRA_CALLER" }}', caller],
    ['http://127.0.0.1:8080', `http://127.0.0.1:${authz}`],
  ]);
  const { routers, middlewares } = parse(text).http as {
    routers: { app: { middlewares: string[] } };
    middlewares: Record<string, TraefikMiddleware>;
  };

  const ask = async (asked: Asked): Promise<Outcome> => {
    const headers = headersOf(asked);
    // An entry point without forwardedHeaders drops these.
    for (const name of ['for', 'host', 'proto', 'port', 'server']) headers.delete(`x-forwarded-${name}`);
    for (const name of routers.app.middlewares) {
      const { headers: changes, forwardAuth } = middlewares[name] ?? {};
      for (const [header, value] of Object.entries(changes?.customRequestHeaders ?? {})) {
        if (value === '') headers.delete(header.toLowerCase());
        else headers.set(header.toLowerCase(), [value]);
      }
      const refused = forwardAuth && (await forward(asked, headers, forwardAuth));
      if (refused) return { answer: refused };
    }
    return { passed: headers };
  };

  /** Asks, and sets the headers of an allow; what it answers is the answer of anything else. */
  const forward = async (
    { method = 'GET', target }: Asked,
    headers: HeaderMap,
    config: NonNullable<TraefikMiddleware['forwardAuth']>,
  ): Promise<Answer | undefined> => {
    if (config.trustForwardHeader !== false) throw new Error('trustForwardHeader is not false');
    const named = (headers.get('connection') ?? []).flatMap((value) => value.toLowerCase().split(/[\s,]+/));
    const shown = config.authRequestHeaders.map((name) => name.toLowerCase());
    const asking: HeaderMap = new Map(
      [...headers].filter(([name]) => shown.includes(name) && !HOP.includes(name) && !named.includes(name)),
    );
    asking.set('x-forwarded-for', ['127.0.0.1']);
    asking.set('x-forwarded-method', [method]);
    asking.set('x-forwarded-uri', [target]);
    const url = new URL(config.address);
    const answer = await send(url, url.pathname, 'GET', asking, TRAEFIK_TIMEOUT_MS);
    if (!answer) return { status: 500, headers: new Headers(), body: '' };
    if (answer.status < 200 || answer.status >= 300) return answer;
    for (const name of config.authResponseHeaders) {
      const value = answer.headers.get(name);
      headers.delete(name.toLowerCase());
      if (value !== null) headers.set(name.toLowerCase(), [value]);
    }
    return undefined;
  };
  return { ask, close: async () => undefined };
}
