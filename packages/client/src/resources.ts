/** Keys and freezes over HTTP. */

import { BadQuestion } from './errors.ts';
import { isObject } from './read-json.ts';
import { noAnswer, type Reply } from './read-reply.ts';
import type { ApiKey, Freeze, Freezes, Keys, NewKey, Page, VersionedKey } from './resource-types.ts';
import type { Call, Sending, Transport } from './transport.ts';
import type { AskOptions } from './types.ts';

type SendingOf = (options?: AskOptions) => Sending;

const MOST_BYTES = 16 * 1024 * 1024;

/** What is read may be asked for twice; a change is sent once. */
const read = (path: string): Call => ({ method: 'GET', path, maxBytes: MOST_BYTES, repeatable: true });
const change = (method: string, path: string, body?: object, ifMatch?: string): Call => ({
  method,
  path,
  body: body && JSON.stringify(body),
  headers: ifMatch === undefined ? undefined : { 'if-match': ifMatch },
  maxBytes: MOST_BYTES,
  repeatable: false,
});

export function keysOf({ send }: Transport, sendingOf: SendingOf): Keys {
  const one = async (sending: Sending, call: Call): Promise<VersionedKey> => {
    const reply = await send(call, sending);
    return { key: resourceOf<ApiKey>(dataOf(reply, sending), reply, sending), etag: etagOf(reply) };
  };
  const made = async (sending: Sending, call: Call): Promise<NewKey> => {
    const reply = await send(call, sending);
    const { apiKey, key } = dataOf(reply, sending);
    if (typeof apiKey !== 'string')
      throw noAnswer('it has no new key', { status: reply.status, requestId: sending.requestId });
    return { apiKey, key: resourceOf<ApiKey>(key, reply, sending), etag: etagOf(reply) };
  };
  return Object.freeze<Keys>({
    create: async (wanted, options) => made(sendingOf(options), change('POST', '/keys', wanted)),
    get: async (id, options) => one(...aboutOne(sendingOf(options), id, (at) => read(`/keys/${at}`))),
    list: async (query, options) => page<ApiKey>(send, sendingOf(options), `/keys${queryOf(query)}`),
    update: async (id, changes, options) =>
      one(...aboutOne(sendingOf(options), id, (at) => change('PATCH', `/keys/${at}`, changes, options?.ifMatch))),
    rotate: async (id, how = {}, options) =>
      made(...aboutOne(sendingOf(options), id, (at) => change('POST', `/keys/${at}/rotate`, how))),
    revoke: async (id, how = {}, options) =>
      one(...aboutOne(sendingOf(options), id, (at) => change('POST', `/keys/${at}/revoke`, how))),
    delete: async (id, options) =>
      gone(send, ...aboutOne(sendingOf(options), id, (at) => change('DELETE', `/keys/${at}`))),
  });
}

export function freezesOf({ send }: Transport, sendingOf: SendingOf): Freezes {
  const one = async (sending: Sending, call: Call): Promise<Freeze> => {
    const reply = await send(call, sending);
    return resourceOf<Freeze>(dataOf(reply, sending), reply, sending);
  };
  return Object.freeze<Freezes>({
    create: async (wanted, options) => one(sendingOf(options), change('POST', '/freezes', wanted)),
    get: async (id, options) => one(...aboutOne(sendingOf(options), id, (at) => read(`/freezes/${at}`))),
    list: async (query, options) => page<Freeze>(send, sendingOf(options), `/freezes${queryOf(query)}`),
    extend: async (id, end, options) =>
      one(...aboutOne(sendingOf(options), id, (at) => change('PATCH', `/freezes/${at}`, end))),
    lift: async (id, options) =>
      gone(send, ...aboutOne(sendingOf(options), id, (at) => change('DELETE', `/freezes/${at}`))),
  });
}

/**
 * A call about one resource. An id goes into an address, and `..` would lead to another one. @throws BadQuestion: it is no id
 */
function aboutOne({ requestId, ...rest }: Sending, id: string, callAt: (id: string) => Call): [Sending, Call] {
  if (typeof id !== 'string' || !/^(?!\.\.?$)[A-Za-z0-9._:-]{1,64}$/.test(id))
    throw new BadQuestion('An id is 1-64 of the characters A-Z a-z 0-9 . _ : -, and not . or .. alone.', { requestId });
  return [{ requestId, ...rest }, callAt(id)];
}

async function page<Item>(send: Transport['send'], sending: Sending, path: string): Promise<Page<Item>> {
  const reply = await send(read(path), sending);
  const { items, nextCursor } = dataOf(reply, sending);
  if (!Array.isArray(items) || (nextCursor !== null && typeof nextCursor !== 'string'))
    throw noAnswer('it is no page of a list', { status: reply.status, requestId: sending.requestId });
  return { items: items.map((item) => resourceOf<Item>(item, reply, sending)), nextCursor };
}

async function gone(send: Transport['send'], sending: Sending, call: Call): Promise<void> {
  const { status } = await send(call, sending);
  if (status !== 204) throw noAnswer('it does not say that it is done', { status, requestId: sending.requestId });
}

function queryOf(query: object = {}): string {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) text.set(name, String(value));
  return text.size > 0 ? `?${text}` : '';
}

const etagOf = ({ headers }: Reply): string => headers.get('etag') ?? '';

/** `Data` of an answer. @throws Unavailable */
function dataOf({ status, body }: Reply, sending: Sending): Readonly<Record<string, unknown>> {
  const data = isObject(body) && body['Success'] === true && body['Code'] === 'OK' ? body['Data'] : undefined;
  if (isObject(data)) return data;
  throw noAnswer('it has no Data', { status, requestId: sending.requestId });
}

/** A resource. What it holds is the service's word: a test compares its shapes with ours. @throws Unavailable: it has no id */
function resourceOf<Resource>(value: unknown, { status }: Reply, sending: Sending): Resource {
  if (isObject(value) && typeof value['id'] === 'string') return value as Resource;
  throw noAnswer('it is no resource', { status, requestId: sending.requestId });
}
