// SPDX-License-Identifier: MIT
// Long-polling as HTTP: what clients, proxies and curl make of connections, bodies and headers.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Polling, RS, startEngine, target, UNKNOWN_SID } from './support/echo.mjs';
import { newBus, startGateway } from './support/program.mjs';
import { HANDSHAKE, Wire } from './support/wire.mjs';

const MAX_PAYLOAD = 100_000;

let server;
let session;

before(async () => {
  server = await startEngine('--max-payload', `${MAX_PAYLOAD}`, '--ping-interval', '600000');
  session = await Polling.open(server);
});

after(async () => {
  await server?.stop();
});

async function connect(t) {
  const wire = await Wire.connect(server.port);
  t.after(() => wire.close());
  return wire;
}

async function exchange(wire, method, path, options) {
  wire.request(method, path, options);
  return wire.response({ hasBody: method !== 'HEAD' });
}

/** Posts and fetches `packet` over one connection. */
async function echo(wire, packet, { sid = session, ...options } = {}) {
  const answer = await exchange(wire, 'POST', sid.target, { body: packet, ...options });
  assert.deepEqual([answer.status, answer.text], [200, 'ok']);
  const poll = await exchange(wire, 'GET', sid.target, options);
  assert.deepEqual([poll.status, poll.text], [200, packet]);
  return poll;
}

// ---- Connections

test('a connection is kept, and says for how long', async (t) => {
  const wire = await connect(t);
  for (let i = 0; i < 5; i++) {
    const { headers } = await echo(wire, `4${i}`);
    assert.equal(headers['keep-alive'], 'timeout=5');
    assert.notEqual(headers.connection, 'close');
  }
});

test('errors leave the connection usable', async (t) => {
  const wire = await connect(t);
  for (const [method, path, status] of [
    ['GET', '/nowhere', 404],
    ['POST', '/nowhere', 404],
    ['GET', target(server, 'carrier'), 400],
    ['POST', target(server, 'polling'), 400],
    ['POST', target(server, 'polling', 'nobody'), 400],
    ['PUT', session.target, 500],
  ])
    assert.equal((await exchange(wire, method, path, { body: method === 'GET' ? undefined : '4x' })).status, status);
  await echo(wire, '4fine');
});

test('Connection: close is done', async (t) => {
  const wire = await connect(t);
  const { status, headers } = await exchange(wire, 'POST', session.target, { body: '4x', headers: { Connection: 'close' } });
  assert.deepEqual([status, headers.connection], [200, 'close']);
  assert.equal((await wire.end()).length, 0);
  assert.deepEqual(await session.packets(), ['4x']);
});

test('HTTP/1.0 closes, or stays if it is asked to', async (t) => {
  const wire = await connect(t);
  await echo(wire, '4one', { version: '1.0', headers: { Connection: 'keep-alive' } });
  const { headers } = await exchange(wire, 'POST', session.target, { body: '4two', version: '1.0' });
  assert.equal(headers.connection, 'close');
  await wire.end();
  assert.deepEqual(await session.packets(), ['4two']);
});

test('HEAD tells the length and sends nothing', async (t) => {
  const wire = await connect(t);
  const handshake = await exchange(wire, 'HEAD', target(server, 'polling'));
  assert.deepEqual([handshake.status, handshake.headers['content-length']], [400, '43']);
  const known = await exchange(wire, 'HEAD', session.target);
  assert.deepEqual([known.status, known.headers['content-length']], [500, '0']);
  await echo(wire, '4fine');
});

test('a request a byte at a time', async (t) => {
  const wire = await connect(t);
  const request = `POST ${session.target} HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n4hello`;
  for (const byte of Buffer.from(request)) wire.write([byte]);
  assert.equal((await wire.response()).text, 'ok');
  assert.deepEqual(await session.packets(), ['4hello']);
});

test('the path is compared as it stands', async (t) => {
  const wire = await connect(t);
  for (const [path, status] of [
    [`${server.path}x/y?EIO=4&transport=polling`, 200],
    [`${server.path.slice(0, -1)}?EIO=4&transport=polling`, 404],
    [`/${server.path}?EIO=4&transport=polling`, 404],
    [`/%65ngine.io/?EIO=4&transport=polling`, 404],
  ])
    assert.equal((await exchange(wire, 'GET', path)).status, status, path);
});

// ---- Pipelines

test('pipelined requests are answered in order', async (t) => {
  const wire = await connect(t);
  const own = await Polling.open(server);
  for (let i = 0; i < 30; i++) wire.request('POST', own.target, { body: `4${i}` });
  wire.request('GET', own.target);
  for (let i = 0; i < 30; i++) assert.equal((await wire.response()).text, 'ok');
  assert.deepEqual(
    (await wire.response()).text.split(RS),
    Array.from({ length: 30 }, (_, i) => `4${i}`),
  );
});

