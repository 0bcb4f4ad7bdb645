/** /audit/export and /audit/timeline: answers without pages, sent while they are read. Each is recorded itself before its first byte. */

import { recordAccess } from '../../audit/access-log.ts';
import { exportInPages, exportQuery, headingOf } from '../../audit/query/export.ts';
import { rangeOf, type TimeRange } from '../../audit/query/filters.ts';
import { requireKnown } from '../../audit/query/known-names.ts';
import { readTimeline, timelineList, timelineQuery } from '../../audit/query/timeline.ts';
import type { Service } from '../../service.ts';
import type { InTurn } from '../../turns.ts';
import { type Route, route } from '../route.ts';
import { type Parts, streams } from '../stream.ts';
import { exportedLines, timelineLines } from './audit-shapes.ts';

/** Each makes one part after the other, in turn with all else that reads much: many would be slow, and none of them whole. */
const MOST_AT_ONCE = 2;
const TYPES = { jsonl: 'application/jsonl; charset=utf-8', csv: 'text/csv; charset=utf-8' };

export function auditStreamRoutes({ auditDb: db, cursors }: Service, inTurn: InTurn): Route[] {
  const open = streams(MOST_AT_ONCE, inTurn);
  return [
    route({
      method: 'get',
      path: '/audit/export',
      scope: 'audit',
      summary: 'Decisions as JSON lines or CSV, oldest first; of the last 24 hours unless `from` says otherwise.',
      query: exportQuery,
      answers: {
        200: {
          description:
            'Sent in chunks. Where it ends without the last chunk, it is not whole: ask again with the same query, and the id of the last whole line as `cursor`.',
          text: exportedLines,
        },
      },
      failures: ['TOO_MANY_REQUESTS'],
      handle: async ({ query: { format, cursor, ...filter }, actor }) => {
        await requireKnown(db, actor, 'export', filter);
        const range = untilNow(rangeOf(filter));
        await recordAccess(db, actor, 'export', { ...filter, ...range, format, cursor });
        async function* texts(): Parts {
          let heading = cursor === undefined ? headingOf(format) : '';
          for await (const { text } of exportInPages(db, filter, range, format, cursor)) {
            yield heading + text;
            heading = '';
          }
          if (heading !== '') yield heading;
        }
        return { stream: await open(texts()), headers: { 'Content-Type': TYPES[format] } };
      },
    }),
    route({
      method: 'get',
      path: '/audit/timeline',
      scope: 'audit',
      summary:
        'What happened to one key, user or business, oldest first: its decisions, the events of administration, policies and freezes.',
      query: timelineQuery,
      answers: {
        200: {
          description:
            'A line of JSON for each. Where it ends without the last chunk, it is not whole: ask again with the same query and the `cursor` of the last whole line.',
          text: timelineLines,
        },
      },
      failures: ['TOO_MANY_REQUESTS'],
      handle: async ({ query: { from, to, cursor, ...subject }, actor }) => {
        const range = untilNow(rangeOf({ from, to }));
        const list = timelineList(subject);
        const after = cursors.read(list, cursor);
        await requireKnown(db, actor, 'timeline', { ...subject, ...range });
        await recordAccess(db, actor, 'timeline', { ...subject, ...range, cursor });
        async function* texts(): Parts {
          for await (const part of readTimeline(db, subject, range, after))
            yield part
              .map(({ item, place }) => `${JSON.stringify({ ...item, cursor: cursors.make(list, place) })}\n`)
              .join('');
        }
        return { stream: await open(texts()), headers: { 'Content-Type': TYPES.jsonl } };
      },
    }),
  ];
}

/** With an end: it would be sent for as long as decisions come. */
const untilNow = ({ from, to }: TimeRange): { from: string; to: string } => ({
  from,
  to: to ?? new Date().toISOString(),
});
