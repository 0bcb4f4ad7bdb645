/**
 * The attacker of the section `hostile`, a process of its own: it must not take the load generator's time. Started with a
 * channel; takes what to attack and how, or nothing, to stop, and answers when the attack is under way and when it is over.
 */

import { attacks } from '../support/attacks.ts';

export interface Order {
  readonly attack: string;
  readonly address: string;
  /** Of the attack that holds connections open. */
  readonly idle: number;
}

const done = (): void => void process.send?.('done');
let stop: () => Promise<void> = () => Promise.resolve();

process.on('message', ({ order }: { readonly order?: Order }) => {
  if (order === undefined) {
    void stop().then(done);
    return;
  }
  const attack = attacks(order.idle)[order.attack];
  if (!attack) throw new Error(`there is no attack ${order.attack}`);
  const over = new AbortController();
  const attacking = attack(order.address, over.signal, done);
  stop = () => {
    over.abort();
    return attacking;
  };
});
