/** A collector of OpenTelemetry: takes what is sent by OTLP over HTTP, in JSON or protobuf, and reads it without OpenTelemetry's code. */

import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: number;
  readonly status: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly Readonly<Record<string, unknown>>[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly ms: number;
}

export interface Message {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Collector {
  readonly url: string;
  readonly messages: Message[];
  /** Answers each message, in place of a 200; resolves when it is answered. */
  answer: ((response: ServerResponse) => void) | undefined;
  /** Of the messages in JSON. */
  readonly spans: () => Span[];
  /** Attributes of the processes that sent them. */
  readonly resources: () => Readonly<Record<string, unknown>>[];
  readonly close: () => Promise<void>;
}

export async function startCollector(port = 0): Promise<Collector> {
  const messages: Message[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const sent = Buffer.concat(parts);
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    if (collector.answer) return collector.answer(response);
    messages.push({ path: request.url ?? '', headers: request.headers, body });
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const parsed = () =>
    messages
      .filter(({ headers }) => headers['content-type'] === 'application/json')
      .flatMap(({ body }) => (JSON.parse(body.toString()) as Export).resourceSpans);
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    messages,
    answer: undefined,
    spans: () => parsed().flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map(spanOf))),
    resources: () => parsed().map(({ resource }) => attributesOf(resource.attributes)),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return collector;
}

interface Pair {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Pair[] };
    readonly scopeSpans: readonly { readonly spans: readonly Exported[] }[];
  }[];
}
interface Exported {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status?: { readonly code?: number };
  readonly attributes?: readonly Pair[];
  readonly events?: readonly { readonly attributes?: readonly Pair[] }[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}

const attributesOf = (pairs: readonly Pair[] = []): Readonly<Record<string, unknown>> =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, Object.values(value)[0]]));

const spanOf = (one: Exported): Span => ({
  traceId: one.traceId,
  spanId: one.spanId,
  parentSpanId: one.parentSpanId || undefined,
  name: one.name,
  kind: one.kind,
  status: one.status?.code ?? 0,
  attributes: attributesOf(one.attributes),
  events: (one.events ?? []).map(({ attributes }) => attributesOf(attributes)),
  links: (one.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
  ms: Number(BigInt(one.endTimeUnixNano) - BigInt(one.startTimeUnixNano)) / 1e6,
});

/** The fields of a protobuf message: number -> values, those of length as bytes. */
export function fieldsOf(bytes: Buffer): Map<number, Buffer[]> {
  const fields = new Map<number, Buffer[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    const length = wire === 2 ? varint() : wire === 1 ? 8 : wire === 5 ? 4 : 0;
    if (wire === 0) varint();
    else fields.set(number, [...(fields.get(number) ?? []), bytes.subarray(at, at + length)]);
    at += length;
  }
  return fields;
}

/** ExportTraceServiceRequest.resource_spans.scope_spans.spans.name */
export const namesIn = (body: Buffer): string[] =>
  [1, 2, 2, 5].reduce((all, field) => all.flatMap((one) => fieldsOf(one).get(field) ?? []), [body]).map(String);
