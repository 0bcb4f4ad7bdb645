/** To a server that asks for the password in a form that gives it away, it is not given unless TLS proves who that is. */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type SecureContextOptions, TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { openSession } from '../../src/db/session.ts';
import { rejection } from '../support/rejection.ts';

const PASSWORD = 'password-of-the-service';
const SSL_REQUEST = 80877103;

/** AuthenticationCleartextPassword, AuthenticationMD5Password with a salt. */
const REQUESTS = {
  'in clear text': Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]),
  'as MD5': Buffer.from([0x52, 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4]),
};

/** Asks for the password so, over TLS where it has a certificate; `told` is all that it was sent after that. */
async function impostor(request: Buffer, certificate?: SecureContextOptions) {
  let told = '';
  const ask = (socket: Socket): void => {
    socket.once('data', (startup: Buffer) => {
      if (certificate !== undefined && startup.readInt32BE(4) === SSL_REQUEST) {
        socket.write('S');
        ask(new TLSSocket(socket, { isServer: true, ...certificate }));
        return;
      }
      socket.on('data', (chunk: Buffer) => {
        told += chunk.toString('latin1');
        socket.end();
      });
      socket.write(request);
    });
    socket.on('error', () => undefined);
  };
  const server: Server = createServer(ask).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, told: () => told, close: () => server.close() };
}

describe('a password that a server asks for', () => {
  let folder: string;
  let certificate: SecureContextOptions;

  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'authz-tls-'));
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name)) as [string, string];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync('openssl', ['req', '-x509', ...newKey, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
    certificate = { key: readFileSync(key), cert: readFileSync(cert) };
  });
  after(() => rmSync(folder, { recursive: true }));

  for (const [form, request] of Object.entries(REQUESTS)) {
    const connectTo = async (query: string, tls: boolean) => {
      const server = await impostor(request, tls ? certificate : undefined);
      const connectionString = `postgres://svc:${PASSWORD}@localhost:${server.port}/authz${query}`;
      const error = await rejection(openSession({ connectionString, connectionTimeoutMillis: 5000 }, 0));
      server.close();
      return { error, told: server.told() };
    };

    it(`${form} is not given without TLS`, async () => {
      const { error, told } = await connectTo('', false);
      expect(told).to.equal('');
      expect(error.message).to.include(form).and.include('scram-sha-256').and.not.include(PASSWORD);
    });

    it(`${form} is not given to a certificate that is not verified`, async () => {
      const { error, told } = await connectTo('?sslmode=no-verify', true);
      expect(told).to.equal('');
      expect(error.message).to.include(form);
    });

    it(`${form} is given to one that is`, async () => {
      const { told } = await connectTo(`?sslmode=verify-full&sslrootcert=${path.join(folder, 'cert.pem')}`, true);
      expect(told).to.match(form === 'as MD5' ? /^p.{4}md5[0-9a-f]{32}\0$/s : /^p/);
      if (form !== 'as MD5') expect(told).to.include(PASSWORD);
    });
  }
});
