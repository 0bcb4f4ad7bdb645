/**
 * The clients of the fault tests, in a process of their own, so that they take no time of the event loop of the service:
 * `clients.ts ADDRESS CONNECTIONS`. Receives a list of questions, sends all of them at once over keep-alive connections,
 * reports when they are sent, and then the outcome of each.
 */

import { Agent, request } from 'node:http';

export interface Question {
  readonly token: string;
  readonly path: string;
  readonly body: string;
}

export interface Reply {
  /** The status; 0 without a complete HTTP response. */
  readonly status: number;
  readonly body: unknown;
  readonly retryAfter: string | undefined;
  /** Milliseconds from sending the question to the end of the response. */
  readonly milliseconds: number;
}

export type Told = { readonly sent: true } | { readonly replies: readonly Reply[] };

const [address = '', connections] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: Number(connections), maxFreeSockets: Number(connections) });
const tell = (told: Told): void => void process.send?.(told);

process.on('message', async (questions: readonly Question[]) => {
  const asked = questions.map(put);
  await Promise.all(asked.map(({ sent }) => sent));
  tell({ sent: true });
  const replies = await Promise.all(asked.map(({ reply }) => reply));
  tell({ replies });
});

function put({ token, path, body }: Question): { sent: Promise<void>; reply: Promise<Reply> } {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const since = performance.now();
  const took = (): number => performance.now() - since;
  const outgoing = request(address + path, {
    method: 'POST',
    agent,
    headers: { ...headers, 'content-length': Buffer.byteLength(body) },
  });
  const sent = new Promise<void>((resolve) => outgoing.once('finish', resolve).once('error', () => resolve()));
  const reply = new Promise<Reply>((resolve) => {
    const failed = (error: Error): void =>
      resolve({ status: 0, body: error.message, retryAfter: undefined, milliseconds: took() });
    outgoing.once('error', failed).once('response', (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      incoming.once('error', failed).once('end', () => {
        const { statusCode: status = 0, headers } = incoming;
        resolve({ status, body: JSON.parse(text), retryAfter: headers['retry-after'], milliseconds: took() });
      });
    });
  });
  outgoing.end(body);
  return { sent, reply };
}

process.once('disconnect', () => process.exit());
