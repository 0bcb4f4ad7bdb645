/** What stands where a gateway expects iqra-authz: the service itself, or one of its faults. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * `through`: the service. `refused`: nothing listens. `silent`: accepts, and never answers. `reset`: resets in place of an answer;
 * `cut`: in the middle of the service's. `{ says }`: answers every request with these bytes, and closes.
 */
export type Behaviour = 'through' | 'refused' | 'silent' | 'reset' | 'cut' | { readonly says: string };

export interface Front {
  readonly port: number;
  /** From here on, also for connections that are open: these are reset. */
  readonly behave: (behaviour: Behaviour) => Promise<void>;
  /** Requests' bytes since `behave`. */
  readonly received: () => string;
  readonly close: () => Promise<void>;
}

/** So much of an answer of ours lies within its head. */
const CUT_AFTER_BYTES = 40;

export async function startFront(authz: number): Promise<Front> {
  let behaviour: Behaviour = 'through';
  let received = '';
  const sockets = new Set<Socket>();
  const track = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  };
  const accept = (client: Socket): void => {
    track(client).on('data', (chunk) => (received += chunk.toString('latin1')));
    if (behaviour === 'through' || behaviour === 'cut') passOn(client, behaviour === 'cut');
    else if (behaviour === 'reset') client.on('data', () => client.resetAndDestroy());
    else if (typeof behaviour === 'object') {
      const { says } = behaviour;
      client.on('data', () => client.end(says, 'latin1'));
    }
  };
  const passOn = (client: Socket, cuts: boolean): void => {
    const server = track(connect(authz, '127.0.0.1'));
    client.pipe(server).on('close', () => client.destroy());
    client.on('close', () => server.destroy());
    if (!cuts) server.pipe(client);
    else
      server.on('data', (chunk) => {
        client.write(chunk.subarray(0, CUT_AFTER_BYTES), () => setImmediate(() => client.resetAndDestroy()));
      });
  };

  let listening: Server | undefined;
  const listen = async (port: number): Promise<number> => {
    listening = createServer(accept).listen(port, '127.0.0.1');
    await once(listening, 'listening');
    return (listening.address() as AddressInfo).port;
  };
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (!listening) return;
    const closed = once(listening, 'close');
    listening.close();
    listening = undefined;
    await closed;
  };
  const port = await listen(0);
  return {
    port,
    behave: async (next) => {
      await stop();
      behaviour = next;
      received = '';
      if (next !== 'refused') await listen(port);
    },
    received: () => received,
    close: stop,
  };
}
