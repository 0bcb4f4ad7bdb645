/**
 * The path of a decision with spans around its parts. It is put together from these where traces are configured, and from the parts themselves
 * where not: the path itself knows nothing of them. The deadline of a request, which is handed to every part, leads to its spans.
 */

import { type Context, ROOT_CONTEXT, type Span, SpanKind, type Tracer, trace } from '@opentelemetry/api';
import { sendBatch } from '../audit/record/batch.ts';
import type { SendBatch } from '../audit/record/recorder.ts';
import type { Parts } from '../authorize.ts';
import type { Deadline } from '../deadline.ts';
import type { AroundStatement } from '../facts/load.ts';
import { during, failed, type RequestSpans } from './request-spans.ts';

/** The spans of the request of a deadline; undefined: it is not traced. */
export type SpansOf = (deadline: Deadline) => RequestSpans | undefined;

type Traced = Pick<Parts, 'loadFacts' | 'loadNamed' | 'consume' | 'freezes' | 'enqueue'>;

export function tracedParts(tracer: Tracer, spansOf: SpansOf, parts: Traced): Traced {
  const { loadFacts, loadNamed, consume, freezes, enqueue } = parts;
  return {
    loadFacts: (questions, deadline) => {
      const spans = spansOf(deadline);
      if (!spans) return loadFacts(questions, deadline);
      return loading(tracer, spans, () => loadFacts(questions, deadline));
    },
    loadNamed: (questions, named, deadline) => {
      const spans = spansOf(deadline);
      if (!spans) return loadNamed(questions, named, deadline);
      return Promise.resolve(loading(tracer, spans, () => loadNamed(questions, named, deadline)));
    },
    consume: (known, deadline) => {
      const spans = spansOf(deadline);
      if (!spans) return consume(known, deadline);
      return during(
        tracer,
        spans,
        'limits.consume',
        () => consume(known, deadline),
        (states) => ({
          'iqra.limit.exceeded': states.some((state) => state?.exceeded === true),
        }),
      );
    },
    freezes: {
      current: (deadline) => {
        const covers = freezes.current(deadline);
        const spans = covers instanceof Promise ? spansOf(deadline) : undefined;
        return spans ? during(tracer, spans, 'freezes.load', () => covers) : covers;
      },
    },
    enqueue: (entries, deadline, settle) => {
      const spans = spansOf(deadline);
      if (!spans) return enqueue(entries, deadline, settle);
      decided(tracer, spans, entries);
      const attributes = { 'iqra.decision.count': entries.length };
      const record = tracer.startSpan('record.commit', { startTime: spans.now(), attributes }, spans.within);
      spans.record = record;
      enqueue(entries, deadline, (failure) => {
        if (failure) failed(record, failure);
        record.end(spans.now());
        spans.record = undefined;
        settle(failure);
      });
    },
  };
}

/** Facts from the cache are there at once. */
const loading = <T>(tracer: Tracer, spans: RequestSpans, load: () => T | Promise<T>): T | Promise<T> =>
  during(
    tracer,
    spans,
    'facts.load',
    (span) => {
      spans.load = span;
      return load();
    },
    (_, atOnce) => ({ 'iqra.cache.hit': atOnce }),
  );

/** What was decided since the last thing that was waited for: of one question as attributes, of several an event each. */
function decided(tracer: Tracer, spans: RequestSpans, entries: Parameters<Parts['enqueue']>[0]): void {
  const [first, ...others] = entries.map(({ id, policy, decision: { code, effect, rule } }) => ({
    'iqra.decision.id': id,
    'iqra.decision.code': code,
    'iqra.decision.effect': effect,
    'iqra.decision.rule': rule,
    'iqra.policy.digest': policy,
  }));
  const span = tracer.startSpan('decide', { startTime: spans.mark }, spans.within);
  const now = spans.now();
  if (first && others.length === 0) span.setAttributes(first);
  else for (const one of first ? [first, ...others] : []) span.addEvent('decision', one, now);
  span.setAttribute('iqra.decision.count', entries.length);
  span.end(now);
}

/** What a statement does, in the words of the conventions: no text, and no value of it. */
const statement = (operation: string, collection: string) => ({
  name: `${operation} ${collection}`,
  kind: SpanKind.CLIENT,
  attributes: {
    'db.system.name': 'postgresql',
    'db.operation.name': operation,
    'db.collection.name': collection,
    'db.query.summary': `${operation} ${collection}`,
  },
});
const READ = statement('SELECT', 'api_keys');
const WRITE = statement('COPY', 'decision_records');

const within = (span: Span): Context => trace.setSpan(ROOT_CONTEXT, span);

async function inSpan<T>(span: Span, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    failed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** One statement reads the facts of several requests: it stands within the first of them that is traced, and the others link to it. */
export const tracedStatement =
  (tracer: Tracer, spansOf: SpansOf): AroundStatement =>
  (waiting, run) => {
    const [first, ...others] = waiting.flatMap(({ deadline }) => spansOf(deadline)?.load ?? []);
    if (!first) return run();
    const span = tracer.startSpan(READ.name, READ, within(first));
    for (const other of others) other.addLink({ context: span.spanContext() });
    return inSpan(span, run);
  };

/**
 * The group commit of the records of several requests: a trace of its own, as it is part of none of theirs. It links to the `record.commit`
 * of each that is traced, and each of these to it.
 */
export const tracedBatch =
  (tracer: Tracer, spansOf: SpansOf): SendBatch =>
  (db, batch, whenSending, requests) => {
    const records = requests.flatMap(({ deadline }) => spansOf(deadline)?.record ?? []);
    if (records.length === 0) return sendBatch(db, batch, whenSending);
    const span = tracer.startSpan('record.batch', {
      root: true,
      links: records.slice(0, MOST_LINKS).map((record) => ({ context: record.spanContext() })),
      attributes: { 'iqra.decision.count': batch.records },
    });
    for (const record of records) record.addLink({ context: span.spanContext() });
    const sql = tracer.startSpan(WRITE.name, WRITE, within(span));
    return inSpan(span, () => inSpan(sql, () => sendBatch(db, batch, whenSending)));
  };

/** More than the SDK keeps of one span are dropped by it. */
const MOST_LINKS = 128;
