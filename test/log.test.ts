/** What a line of the operators' log has, whoever reads it: the name of its level, a time in RFC 3339, and what it comes from. */

import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { createLog, type LoggedBy } from '../src/log.ts';

function lineOf(by?: LoggedBy): Record<string, unknown> {
  const out = new PassThrough();
  createLog('info', out, by).warn({ requestId: '7f3a' }, 'the database is slow');
  return JSON.parse(String(out.read())) as Record<string, unknown>;
}

describe('a line of the log', () => {
  it('has the name of its level, its time in UTC, service, version and process', () => {
    const before = Date.now();
    const { time, ...line } = lineOf({ service: 'authz-eu', version: '1.2.3' });
    expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Date.parse(String(time))).to.be.within(before, Date.now());
    expect(line).to.deep.equal({
      level: 'warn',
      service: 'authz-eu',
      version: '1.2.3',
      pid: process.pid,
      requestId: '7f3a',
      msg: 'the database is slow',
    });
  });

  it('is of iqra-authz where nobody has named it', () => {
    expect(lineOf()).to.include({ service: 'iqra-authz' }).and.not.have.property('version');
  });
});
