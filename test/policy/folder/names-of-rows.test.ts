/** The ids and codes of rows as they are read of old policies, against what the strict reader makes of the same files. */

import { expect } from 'chai';
import type { Policy } from '../../../src/policy/decide.ts';
import { namesOfRows } from '../../../src/policy/folder/rows.ts';
import { assemblePast } from '../../../src/policy/policy.ts';
import { edited, shippedTexts } from '../texts.ts';

const namesOf = ({ rows }: Policy) => rows.map(({ id, code }) => ({ rule: id, code }));

describe('the names of rows', () => {
  it('are those of the policy, also with quotes, spaces and Windows line ends', async () => {
    const shipped = await shippedTexts();
    const quoted = edited(
      shipped,
      '20-limit.csv',
      'p, limit-exceeded, *, "r.limit.exceeded", deny, RATE_LIMITED',
      '  "p" ,"limit-exceeded",*,"r.limit.exceeded && keyMatch(r.request.action, \'*\')","deny" , "RATE_LIMITED"\r',
    );
    for (const texts of [shipped, quoted]) {
      const read = [...texts].filter(([file]) => file.endsWith('.csv')).flatMap(([, text]) => namesOfRows(text));
      expect(read).to.have.length.above(10);
      expect(read).to.deep.equal(namesOf(await assemblePast(texts)));
    }
  });

  it('are none of comments and of what is no row', () => {
    expect(namesOfRows('# p, old-rule, *, "true", deny, OLD\n\np, half\nnothing at all\n')).to.deep.equal([]);
  });
});
