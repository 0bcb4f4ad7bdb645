/** `authz config` and the settings: complete, checked, and silent about secrets. */

import { expect } from 'chai';
import { loadConfig } from '../../src/config.ts';
import { Refusal } from '../../src/errors.ts';
import { authz } from '../support/cli.ts';

describe('authz config', () => {
  it('shows every setting, and masks those that are secret', async () => {
    const env = {
      BOOTSTRAP_TOKEN: 'very-secret-token-of-32-characters',
      KEY_PEPPERS: `a:${Buffer.alloc(32, 1).toString('base64')}`,
      DATABASE_URL: 'postgres://u:hidden@h/d',
      REDIS_URL: 'redis://:hidden-too@h:6379/1',
      PORT: '9',
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=hidden-from-all',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'api-key=hidden-from-all',
    };
    for (const args of [['config'], ['config', '--json']]) {
      const { code, stdout, stderr } = await authz(args, env);
      expect(code).to.equal(0);
      for (const secret of ['very-secret', 'hidden', 'AQEB']) expect(stdout + stderr).to.not.include(secret);
    }
    const { stdout } = await authz(['config', '--json'], env);
    const settings = JSON.parse(stdout) as { name: string; value: string | null; source: string }[];
    expect(settings.find(({ name }) => name === 'PORT')).to.include({ value: '9', source: 'environment' });
    expect(settings.find(({ name }) => name === 'DECISION_DEADLINE_MS')).to.include({
      value: '250',
      source: 'default',
    });
  });

  it('names each bad setting without its value', async () => {
    const { code, stderr } = await authz(['config'], {
      PORT: '99999',
      DATABASE_URL: 'mysql://u:hidden@h/d',
      KEY_PEPPERS: 'a:c2hvcnQ=',
      LOG_LEVEL: 'loud',
      REDIS_URL: 'redis://:hidden@h/?commandTimeout=1',
    });
    expect(code).to.equal(1);
    for (const name of ['PORT', 'DATABASE_URL', 'KEY_PEPPERS', 'LOG_LEVEL', 'REDIS_URL'])
      expect(stderr).to.include(name);
    expect(stderr).to.not.include('hidden').and.not.include('c2hvcnQ');
  });

  it('takes the settings of OpenTelemetry as that has them, and refuses others without their values', async () => {
    const read = (text: string) => loadConfig({ OTEL_RESOURCE_ATTRIBUTES: text }).OTEL_RESOURCE_ATTRIBUTES;
    expect(read('a=b, c.d = e%2C%3D=f ,')).to.deep.equal({ a: 'b', 'c.d': 'e,==f' });
    for (const value of ['a', '=b', 'a=%zz', 'ä=b', 'a=%00', 'a=%0A'])
      expect(() => read(value), value).to.throw(Refusal, 'OTEL_RESOURCE_ATTRIBUTES must be');
    const bad = {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://user:hidden@collector:4318',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces?api-key=hidden',
      OTEL_EXPORTER_OTLP_HEADERS: 'api key=hidden',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'api-key=hidd%C3%A4n,b=hidden',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_EXPORTER_OTLP_TIMEOUT: '0',
      OTEL_TRACES_SAMPLER: 'jaeger_remote',
      OTEL_TRACES_SAMPLER_ARG: '1.5',
    };
    const { code, stderr } = await authz(['config'], bad);
    expect(code).to.equal(1);
    for (const name of Object.keys(bad)) expect(stderr).to.include(`  ${name} must be `);
    expect(stderr).to.include('OTEL_EXPORTER_OTLP_PROTOCOL must be one of http/protobuf, http/json');
    expect(stderr).to.not.include('hidd');
  });

  it('refuses a database URL whose password is not encoded, with advice, and without a piece of it', async () => {
    const passwords = [
      'p@ss#w%rd',
      'p@ss',
      'pa#ss',
      'pa/ss',
      'pa?ss',
      'pa%ss',
      'pa ss',
      'p@ss:99999',
      'ss@127.0.0.1/x?',
      '%zz%',
      // An ü of Latin-1, which is no UTF-8.
      'zz%FC',
    ];
    for (const password of passwords)
      for (const name of ['DATABASE_URL', 'DATABASE_DIRECT_URL']) {
        const { code, stdout, stderr } = await authz(['key', 'list'], {
          DATABASE_URL: 'postgres://svc:fine@127.0.0.1:1/authz',
          [name]: `postgres://svc:${password}@127.0.0.1:1/authz`,
        });
        expect(code, password).to.equal(1);
        expect(stderr).to.include(`${name} holds a character that must be percent-encoded`).and.include('%40');
        expect(stdout + stderr).to.not.match(/p@ss|pa[#/?% ]ss|w%rd|zz|svc|127/);
      }
    for (const url of [
      `postgres://svc:${encodeURIComponent('p@ss#w%rd/?')}@127.0.0.1:5432/authz?sslmode=verify-full`,
      'postgresql://svc@[::1]/authz',
      'postgres://svc:a:b@%2Frun%2Fpostgresql/authz',
    ])
      expect(loadConfig({ DATABASE_URL: url }).DATABASE_URL).to.equal(url);
  });

  it('takes a base URL of AuthZEN whose path can be that of a route', () => {
    const read = (AUTHZEN_BASE_URL: string) => loadConfig({ AUTHZEN_BASE_URL }).AUTHZEN_BASE_URL;
    for (const url of ['https://h', 'https://h:8443', 'https://h/a.b/c_d/e~f/%20-']) expect(read(url)).to.equal(url);
    for (const path of ['/', '/a(b', '/a:b', '/a*', '/a+b', '/a[b', '/a?b', '/a#b'])
      expect(() => read(`https://h${path}`), path)
        .to.throw(Refusal)
        .with.property('message')
        .that.includes('AUTHZEN_BASE_URL');
  });

  it('takes a limit of failed authentications, or none', async () => {
    const read = (text: string) => loadConfig({ FAILED_AUTHENTICATION_LIMIT: text }).FAILED_AUTHENTICATION_LIMIT;
    expect(read('')).to.deep.equal({ requests: 100, windowSeconds: 60 });
    expect(read('none')).to.equal('none');
    for (const text of ['0/60', '100', 'off'])
      expect(() => read(text), text).to.throw(Refusal, /FAILED_AUTHENTICATION_LIMIT must be .*, or none/);
  });

  it('takes a bootstrap token of 32 characters or more, and refuses a start with a shorter one', async () => {
    const token = 'x'.repeat(32);
    expect(loadConfig({ BOOTSTRAP_TOKEN: token }).BOOTSTRAP_TOKEN).to.equal(token);
    for (const short of ['a', 'short-and-secret', token.slice(1)]) {
      const { code, stderr } = await authz(['serve'], { BOOTSTRAP_TOKEN: short });
      expect(code).to.equal(1);
      expect(stderr).to.include('BOOTSTRAP_TOKEN').and.include('32').and.not.include('short-and-secret');
    }
  });

  it('takes a rate limit within its bounds only', () => {
    const read = (text: string) => loadConfig({ RATE_LIMIT: text }).RATE_LIMIT;
    expect(read('')).to.deep.equal({ requests: 600, windowSeconds: 60 });
    expect(read('2147483647/86400')).to.deep.equal({ requests: 2147483647, windowSeconds: 86400 });
    for (const text of [
      '0/60',
      '2147483648/1',
      '1/0',
      '1/86401',
      '600',
      '600/60/1',
      '-1/60',
      '1.5/60',
      '600 / 60',
      '1e2/60',
    ])
      expect(() => read(text), text).to.throw(Refusal, 'RATE_LIMIT must be requests/seconds such as 600/60');
  });

  it('explains each verb with an example', async () => {
    for (const verb of ['serve', 'migrate', 'import', 'config']) {
      const { code, stdout } = await authz([verb, '--help']);
      expect(code).to.equal(0);
      expect(stdout).to.include('Example:');
    }
  });

  it('ends with 2 when it is misused', async () => {
    for (const args of [['fly'], ['serve', '--fast'], ['import'], []]) {
      const { code, stderr } = await authz(args);
      expect(code).to.equal(2);
      expect(stderr).to.match(/authz VERB --help|Usage/);
    }
  });
});
