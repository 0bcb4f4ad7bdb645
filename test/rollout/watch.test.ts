/** How a policy folder is watched, whatever it takes to read it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type FolderContent, watchFolder } from '../../src/rollout/watch.ts';
import { eventually } from '../http/process.ts';
import { POLICY_FOLDER } from '../policy/texts.ts';

describe('a policy folder that is slower to read than it is polled', () => {
  it('is left alone for a poll interval after each read', async () => {
    const content: FolderContent = { texts: new Map() };
    const [starts, ends]: [number[], number[]] = [[], []];
    const read = async (): Promise<FolderContent> => {
      starts.push(performance.now());
      await sleep(60);
      ends.push(performance.now());
      return content;
    };
    const times = { pollMs: 50, settleMs: 1 };
    const unchanged = async (): Promise<void> => expect.fail('nothing changed');
    const watching = watchFolder(POLICY_FOLDER, content, times, unchanged, read);
    try {
      await eventually(() => starts.length === 4);
    } finally {
      await watching.close();
    }
    // A timer may fire up to a millisecond early.
    for (const [index, at] of starts.slice(1).entries()) expect(at - (ends[index] ?? 0)).to.be.at.least(48);
  });
});