test('a post behind a waiting poll on the same connection releases it', async (t) => {
  const wire = await connect(t);
  const own = await Polling.open(server);
  wire.request('GET', own.target);
  wire.request('POST', own.target, { body: '4a' });
  assert.equal((await wire.response()).text, '4a');
  assert.equal((await wire.response()).text, 'ok');
});

test('two polls on the same connection are two polls at a time', async (t) => {
  const wire = await connect(t);
  const own = await Polling.open(server);
  wire.request('GET', own.target);
  wire.request('GET', own.target);
  assert.equal((await wire.response()).text, '1');
  const second = await wire.response();
  assert.deepEqual([second.status, second.text], [400, '']);
  await own.expectGone();
});

test('an upgrade behind a waiting poll on the same connection comes after it', async (t) => {
  const wire = await connect(t);
  const own = await Polling.open(server);
  wire.request('GET', own.target);
  wire.request('GET', target(server, 'websocket'), { headers: HANDSHAKE });
  await own.post('4now');
  assert.equal((await wire.response()).text, '4now');
  assert.equal((await wire.response()).status, 101);
  assert.match(await wire.text(), /^0/);
});

// ---- Bodies

test('chunked bodies, with extensions and trailers', async (t) => {
  const wire = await connect(t);
  wire.write(`POST ${session.target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
  for (const part of ['3\r\n4ab\r\n', '2;a="b"\r\nc', 'd\r\n', '0', '\r\nX: y\r\n\r', '\n']) wire.write(part);
  assert.equal((await wire.response()).text, 'ok');
  assert.equal((await exchange(wire, 'GET', session.target)).text, '4abcd');
});

test('100-continue', async (t) => {
  const wire = await connect(t);
  const headers = { Expect: '100-continue', 'Content-Length': 6 };
  wire.request('POST', session.target, { headers });
  assert.equal((await wire.response()).status, 100);
  wire.write('4hello');
  assert.equal((await wire.response()).text, 'ok');
  assert.equal((await exchange(wire, 'GET', session.target)).text, '4hello');
  // Refused before the body: whether it follows all the same is not known, so that the end is here.
  const refused = await exchange(wire, 'POST', target(server, 'polling', 'nobody'), { headers });
  assert.deepEqual([refused.status, refused.headers.connection], [400, 'close']);
  await wire.end();
});

test('what is refused by its head is answered before its body', async (t) => {
  const wire = await connect(t);
  wire.request('POST', target(server, 'polling', 'nobody'), { headers: { 'Content-Length': 50_000 } });
  assert.deepEqual(JSON.parse((await wire.response()).text), UNKNOWN_SID);
  wire.write('x'.repeat(50_000));
  await echo(wire, '4fine');
});

test('a body that is too large is 413, and what follows is read', async (t) => {
  const wire = await connect(t);
  const body = `4${'x'.repeat(5 * MAX_PAYLOAD)}`;
  for (let i = 0; i < 3; i++) {
    const { status, text, headers } = await exchange(wire, 'POST', session.target, { body });
    assert.deepEqual([status, text, headers['content-type']], [413, '', undefined]);
    await echo(wire, '4fine');
  }
  const chunk = 'x'.repeat(60_000);
  wire.write(`POST ${session.target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n${chunk}\r\n`);
  wire.write(`ea60\r\n${chunk.slice(1)}`); // too much, but not all of it
  assert.equal((await wire.response()).status, 413);
  wire.write('x\r\n0\r\n\r\n');
  await echo(wire, '4fine');
});

test('a body that is much too large is 413, and the end', async (t) => {
  const wire = await connect(t);
  const { status, headers } = await exchange(wire, 'POST', session.target, { headers: { 'Content-Length': 2_000_000_000 } });
  assert.deepEqual([status, headers.connection], [413, 'close']);
  await wire.end();
  await session.expectAlive();
});

test('the body of a poll means nothing', async (t) => {
  const wire = await connect(t);
  wire.request('GET', session.target, { body: '4never' });
  await session.post('4x');
  assert.equal((await wire.response()).text, '4x');
});

test('a body that is no UTF-8 is repaired', async (t) => {
  const wire = await connect(t);
  wire.write(`POST ${session.target} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n`, [0x34, 0xff, 0xfe, 0x41]);
  assert.equal((await wire.response()).text, 'ok');
  assert.deepEqual(await session.packets(), ['4\ufffd\ufffdA']);
});

test('compression is not forced on anybody', async (t) => {
  const wire = await connect(t);
  const { headers } = await echo(wire, `4${'x'.repeat(5000)}`, { headers: { 'Accept-Encoding': 'identity' } });
  assert.equal(headers['content-encoding'], undefined);
});

for (const [name, request, status] of [
  ['no HTTP', 'hello\r\n\r\n', 400],
  ['no Host', `GET / HTTP/1.1\r\n\r\n`, 400],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400],
  ['a length that is none', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n', 400],
  ['two framings', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['another encoding', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n', 400],
  ['a folded header', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n', 400],
  ['a control character', 'GET / HTTP/1.1\r\nHost: x\r\nOrigin: a\x01b\r\n\r\n', 400],
  ['a broken chunk', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n', 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['a head of 20 KB', `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ['many headers', `GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(200)}\r\n`, 431],
]) {
  test(`${name} is ${status}, and the end of that connection alone`, async (t) => {
    const wire = await connect(t);
    await echo(wire, '4before');
    wire.write(request);
    const response = await wire.response();
    assert.deepEqual([response.status, response.headers.connection], [status, 'close']);
    assert.equal((await wire.end()).length, 0);
    await session.expectAlive();
  });
}

// ---- CORS, of the gateway

async function withGateway(t, origins) {
  const bus = await newBus();
  const gateway = await startGateway(
    bus,
    origins.flatMap((origin) => ['--cors-origin', origin]),
  );
  t.after(async () => {
    await gateway.stop();
    await bus.remove();
  });
  const wire = await Wire.connect(gateway.port);
  t.after(() => wire.close());
  return {
    port: gateway.port,
    gateway,
    ask: (method, query, headers, body) => exchange(wire, method, `/socket.io/?${query}`, { headers, body }),
  };
}

const HELLO = 'EIO=4&transport=polling';
const PREFLIGHT = { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-a, x-b' };

function allowed({ headers }) {
  return [headers['access-control-allow-origin'], headers['access-control-allow-credentials'], headers.vary];
}

test('CORS for everybody', async (t) => {
  const { ask } = await withGateway(t, ['*']);
  const Origin = 'http://app.example';
  const hello = await ask('GET', HELLO, { Origin });
  const { sid } = JSON.parse(hello.text.slice(1));
  for (const [response, status] of [
    [hello, 200],
    [await ask('POST', `${HELLO}&sid=${sid}`, { Origin }, '40/graph,'), 200],
    [await ask('GET', `${HELLO}&sid=${sid}`, { Origin }), 200],
    [await ask('PUT', `${HELLO}&sid=${sid}`, { Origin }, ''), 500],
    [await ask('GET', `${HELLO}&sid=nobody`, { Origin }), 400],
    [await ask('POST', `${HELLO}&sid=${sid}`, { Origin }, 'x'.repeat(2_000_000)), 413],
    [await ask('OPTIONS', HELLO, { Origin, ...PREFLIGHT }), 204],
  ]) {
    assert.equal(response.status, status);
    assert.deepEqual(allowed(response).slice(0, 2), ['*', undefined]);
  }
});

test('CORS for a list, with credentials', async (t) => {
  const { ask, port, gateway } = await withGateway(t, ['http://app.example', 'https://other.example:8443']);
  for (const Origin of ['http://app.example', 'https://other.example:8443']) {
    const hello = await ask('GET', HELLO, { Origin });
    assert.equal(hello.status, 200);
    assert.deepEqual(allowed(hello), [Origin, 'true', 'Origin']);
    const error = await ask('GET', 'EIO=4&transport=carrier', { Origin });
    assert.deepEqual([error.status, ...allowed(error)], [400, Origin, 'true', 'Origin']);
    const preflight = await ask('OPTIONS', `${HELLO}&sid=nobody`, { Origin, ...PREFLIGHT });
    assert.deepEqual([preflight.status, preflight.text], [204, '']);
    assert.deepEqual(allowed(preflight), [Origin, 'true', 'Origin, Access-Control-Request-Headers']);
    assert.equal(preflight.headers['access-control-allow-methods'], 'GET,HEAD,PUT,PATCH,POST,DELETE');
    assert.equal(preflight.headers['access-control-allow-headers'], 'x-a, x-b');
  }
  const stranger = await ask('GET', HELLO, { Origin: 'http://evil.example' });
  assert.deepEqual([stranger.status, JSON.parse(stranger.text)], [403, { code: 4, message: 'Forbidden' }]);
  assert.deepEqual(allowed(stranger), [undefined, undefined, 'Origin']);
  const nobody = await ask('GET', HELLO, {});
  assert.deepEqual([nobody.status, ...allowed(nobody)], [200, undefined, undefined, 'Origin']);

  // No CORS for WebSockets in browsers: the server itself has to refuse.
  for (const [Origin, status, text] of [
    ['http://app.example', 101, ''],
    ['http://evil.example', 400, 'Forbidden'],
  ]) {
    const wire = await Wire.connect(port);
    t.after(() => wire.close());
    wire.request('GET', '/socket.io/?EIO=4&transport=websocket', { headers: { ...HANDSHAKE, Origin } });
    const response = await wire.response();
    assert.deepEqual([response.status, response.text], [status, text]);
  }

  // Both refusals are counted, and the first is logged.
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  assert.match(metrics, /^talus_http_refused_origin_total 2$/m);
  await gateway.saying(/refused a page of origin "http:\/\/evil\.example"/);
});

test('a refused origin is logged in one bounded line', async (t) => {
  const { ask, gateway } = await withGateway(t, ['null']);
  assert.equal((await ask('GET', HELLO, { Origin: 'null' })).status, 200);
  const long = `http://\u001b[2J${'a'.repeat(3000)}.example`.replace('\u001b', '\t');
  for (let i = 0; i < 5; i++) assert.equal((await ask('GET', HELLO, { Origin: long })).status, 403);
  await gateway.saying(/refused a page of origin/);
  const lines = gateway.errors.split('\n').filter((line) => line.includes('refused a page'));
  assert.equal(lines.length, 1);
  assert.match(lines[0], /"http:\/\/\\x09\[2Ja{100,190}"; --cors-origin/);
  assert.match(await (await fetch(`${gateway.url}/metrics`)).text(), /^talus_http_refused_origin_total 5$/m);
});

test('without origins a preflight is a request like any other', async (t) => {
  const { ask } = await withGateway(t, []);
  const response = await ask('OPTIONS', HELLO, { Origin: 'http://app.example', ...PREFLIGHT });
  assert.equal(response.status, 400);
  assert.deepEqual(JSON.parse(response.text), { code: 2, message: 'Bad handshake method' });
  assert.deepEqual(allowed(response), [undefined, undefined, undefined]);
});

// ---- curl

const hasCurl = spawnSync('curl', ['--version']).status === 0;
const skip = !hasCurl && 'curl is not installed';

async function curl(...args) {
  const { stdout } = await promisify(execFile)('curl', ['--silent', '--show-error', '--max-time', '20', ...args]);
  return stdout;
}

for (const version of ['--http1.0', '--http1.1']) {
  test(`a session by curl ${version}`, { skip }, async () => {
    const hello = await curl(version, server.url + target(server, 'polling'));
    const { sid } = JSON.parse(hello.slice(1));
    const url = server.url + target(server, 'polling', sid);
    assert.equal(await curl(version, '--data-binary', `4one${RS}bAQID`, url), 'ok');
    assert.equal(await curl(version, url), `4one${RS}bAQID`);
    assert.equal(await curl(version, '--data-binary', '1', url), 'ok');
    assert.deepEqual(JSON.parse(await curl(version, url)), UNKNOWN_SID);
  });
}

test('curl reuses its connection', { skip }, async () => {
  const url = server.url + target(server, 'polling');
  const connects = await curl('--output', '/dev/null', '--write-out', '%{num_connects} ', url, url, url);
  // --output is for the first; the others' bodies stand between.
  assert.deepEqual(connects.match(/(?:^|\})([01]) /g).map((text) => text.at(-2)), ['1', '0', '0']);
});

test('curl --head', { skip }, async () => {
  const head = await curl('--head', session.url);
  assert.match(head, /^HTTP\/1\.1 500 /);
  assert.match(head, /^Content-Length: 0\r$/m);
});

test('curl asks before it sends a large body', { skip }, async () => {
  const args = ['--header', 'Expect: 100-continue', '--data-binary', '@-', '--write-out', '%{http_code}', session.url];
  const send = (size) => {
    const run = promisify(execFile)('curl', ['--silent', '--show-error', '--max-time', '20', ...args]);
    run.child.stdin.on('error', () => {}); // it need not read what it will not send
    run.child.stdin.end(`4${'x'.repeat(size - 1)}`);
    return run;
  };
  assert.equal((await send(MAX_PAYLOAD)).stdout, 'ok200');
  assert.equal((await session.packets())[0].length, MAX_PAYLOAD);
  assert.equal((await send(MAX_PAYLOAD + 1)).stdout, '413');
  await session.expectAlive();
});

test('curl --compressed gets what it can read', { skip }, async () => {
  const packet = `4${'x'.repeat(5000)}`;
  await session.post(packet);
  assert.equal(await curl('--compressed', session.url), packet);
});
