/** The examples of the OpenAPI document are what the service sends: each is asked for, in one story about ada and her bakery. */

import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import { type Client, withService } from '../support/client.ts';
import { type Document, operationsOf } from '../support/openapi.ts';
import { insertCaller, insertKey, type Reply, type TestService } from '../support/service.ts';

/** A body in which whatever differs from one run to the next stands for itself: ids, times, digests, keys, how long it took. */
const plainly = (body: unknown): unknown =>
  JSON.parse(
    JSON.stringify(body)
      .replace(/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g, 'UUID')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'INSTANT')
      .replace(/sha256:[0-9a-f]+/g, 'DIGEST')
      .replace(/iqra_[\w.]+/g, 'KEY')
      .replace(/"hash":"\w+"/g, '"hash":"HASH"')
      .replace(/"cursor":"[^"]+"/g, '"cursor":"CURSOR"')
      .replace(/"(durationUs|seq|remaining|resetSeconds|count)":\d+/g, '"$1":1'),
  );

/** Whether an example is what was sent. A list may be cut short in it, and of a text it may be some lines. */
function covers(example: unknown, sent: unknown): boolean {
  if (typeof example === 'string' && typeof sent === 'string' && example.endsWith('\n')) return sent.includes(example);
  if (Array.isArray(example) && Array.isArray(sent))
    return example.length > 0 || sent.length === 0
      ? example.every((item) => sent.some((one) => covers(item, one)))
      : false;
  if (!isObject(example) || !isObject(sent)) return isDeepStrictEqual(example, sent);
  const names = Object.keys(example);
  return names.length === Object.keys(sent).length && names.every((name) => covers(example[name], sent[name]));
}
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON lines as what they hold. */
const parsed = (body: unknown): unknown =>
  typeof body === 'string' && body.startsWith('{')
    ? body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    : body;

