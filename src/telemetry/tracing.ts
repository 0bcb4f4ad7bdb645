/**
 * Traces by OpenTelemetry. Loaded only where a collector is configured: nothing of it, nor of OpenTelemetry, is there otherwise. Contexts are
 * handed on by hand, with no global, hook or instrumentation, each of which would cost every request, traced or not.
 */

import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Context, ROOT_CONTEXT, TraceFlags, trace } from '@opentelemetry/api';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, RandomIdGenerator, TracerProvider } from '@opentelemetry/sdk-trace';
import type { SendBatch } from '../audit/record/recorder.ts';
import { type Config, serviceNameOf } from '../config.ts';
import type { Deadline } from '../deadline.ts';
import type { Failure } from '../errors.ts';
import type { AroundStatement } from '../facts/load.ts';
import type { Log } from '../log.ts';
import { VERSION } from '../release.ts';
import { failed, type RequestSpans, requestSpans } from './request-spans.ts';
import { samplerOf } from './sampler.ts';
import { spanSender } from './send-spans.ts';
import { createSpanQueue, type SpanCounts } from './span-queue.ts';
import { headerOf, parentOf } from './trace-context.ts';
import { tracedBatch, tracedParts, tracedStatement } from './traced-parts.ts';

/** The trace that a request is part of. */
export interface Trace {
  readonly id: string;
  /** Undefined: it is not recorded here, by the word of its caller. */
  readonly span: ServerSpan | undefined;
}

export interface ServerSpan {
  readonly id: string;
  /** What the answer says of it, as `traceresponse` (a draft of W3C). */
  readonly header: string;
  /** To be called once, with the status of the answer. */
  readonly end: (status: number, failure: Failure | undefined) => void;
}

/** A request, of a caller who is known. */
export interface Begun {
  readonly route: string | undefined;
  readonly since: number;
  readonly deadline: Deadline;
}

export interface Tracing {
  /**
   * The trace of a request; undefined: none. To be called once its caller is known, since otherwise anybody could have spans made: the flag of a
   * header is enough.
   */
  readonly begin: (request: IncomingMessage, begun: Begun) => Trace | undefined;
  readonly parts: (parts: Parameters<typeof tracedParts>[2]) => ReturnType<typeof tracedParts>;
  readonly aroundStatement: AroundStatement;
  readonly sendBatch: SendBatch;
  readonly counts: () => SpanCounts;
  /** Sends what waits, for some seconds at most. */
  readonly close: () => Promise<void>;
}

export function openTracing(config: Config, url: string, log: Log): Tracing {
  const send = spanSender({
    url,
    headers: config.OTEL_EXPORTER_OTLP_TRACES_HEADERS ?? config.OTEL_EXPORTER_OTLP_HEADERS ?? {},
    protocol: config.OTEL_EXPORTER_OTLP_PROTOCOL,
    compression: config.OTEL_EXPORTER_OTLP_COMPRESSION,
    timeoutMs: config.OTEL_EXPORTER_OTLP_TIMEOUT,
  });
  const queue = createSpanQueue(send, log);
  const ids = new RandomIdGenerator();
  /** Of the trace that the next root span begins: it was drawn before, to be sampled by. */
  let drawn: string | undefined;
  const provider = new TracerProvider({
    // What is not to be recorded has no span at all.
    sampler: new AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => drawn ?? ids.generateTraceId(), generateSpanId: () => ids.generateSpanId() },
    resource: resourceOf(config),
    spanProcessors: [queue],
  });
  const tracer = provider.getTracer('iqra-authz', VERSION);
  const sample = samplerOf(config.OTEL_TRACES_SAMPLER, config.OTEL_TRACES_SAMPLER_ARG);
  const ofDeadline = new WeakMap<Deadline, RequestSpans>();
  const spansOf = (deadline: Deadline): RequestSpans | undefined => ofDeadline.get(deadline);

  const begin = (
    { headers, method, httpVersion: version }: IncomingMessage,
    { route = '', since, deadline }: Begun,
  ) => {
    const parent = parentOf(headers['traceparent']);
    const id = sample(parent);
    if (id === undefined) return parent && { id: parent.traceId, span: undefined };
    const context = parent ? remote(parent.traceId, parent.spanId) : ROOT_CONTEXT;
    drawn = id;
    const spans = requestSpans(tracer, { method, version, route, since }, context);
    drawn = undefined;
    ofDeadline.set(deadline, spans);
    return { id, span: serverSpan(id, spans) };
  };

  return {
    begin,
    parts: (parts) => tracedParts(tracer, spansOf, parts),
    aroundStatement: tracedStatement(tracer, spansOf),
    sendBatch: tracedBatch(tracer, spansOf),
    counts: queue.counts,
    close: () => provider.shutdown(),
  };
}

/** The context of a span of the caller's. */
const remote = (traceId: string, spanId: string): Context =>
  trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true });

const serverSpan = (traceId: string, { server, now }: RequestSpans): ServerSpan => ({
  id: server.spanContext().spanId,
  header: headerOf(traceId, server.spanContext().spanId),
  end: (status, failure) => {
    server.setAttribute('http.response.status_code', status);
    if (failure) server.setAttribute('iqra.failure.code', failure.code);
    // By the conventions, what is the client's fault is no error of the server.
    if (status >= 500) failed(server, failure ?? { code: status });
    server.end(now());
  },
});

const resourceOf = (config: Config) =>
  defaultResource().merge(
    resourceFromAttributes({
      'service.version': VERSION,
      'service.instance.id': randomUUID(),
      ...config.OTEL_RESOURCE_ATTRIBUTES,
      'service.name': serviceNameOf(config),
    }),
  );
