/**
 * What doubles of gateways are made of: of Envoy, Traefik and Kong, which cannot be had here. A double reads the shipped configuration and
 * does what the public documents of the program say that this does with it: it asks the real service, and tells what it would answer
 * or pass on. It is no proof of what the program does, but of what these rules come to with our configuration and our service.
 */

import { type Answer, type Asked, answerIn, exchangeBytes } from './wire.ts';

/** Names in lower case with all their values. */
export type HeaderMap = Map<string, string[]>;
export type Outcome = { readonly answer: Answer } | { readonly passed: HeaderMap };

export interface Double {
  readonly ask: (asked: Asked) => Promise<Outcome>;
  readonly close: () => Promise<void>;
}

export interface DoubleWiring {
  readonly authz: number;
  readonly caller: string;
  /** How much longer than shipped it waits. */
  readonly patience: number;
}

export function headersOf({ key, headers = [] }: Asked): HeaderMap {
  const map: HeaderMap = new Map([['host', ['api.example']]]);
  for (const [name, value] of [...(key === undefined ? [] : [['Authorization', `Token ${key}`] as const]), ...headers])
    map.set(name.toLowerCase(), [...(map.get(name.toLowerCase()) ?? []), value]);
  return map;
}

/** Asks over real HTTP. undefined: there was no whole answer in time. */
export async function send(
  { origin, host }: URL,
  target: string,
  method: string,
  headers: HeaderMap,
  timeoutMs: number,
): Promise<Answer | undefined> {
  const lines = [...new Map([['host', [host]], ...headers])].flatMap(([name, values]) =>
    values.map((value) => `${name}: ${value}`),
  );
  const bytes = `${[`${method} ${target} HTTP/1.1`, 'Connection: close', ...lines].join('\r\n')}\r\n\r\n`;
  return answerIn(await exchangeBytes(origin, bytes, timeoutMs));
}