describe('the examples of the OpenAPI document', () => {
  let service: TestService;
  let client: Client;
  withService(
    (started) => {
      ({ service, client } = started);
    },
    { AUTHZEN_BASE_URL: 'https://authz.example.com' },
  );

  it('are what the service sends', async () => {
    const document = (await client.call('GET', '/openapi.json')).body as unknown as Document;
    const sent = new Map<string, unknown[]>();
    /** Sends the example of the route's request, or another one, and keeps what is answered. */
    const ask = async (
      route: string,
      path?: string,
      body?: unknown,
      headers?: Record<string, string>,
    ): Promise<Reply> => {
      const [method = '', template = ''] = route.split(' ');
      const { requestBody } = document.paths[template]?.[method.toLowerCase()] ?? {};
      const example = requestBody?.content['application/json'].examples?.['example']?.value;
      const reply = await client.call(method, path ?? template, body ?? example, headers);
      const name = `${route} ${reply.status}`;
      sent.set(name, [...(sent.get(name) ?? []), plainly(parsed(reply.body))]);
      return reply;
    };
    const twice = async (route: string, path: string, headers?: Record<string, string>) => {
      await ask(route, path, undefined, headers);
      await ask(route, path);
    };

    await twice('PUT /businesses/{id}', '/businesses/bakery');
    await ask('GET /businesses/{id}', '/businesses/bakery');
    await ask('GET /businesses');
    await twice('PUT /users/{id}', '/users/ada');
    await ask('GET /users/{id}', '/users/ada');
    await ask('GET /users');
    const member = 'PUT /businesses/{id}/members/{userId}';
    await twice(member, '/businesses/bakery/members/ada', { 'x-request-id': '7f3a' });
    await ask('GET /businesses/{id}/members', '/businesses/bakery/members');
    await client.data('PUT', '/businesses/garage', {
      disabled: true,
      disabledReason: 'The invoice of June is unpaid.',
    });
    await client.data('PUT', '/businesses/garage/members/ada', { role: 'member' });

    const newKey = async () => {
      const { body } = await ask('POST /keys');
      const { key } = body.Data as { key: { id: string } };
      return `/keys/${key.id}`;
    };
    const key = await newKey();
    await ask('GET /keys/{id}', key);
    await ask('GET /keys', '/keys?userId=ada');
    await ask('PATCH /keys/{id}', key);
    await ask('POST /keys/{id}/rotate', `${await newKey()}/rotate`);
    await ask('POST /keys/{id}/revoke', `${await newKey()}/revoke`);
    await client.newUser('bob');
    await client.newKey('bob');
    await ask('POST /users/{id}/revoke-keys', '/users/bob/revoke-keys');

    // Denied as the user is disabled: what the examples of the log are of.
    await client.data('PUT', '/businesses/bakery', {});
    const authorization = `Token ${await insertKey(service, { id: 'ada-main', user_id: 'ada', friendly_name: 'Main' })}`;
    const gateway = `Bearer ${await insertCaller(service, ['authorize'], { id: 'voice-gateway', name: 'voice' })}`;
    const context = { ip: '203.0.113.7', userAgent: 'curl/8.5', requestId: '7f3a' };
    const question = { authorization, action: 'call:create', businessId: 'bakery', context };
    const asGateway = { authorization: gateway, 'x-request-id': 'gateway-9c1' };
    const { body: denied } = await ask('POST /authorize', '/authorize', question, asGateway);
    await client.data('PUT', '/users/ada', { rateLimit: { requests: 600, windowSeconds: 60 } });
    const requests = [question, { ...question, businessId: 'garage' }];
    for (const one of requests) await ask('POST /authorize', '/authorize', one);
    await ask('GET /audit/stats', '/audit/stats?by=code&apiKeyId=ada-main');
    await ask('POST /authorize/batch', '/authorize/batch', { requests });
    await ask('POST /authorize', '/authorize', { ...question, action: 'callback:read' }, asGateway);

    for (const name of ['evaluation', 'evaluations'])
      await ask(`POST /access/v1/${name}`, undefined, undefined, { 'iqra-subject-authorization': authorization });
    for (const name of ['subject', 'resource', 'action']) await ask(`POST /access/v1/search/${name}`);
    await ask('GET /.well-known/authzen-configuration');

    await ask('GET /audit/decisions', '/audit/decisions?code=USER_DISABLED');
    await ask('GET /audit/export', '/audit/export?code=USER_DISABLED');
    await ask('GET /audit/export', '/audit/export?code=USER_DISABLED&format=csv');
    await ask('GET /audit/timeline', '/audit/timeline?apiKeyId=ada-main');
    await ask('GET /audit/decisions/{id}', `/audit/decisions/${denied.Data?.['decisionId']}`);
    await ask('GET /audit/findings', '/audit/findings?finding=action-unregistered');
    await ask('GET /audit/admin', '/audit/admin?action=member.create&subject=bakery/ada');
    await ask('GET /policy');
    await ask('POST /policy/explain');
    const frozen = await ask('POST /freezes');
    const freeze = `/freezes/${frozen.body.Data?.['id']}`;
    await ask('GET /freezes');
    await ask('GET /freezes/{id}', freeze);
    await ask('PATCH /freezes/{id}', freeze);
    for (const name of ['/healthz', '/readyz', '/metrics']) await ask(`GET ${name}`);

    const untrue: string[] = [];
    let checked = 0;
    for (const { route, operation } of operationsOf(document)) {
      for (const [status, response] of Object.entries(operation.responses)) {
        const name = `${route} ${status}`;
        // The document itself; and of a process that is stopping.
        if ('$ref' in response || ['GET /openapi.json 200', 'GET /readyz 503'].includes(name)) continue;
        for (const { examples = {} } of Object.values(response.content ?? {}))
          for (const example of Object.values(examples).map(({ value }) => plainly(parsed(value)))) {
            checked += 1;
            const answers = sent.get(name) ?? [];
            if (!answers.some((one) => covers(example, one)))
              untrue.push(`${name}\n${[example, ...answers].map((one) => JSON.stringify(one)).join('\nbut ')}`);
          }
      }
    }
    expect(untrue.join('\n\n')).to.equal('');
    expect(checked).to.be.above(40);
  });
});
