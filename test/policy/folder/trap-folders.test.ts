/**
 * Each trap of Casbin that lies in files: traps/NAME/ holds the files in which it differs from traps/none/, over which it is
 * laid. Stock Casbin loads the result, and we refuse it with the findings in NAME.findings.
 */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { readPolicyFolder } from '../../../src/rollout/folder.ts';
import { findingsOf, stockOf } from '../texts.ts';

const TRAPS = path.join(import.meta.dirname, 'traps');
const names = readdirSync(TRAPS, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

describe('the folder of the trap', () => {
  for (const name of names) {
    it(`${name} is loaded by stock Casbin, and refused here${name === 'none' ? ' not' : ''}`, async () => {
      const sound = await readPolicyFolder(path.join(TRAPS, 'none'));
      const texts = new Map([...sound, ...(await readPolicyFolder(path.join(TRAPS, name)))]);
      const stock = await stockOf(texts);
      expect(stock.getModel().model.get('p')?.get('p')).not.to.equal(undefined);
      const wanted = readFileSync(path.join(TRAPS, `${name}.findings`), 'utf8');
      expect(`${(await findingsOf(texts)).join('\n')}\n`).to.equal(wanted);
      expect(wanted.trim() === '').to.equal(name === 'none');
    });
  }
});
