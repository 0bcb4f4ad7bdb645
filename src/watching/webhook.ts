/** Sends a message to the webhook, signed as Standard Webhooks has it: https://www.standardwebhooks.com */

import { createHmac } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { Config } from '../config.ts';
import { Refusal } from '../errors.ts';
import { VERSION } from '../release.ts';

export interface Webhook {
  /** Its path or query may hold a token: it is in no log and no error. */
  readonly url: URL;
  /** HMAC keys: the message has a signature by each, so that receivers can change from one to the next. */
  readonly secrets: readonly Buffer[];
}

/** What the settings name. @throws Refusal: one of the two is missing */
export function webhookOf({
  FINDINGS_WEBHOOK_URL: url,
  FINDINGS_WEBHOOK_SECRET: secrets,
}: Pick<Config, 'FINDINGS_WEBHOOK_URL' | 'FINDINGS_WEBHOOK_SECRET'>): Webhook | undefined {
  if (url && secrets) return { url, secrets };
  if (url || secrets)
    throw new Refusal(
      'FINDINGS_WEBHOOK_URL and FINDINGS_WEBHOOK_SECRET go together: set both (echo "whsec_$(openssl rand -base64 32)" makes a secret), or neither',
    );
  return undefined;
}

/** Milliseconds that a receiver has to take the message and to answer. */
export const SEND_LIMIT_MS = 10_000;
/** Of the answer, that are read to let the receiver end it. */
const MOST_BYTES = 65_536;

/** The header `webhook-signature`. `seconds`: the header `webhook-timestamp`, since 1970. */
export const signaturesOf = (secrets: readonly Buffer[], id: string, seconds: number, body: string): string =>
  secrets
    .map((secret) => `v1,${createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64')}`)
    .join(' ');

/**
 * Resolves once the receiver has answered 2xx, with its whole answer. A redirect is not followed: the message would go where nobody has
 * sent it. @throws Error whose message holds nothing of the URL
 */
export const send = ({ url, secrets }: Webhook, id: string, body: string, ending: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const seconds = Math.floor(Date.now() / 1000);
    const request = (url.protocol === 'https:' ? https : http).request(url, {
      method: 'POST',
      // A connection for each: one that is kept may be closed by the other side at any moment.
      agent: false,
      signal: AbortSignal.any([ending, AbortSignal.timeout(SEND_LIMIT_MS)]),
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': `iqra-authz/${VERSION}`,
        'webhook-id': id,
        'webhook-timestamp': seconds,
        'webhook-signature': signaturesOf(secrets, id, seconds, body),
      },
    });
    request.on('response', (response) => {
      let length = 0;
      const done = (): void => {
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve();
        else reject(new Error(`the receiver answered with the status ${status}`));
        response.destroy();
      };
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MOST_BYTES) done();
      });
      response.on('end', done);
      response.on('error', () => undefined);
      response.on('close', () => reject(new Error('the answer broke off')));
    });
    request.on('error', ({ name, code }: NodeJS.ErrnoException) =>
      reject(new Error(`the receiver could not be reached, or did not answer in time (${code ?? name})`)),
    );
    // INVARIANT: this settles whatever comes, else the watch waits for ever. An answer with 101 is none, and no error either: Node closes.
    request.on('upgrade', (_, socket) => {
      socket.destroy();
      reject(new Error('the receiver answered with the status 101'));
    });
    request.end(body);
  });
