/** Ed25519 keys: the one that signs checkpoints, and those that they are verified with. No message here quotes a key. */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { Refusal } from '../../errors.ts';
import { readSettingFile } from '../../setting-file.ts';

export interface Signer {
  /** SPKI, DER, base64. */
  readonly publicKey: string;
  /** Base64. */
  readonly sign: (bytes: Buffer) => string;
}

const HOW = 'make one with: openssl genpkey -algorithm ed25519 -out signing-key.pem';

/** PKCS #8, PEM. */
export const makeSigningKey = (): string =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** From a PEM text (line ends may be written `\n`), or from the file that `setting` names. @throws Refusal */
export async function loadSigner(setting: string): Promise<Signer> {
  const pem = setting.includes('-----BEGIN') ? setting.replaceAll('\\n', '\n') : readSigningKey(setting);
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The cause is left out: what OpenSSL says of a key may quote it.
    throw new Refusal(`AUDIT_SIGNING_KEY holds no private key in PKCS #8 PEM without a passphrase; ${HOW}`);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Refusal(`AUDIT_SIGNING_KEY is no Ed25519 key; ${HOW}`);
  return {
    publicKey: createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64'),
    sign: (bytes) => sign(null, bytes, key).toString('base64'),
  };
}

function readSigningKey(file: string): string {
  try {
    return readSettingFile(file);
  } catch (error) {
    // Without the path, too: it may be a key that lost its first line.
    throw error instanceof Refusal
      ? new Refusal(`AUDIT_SIGNING_KEY is no PEM text, and ${error.message}; ${HOW}`)
      : error;
  }
}

/** The public keys of a PEM file, one or more, as `Signer.publicKey` has them. @throws Refusal */
export function parsePublicKeys(text: string, name: string): ReadonlySet<string> {
  const blocks = text.match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? [];
  try {
    const keys = blocks.map((block) => createPublicKey(block));
    if (keys.length === 0 || keys.some((key) => key.asymmetricKeyType !== 'ed25519')) throw new Error('not Ed25519');
    return new Set(keys.map((key) => key.export({ type: 'spki', format: 'der' }).toString('base64')));
  } catch {
    throw new Refusal(
      `${name} holds no Ed25519 public key in PEM; make it with: openssl pkey -in signing-key.pem -pubout`,
    );
  }
}

export type CheckSignature = (publicKey: string, bytes: Buffer, signature: string) => boolean;

/** Keeps the keys that it has read: there are few of them, and reading one costs more than it does to verify with it. */
export function signatureChecker(): CheckSignature {
  const keys = new Map<string, KeyObject | undefined>();
  return (publicKey, bytes, signature) => {
    if (!keys.has(publicKey)) keys.set(publicKey, readKey(publicKey));
    const key = keys.get(publicKey);
    return key !== undefined && verify(null, bytes, key, Buffer.from(signature, 'base64'));
  };
}

function readKey(publicKey: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' ? key : undefined;
  } catch {
    return undefined;
  }
}
