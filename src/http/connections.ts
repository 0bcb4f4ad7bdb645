/**
 * What a connection may cost: so many unanswered requests, answers that are taken, so many connections of one address. Nobody
 * without a token so keeps the service from those who have one. A request costs a count; what must look at every
 * connection does so for all of them at once, every few seconds.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import type { Log } from '../log.ts';
import { addressOf, isTrusted } from './address.ts';

/** Most requests of one connection that are in work, or whose answers the client has not taken. */
export const MOST_UNANSWERED = 16;

export interface ConnectionLimits {
  /** Most connections. A further one takes the place of the oldest that is idle and whose client has shown no valid token. */
  readonly most: number;
  /** Most connections of one address; undefined: any number. */
  readonly perAddress: number | undefined;
  /** Whose connections are not counted: they are of many clients. */
  readonly trusted: BlockList | undefined;
  /** Milliseconds after which a connection is ended whose client takes nothing of an answer. */
  readonly stallTimeout: number;
}

export interface Connections {
  /** Counts a request. False: it gets no answer, because its connection has too many that are unanswered. */
  readonly admits: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Of a connection that sends what cannot be read: whether answers to what it sent before are due, behind which it ends. */
  readonly endsBehindAnswers: (socket: Socket) => boolean;
  /**
   * Destroys the connections without a request under way. Node's `closeIdleConnections` leaves those that have sent nothing or
   * half a head, and no timeout ends them while the server closes.
   */
  readonly closeUnused: () => void;
}

const KNOWN = Symbol('known');
type Known = Socket & { [KNOWN]?: true };

/** Notes that the client of this connection has shown a valid token, so that the connection stays, however many others come. */
export function noteKnown(socket: Socket): void {
  (socket as Known)[KNOWN] = true;
}

interface Connection {
  unanswered: number;
  /** The response to the last request that was admitted. */
  last: ServerResponse | undefined;
  ending: boolean;
  progress: Progress;
  readonly answered: () => void;
}

/** Looks within `stallTimeout`. They are counted, not timed: a process that was stopped for a while has not looked. */
const LOOKS = 4;

/** Tracks the connections of a server that does not listen yet. */
export function trackConnections(server: Server, limits: ConnectionLimits, log: Log): Connections {
  const connections = new Map<Socket, Connection>();
  const ended = { pipelining: 0, unread: 0, crowded: 0 };
  const isOneTooMany = crowdControl(limits);
  /** In the order in which they came. One that has shown a token is taken out where it is met. */
  const strangers = new Set<Socket>();
  const forget = (socket: Socket): void => {
    connections.delete(socket);
    strangers.delete(socket);
  };
  const idleStranger = (): Socket | undefined => {
    for (const socket of strangers) {
      if ((socket as Known)[KNOWN]) strangers.delete(socket);
      else if (connections.get(socket)?.unanswered === 0) return socket;
    }
    return undefined;
  };

  server.on('connection', (socket: Socket) => {
    const full = connections.size >= limits.most;
    const leaving = isOneTooMany(socket) ? socket : full ? (idleStranger() ?? socket) : undefined;
    if (leaving) {
      ended.crowded += 1;
      forget(leaving);
      leaving.destroy();
    }
    if (leaving === socket) return;
    connections.set(socket, newConnection());
    strangers.add(socket);
    socket.once('close', () => forget(socket));
  });
  const looking = setInterval(() => {
    for (const [socket, { progress }] of connections) {
      if (!isStuck(socket, progress)) continue;
      ended.unread += 1;
      socket.destroy();
    }
    if (ended.pipelining + ended.unread + ended.crowded === 0) return;
    log.warn({ ...ended }, 'connections were ended: too many requests at once, unread answers, too many connections');
    Object.assign(ended, { pipelining: 0, unread: 0, crowded: 0 });
  }, limits.stallTimeout / LOOKS).unref();
  server.once('close', () => clearInterval(looking));

  return {
    admits: ({ socket }, response) => {
      const connection = connections.get(socket);
      if (!connection || connection.ending) return false;
      if (connection.unanswered === MOST_UNANSWERED) {
        ended.pipelining += 1;
        endBehindAnswers(socket, connection);
        return false;
      }
      connection.unanswered += 1;
      connection.last = response;
      response.on('close', connection.answered);
      return true;
    },
    endsBehindAnswers: (socket) => {
      const connection = connections.get(socket);
      if (!connection?.last || connection.unanswered === 0) return false;
      if (connection.last.req.complete) endBehindAnswers(socket, connection);
      // It is the body of the last request that cannot be read.
      else if (connection.unanswered > 1) socket.destroy();
      else return false;
      return true;
    },
    closeUnused: () => {
      for (const [socket, { unanswered }] of connections) if (unanswered === 0) socket.destroy();
    },
  };
}

function newConnection(): Connection {
  const connection: Connection = {
    unanswered: 0,
    last: undefined,
    ending: false,
    progress: { taken: 0, left: 0, idleLooks: 0 },
    answered: () => {
      connection.unanswered -= 1;
    },
  };
  return connection;
}

/** Ends a connection when its last admitted request is answered. What it still sends is read, and dropped. */
function endBehindAnswers(socket: Socket, connection: Connection): void {
  const { last, ending } = connection;
  if (ending || !last) return;
  connection.ending = true;
  if (!last.headersSent) last.shouldKeepAlive = false;
  last.once('finish', () => socket.destroySoon());
  // Node parses the rest of a chunk of 64 KiB, even for a destroyed socket: 7 us for each of thousands of requests. 2 is its
  // parser's word for an upgrade, at which it stops. Where a later Node has no such function, only that is lost.
  const { parser } = socket as Socket & { parser?: { onIncoming?: (request: { upgrade: boolean }) => number } };
  if (!parser?.onIncoming) return;
  parser.onIncoming = (request) => {
    request.upgrade = false;
    return 2;
  };
}

/** Of a connection, at the last look. */
interface Progress {
  /** Bytes of writes that the kernel has taken whole. */
  taken: number;
  /** Bytes of the present write that it has not taken. */
  left: number;
  /** Looks in a row at which nothing had been taken since the one before. */
  idleLooks: number;
}

/** Whether an answer has waited for its client for `LOOKS` looks without any progress. */
function isStuck(socket: Socket, progress: Progress): boolean {
  if (socket.writableLength === 0) {
    progress.idleLooks = 0;
    return false;
  }
  const taken = socket.bytesWritten - socket.writableLength;
  // Undocumented, but of every Node so far; without it a client must take a whole write within `stallTimeout`.
  const { _handle: handle } = socket as Socket & { _handle?: { readonly writeQueueSize?: number } };
  const left = handle?.writeQueueSize ?? 0;
  progress.idleLooks = taken > progress.taken || left < progress.left ? 0 : progress.idleLooks + 1;
  Object.assign(progress, { taken, left });
  return progress.idleLooks >= LOOKS;
}

/** Counts the open connections of each address, and says whether a further one is too many. */
function crowdControl({ perAddress, trusted }: ConnectionLimits): (socket: Socket) => boolean {
  if (perAddress === undefined) return () => false;
  const counts = new Map<string, number>();
  return (socket) => {
    if (isTrusted(socket.remoteAddress ?? '', trusted)) return false;
    const address = addressOf({ socket, headers: {} }, trusted);
    const count = counts.get(address) ?? 0;
    if (count >= perAddress) return true;
    counts.set(address, count + 1);
    socket.once('close', () => {
      const left = (counts.get(address) ?? 0) - 1;
      if (left > 0) counts.set(address, left);
      else counts.delete(address);
    });
    return false;
  };
}
