/** JSON that is invalid, or that two parsers could read differently, is refused. */

import { expect } from 'chai';
import { withService } from '../support/client.ts';
import { insertKey, type TestService } from '../support/service.ts';
import { expectFailure, issuesOf, nothingIsRecorded } from './wire.ts';

describe('the JSON of a question', () => {
  let service: TestService;
  let apiKey: string;

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { user_id: 'ann' });
  });

  it('may have any white space, order and escapes', async () => {
    const body = `\r\n\t { "\\u0061ction"\t:\n"account:rea\\u0064" , "context" : { } ,"apiKey":"${apiKey}"}\n `;
    expect((await service.ask('/authorize', body)).body.Code).to.equal('OK');
  });

  it('may have the same key in different objects', async () => {
    const requests = [
      { action: 'a:b', context: { ip: '::1' } },
      { action: 'a:b', context: { ip: '::1' } },
    ];
    expect((await service.ask('/authorize/batch', { requests })).body.Code).to.equal('OK');
  });

  it('may have characters beyond the Basic Multilingual Plane', async () => {
    const body = '{"action":"a:b","context":{"userAgent":"😀\\ud83d\\ude00\\uffff"}}';
    const reply = await service.ask('/authorize', body);
    const row = await service.db('decisions').where({ id: reply.body.Data?.['decisionId'] }).first();
    expect(row.user_agent).to.equal('😀😀\uffff');
  });

  describe('is refused', () => {
    nothingIsRecorded(() => service);

    const refused = async (body: string | Buffer, address = '/authorize') => {
      const reply = await service.ask(address, body);
      expectFailure(reply, 'INVALID_REQUEST', [apiKey]);
      return issuesOf(reply);
    };

    const TWICE: Record<string, readonly [body: string, path: string]> = {
      'at the top': ['{"action":"a:b","action":"a:c"}', 'action'],
      'with the same value': ['{"action":"a:b","action":"a:b"}', 'action'],
      'spelled with an escape': ['{"action":"a:b","\\u0061ction":"a:c"}', 'action'],
      'spelled with escapes twice': ['{"\\u0061ction":"a:b","a\\u0063tion":"a:c"}', 'action'],
      'spelled with upper and lower hex digits': ['{"a\\u003Ab":1,"a\\u003ab":1}', '?'],
      'with a slash escaped and not': ['{"a/b":1,"a\\/b":1}', '?'],
      'in the context': ['{"action":"a:b","context":{"ip":"::1","ip":"::2"}}', 'context.ip'],
      'with another in between': ['{"action":"a:b","context":{},"action":"a:b"}', 'action'],
      'after an object with the same key': ['{"a":{"a":{"a":1}},"a":1}', 'a'],
      'in a field that nothing reads': ['{"action":"a:b","x":[{"y":1},{"y":1,"y":2}]}', 'x[1].y'],
      'as __proto__': ['{"action":"a:b","__proto__":1,"__proto__":2}', '__proto__'],
      'as an empty key': ['{"":1,"":2}', '?'],
      'as an array index': ['{"0":1,"0":2}', '?'],
      thrice: ['{"action":"a:b","action":"a:c","action":"a:d"}', 'action'],
    };
    for (const [name, [body, path]] of Object.entries(TWICE)) {
      it(`with a key that stands twice ${name}`, async () => {
        expect(await refused(body)).to.deep.include({ path, message: 'this key stands here twice' });
      });
    }

    it('with a key twice in an item of a batch, by its place', async () => {
      const issues = await refused(
        '{"requests":[{"action":"a:b"},{"action":"a:b","\\u0061ction":"a:b"}]}',
        '/authorize/batch',
      );
      expect(issues).to.deep.equal([{ path: 'requests[1].action', message: 'this key stands here twice' }]);
    });

    it('with both an escaped brace or quote in a string and a key twice after it', async () => {
      const issues = await refused('{"x":"\\"},{\\\\","y":"\\\\\\"","y":1}');
      expect(issues).to.deep.equal([{ path: 'y', message: 'this key stands here twice' }]);
    });

    for (const body of ['[]', '[{"action":"a:b"}]', '"text"', '""', '7', '0', 'null', 'true', 'false']) {
      it(`when it is ${body} instead of an object`, async () => {
        for (const address of ['/authorize', '/authorize/batch']) {
          const [issue, ...others] = await refused(body, address);
          expect(others).to.deep.equal([]);
          expect(issue?.path).to.equal('');
          expect(issue?.message).to.include('expected object');
        }
      });
    }

    const BROKEN: Record<string, string | Buffer> = {
      'has nothing in it': Buffer.alloc(0),
      'is white space': ' \n',
      'is cut short': '{"action":"a:b"',
      'has a comma too many': '{"action":"a:b",}',
      'is two documents': '{"action":"a:b"}{"action":"a:b"}',
      'has a comment': '{"action":"a:b"/* */}',
      'has single quotes': "{'action':'a:b'}",
      'has a bare key': '{action:"a:b"}',
      'has NaN': '{"action":"a:b","businessId":NaN}',
      'has Infinity': '{"action":"a:b","businessId":Infinity}',
      'has a hexadecimal number': '{"action":"a:b","businessId":0x2a}',
      'has a number with a leading zero': '{"action":"a:b","businessId":042}',
      'has a number with a plus': '{"action":"a:b","businessId":+42}',
      'has an unknown escape': '{"action":"a:b\\x00"}',
      'has a bare tab in a string': '{"action":"a:\tb"}',
      'has a bare NUL in a string': '{"action":"a:b\0"}',
      'has a bare NUL behind it': '{"action":"a:b"}\0',
      'has a no-break space': '{"action":\u00a0"a:b"}',
      'is UTF-16 without a mark': Buffer.from('{"action":"a:b"}', 'utf16le'),
      'is a form': 'action=a:b',
      'is unclosed, a hundred thousand deep': '['.repeat(100_000),
    };
    for (const [name, body] of Object.entries(BROKEN)) {
      it(`when it ${name}`, async () => {
        const [issue, ...others] = await refused(body, '/authorize/batch');
        expect(others).to.deep.equal([]);
        expect(issue?.path).to.equal('');
        expect(issue?.message).to.match(/^(this is not valid JSON|there is nothing here; send a JSON object)$/);
      });
    }

    it('when it has a byte order mark, which is called so', async () => {
      const [issue] = await refused('\ufeff{"action":"a:b"}');
      expect(issue).to.deep.equal({
        path: '',
        message: 'begins with a byte order mark (U+FEFF); save it as UTF-8 without one',
      });
    });

    for (const bytes of ['ff', 'c080', 'c1bf', 'eda080', 'edbfbf', 'e282', 'f4908080', 'f8888080', '80', 'e9']) {
      it(`with the bytes ${bytes}, which are not UTF-8`, async () => {
        for (const [before, after] of [
          ['{"action":"a:b","context":{"userAgent":"', '"}}'],
          ['{"', '":1}'],
          ['', '{}'],
        ]) {
          const body = Buffer.concat([Buffer.from(before ?? ''), Buffer.from(bytes, 'hex'), Buffer.from(after ?? '')]);
          expect(await refused(body)).to.deep.equal([{ path: '', message: 'this is not valid UTF-8' }]);
        }
      });
    }

    for (const spelled of [
      '\\u0000',
      '\\ud800',
      '\\uDBFF',
      '\\udc00',
      '\\uDFFF',
      '\\ude00\\ud83d',
      '\\ud83d\\ud83d\\ude00',
      '\\ud83d x',
    ]) {
      it(`with ${spelled}, wherever it stands`, async () => {
        const message =
          spelled === '\\u0000' ? 'the character NUL is not accepted' : 'a lone surrogate is not a character';
        expect(await refused(`{"action":"a:b${spelled}"}`)).to.deep.equal([{ path: 'action', message }]);
        expect(await refused(`{"apiKey":"${spelled}","action":"a:b"}`)).to.deep.equal([{ path: 'apiKey', message }]);
        expect(await refused(`{"action":"a:b","context":{"userAgent":"x${spelled}"}}`)).to.deep.equal([
          { path: 'context.userAgent', message },
        ]);
        expect(await refused(`{"action":"a:b","x${spelled}":1}`)).to.deep.equal([{ path: '?', message }]);
      });
    }

    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
      ['[{"a":', '}]'],
      ['{"a":[', ']}'],
    ] as const) {
      const nested = (levels: number): string => {
        const pairs = levels / (open.length > 2 && /\[/.test(open) ? 2 : 1);
        return `${open.repeat(pairs)}1${close.repeat(pairs)}`;
      };
      it(`when ${open}${close} is nested deeper than 8 levels, and at 8 only for what it holds`, async () => {
        const deep = (issues: readonly { message: string }[]) =>
          issues.filter(({ message }) => message === 'nested deeper than 8 levels');
        expect(deep(await refused(nested(8)))).to.have.length(0);
        for (const levels of [10, 100, 2000]) expect(deep(await refused(nested(levels)))).to.have.length(1);
        expect(deep(await refused(nested(40_000), '/authorize/batch'))).to.have.length(1);
      });
    }

    it('at the ninth level and not at the eighth', async () => {
      const [issue] = await refused('{"a":[[[[[[[{}]]]]]]]}');
      expect(issue).to.deep.equal({ path: 'a[0][0][0][0][0][0][0]', message: 'nested deeper than 8 levels' });
    });

    const MANY: Record<string, string> = {
      numbers: `[${'-1,'.repeat(80_000)}-1]`,
      'numbers at the bottom of many levels': `${'['.repeat(40_000)}${'-1,'.repeat(50_000)}-1${']'.repeat(40_000)}`,
      'levels side by side': `[[[[[[[[${'[],'.repeat(80_000)}[]]]]]]]]]`,
      'keys that stand twice': `{${'"a":1,'.repeat(40_000)}"a":1}`,
      'fields that nothing reads': `{${Array.from({ length: 20_000 }, (_, at) => `"x${at}":1`).join(',')}}`,
      'bad items': `{"requests":[${Array(100).fill('{"a":1,"b":1,"c":1,"d":1}').join(',')}]}`,
    };
    for (const [name, body] of Object.entries(MANY)) {
      it(`for many ${name} with a reply that names the first of them`, async () => {
        const issues = await refused(body, '/authorize/batch');
        expect(issues.length).to.be.within(1, 100);
        expect(JSON.stringify(issues).length).to.be.below(20_000);
      });
    }
  });
});
