// SPDX-License-Identifier: MIT
// Wrong input gets the documented error, and loses nothing else.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ask, client, connected, joined, settled } from './support/client.mjs';
import { next, within } from './support/deadline.mjs';
import { newBus, Program, startGateway, binDir } from './support/program.mjs';

let bus, gateway;

before(async () => {
  bus = await newBus();
  gateway = await startGateway(bus);
});

after(async () => {
  await gateway?.stop();
  await bus?.remove();
});

const handshake = () => fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`);

async function polling() {
  const text = await (await handshake()).text();
  const { sid } = JSON.parse(text.slice(1));
  const url = `${gateway.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  return {
    url,
    post: (body, init = {}) => fetch(url, { method: 'POST', body, ...init }),
    poll: async () => {
      const response = await fetch(url);
      return { status: response.status, text: await response.text() };
    },
  };
}

/** The gateway does not start with these arguments, and says why in one line. */
async function assertRefused(args, status, message, env = bus.env) {
  const program = new Program(`${binDir}/talus-gateway`, args, env);
  const { code } = await within(program.exit, 'end of the gateway');
  await program.closed;
  assert.equal(code, status, args.join(' '));
  assert.match(program.errors, message);
  assert.equal(program.errors.trim().split('\n').length, 1, program.errors);
  assert.deepEqual(program.lines, []);
}

const joins = [
  ['no payload', [], 'missing_session_id', 'Missing session_id'],
  ['an empty payload', [{}], 'missing_session_id', 'Missing session_id'],
  ['an empty id', [{ session_id: '' }], 'missing_session_id', 'Missing session_id'],
  ['null as id', [{ session_id: null }], 'missing_session_id', 'Missing session_id'],
  ['a number as id', [{ session_id: 7 }], 'invalid_session_id'],
  ['a slash in the id', [{ session_id: 'a/b' }], 'invalid_session_id'],
  ['a dash at the front', [{ session_id: '-a' }], 'invalid_session_id'],
  ['the star', [{ session_id: '*' }], 'invalid_session_id'],
  ['129 bytes', [{ session_id: 'a'.repeat(129) }], 'invalid_session_id'],
  ['a NUL', [{ session_id: 'a\u0000b' }], 'invalid_session_id'],
  ['a string as payload', ['s-1'], 'invalid_payload'],
  ['an array as payload', [['s-1']], 'invalid_payload'],
];

for (const event of ['join_session', 'leave_session']) {
  for (const [name, args, code, message] of joins) {
    test(`${event} with ${name} is answered with ${code}`, async () => {
      const socket = await connected(gateway.url, { transports: ['websocket'] });
      const told = next(socket, 'error');
      const { error } = await ask(socket, event, ...args);
      assert.equal(error.code, code);
      if (message) assert.equal(error.message, message);
      assert.deepEqual(await told, [error]);
      await settled(socket); // the connection stays
      socket.disconnect();
    });
  }
}

test('128 bytes of id are welcome', async () => {
  const socket = await joined(gateway.url, 'a'.repeat(128));
  socket.disconnect();
});

test('an unknown event, and leaving what was not joined', async () => {
  const socket = await connected(gateway.url);
  assert.equal((await ask(socket, 'whatever', 1)).error.code, 'unknown_event');
  assert.equal((await ask(socket, 'leave_session', { session_id: 'never' })).error.code, 'not_joined');
  const told = next(socket, 'error');
  socket.emit('whatever');
  assert.equal((await told)[0].code, 'unknown_event');
  socket.disconnect();
});

test('errors have exactly message and code', async () => {
  const socket = await connected(gateway.url);
  const answer = await ask(socket, 'join_session', {});
  assert.deepEqual(answer, { error: { message: 'Missing session_id', code: 'missing_session_id' } });
  socket.disconnect();
});

test('the main namespace answers ping and refuses sessions', async () => {
  const socket = await connected(gateway.url, {}, '/');
  assert.deepEqual(await ask(socket, 'ping'), {});
  assert.equal((await ask(socket, 'join_session', { session_id: 's' })).error.code, 'wrong_namespace');
  socket.disconnect();
});

test('an unknown namespace is refused', async () => {
  const socket = client(gateway.url, {}, '/nowhere');
  const [error] = await next(socket, 'connect_error');
  assert.equal(error.message, 'Invalid namespace');
  socket.disconnect();
});

for (const [query, status, body] of [
  ['EIO=4&transport=carrier', 400, { code: 0, message: 'Transport unknown' }],
  ['EIO=4&transport=polling&sid=nobody', 400, { code: 1, message: 'Session ID unknown' }],
  ['EIO=3&transport=polling', 400, { code: 5, message: 'Unsupported protocol version' }],
  ['transport=polling', 400, { code: 5, message: 'Unsupported protocol version' }],
  ['EIO=4&transport=websocket', 400, { code: 3, message: 'Bad request' }],
]) {
  test(`GET ?${query} is answered as the reference does`, async () => {
    const response = await fetch(`${gateway.url}/socket.io/?${query}`);
    assert.equal(response.status, status);
    assert.match(response.headers.get('content-type'), /^application\/json/);
    assert.deepEqual(await response.json(), body);
  });
}

test('a handshake by POST is refused', async () => {
  const response = await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`, { method: 'POST', body: '40' });
  assert.equal(response.status, 400);
  assert.deepEqual(await response.json(), { code: 2, message: 'Bad handshake method' });
});

test('a malformed packet ends that connection alone', async () => {
  const bystander = await joined(gateway.url, 'bystander');
  for (const body of ['abc', '42{}', '42["x"', '4', '49', '451-["x"]junk', '42["connect"]', '41{}']) {
    const session = await polling();
    await session.post('40/graph,');
    await session.poll();
    await session.post(body);
    // Whatever the answers in between, the session is gone at the end.
    for (;;) {
      const { status, text } = await session.poll();
      if (status === 200) continue;
      assert.equal(status, 400, body);
      assert.deepEqual(JSON.parse(text), { code: 1, message: 'Session ID unknown' });
      break;
    }
  }
  await settled(bystander);
  bystander.disconnect();
});

test('an oversized body is 413 and the session stays', async () => {
  const session = await polling();
  const response = await session.post('4' + 'x'.repeat(1_000_000));
  assert.equal(response.status, 413);
  await response.arrayBuffer();
  assert.equal(await (await session.post('40/graph,')).text(), 'ok');
  assert.match((await session.poll()).text, /^40\/graph,\{"sid":"/);
});

test('an oversized WebSocket message closes the connection', async () => {
  const socket = await connected(gateway.url, { transports: ['websocket'] });
  const ended = next(socket, 'disconnect');
  socket.emit('join_session', { session_id: 'x'.repeat(1_100_000) });
  assert.match((await ended)[0], /^transport (close|error)$/);
});

test('attachments that are together too large close the connection, whatever is still to come', async () => {
  const socket = await connected(gateway.url, { transports: ['websocket'] });
  const ended = next(socket, 'disconnect');
  const { ws } = socket.io.engine.transport;
  ws.send('453-/graph,["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]');
  ws.send(Buffer.alloc(600_000));
  ws.send(Buffer.alloc(600_000));
  assert.equal((await ended)[0], 'transport close');
});

test('methods and paths that are none', async () => {
  for (const [method, where, status] of [
    ['POST', '/api/v1/health', 405],
    ['DELETE', '/metrics', 405],
    ['GET', '/nothing/here', 404],
    ['GET', '/../../etc/passwd', 404],
    ['GET', '/%2e%2e/%2e%2e/etc/passwd', 404],
  ]) {
    const response = await fetch(gateway.url + where, { method });
    assert.equal(response.status, status, `${method} ${where}`);
    await response.arrayBuffer();
  }
});

test('what is no HTTP gets 400 and is closed', async () => {
  for (const bytes of ['\x16\x03\x01\x02\x00\x01\x00', 'GET\r\n\r\n', 'GET / HTTP/1.1\r\nbad header\r\n\r\n', 'G E T / HTTP/1.1\r\n\r\n']) {
    const socket = net.connect(gateway.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => (text += data));
    socket.on('error', () => {});
    socket.write(bytes, 'latin1');
    await within(once(socket, 'close'), 'close');
    assert.match(text, /^HTTP\/1\.1 400 /, JSON.stringify(bytes));
  }
});

test('health and metrics', async () => {
  const health = await fetch(`${gateway.url}/api/v1/health`);
  assert.equal(health.status, 200);
  assert.equal(await health.text(), '{"status":"ok"}');
  const head = await fetch(`${gateway.url}/api/v1/health`, { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), '15');
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  assert.match(metrics, /^# TYPE talus_connections gauge$/m);
  assert.match(metrics, /^talus_client_errors_total \d+$/m);
});

test('bad options are one line and status 2', async () => {
  for (const [args, message] of [
    [['--listen'], /--listen needs a value/],
    [['--nonsense'], /--nonsense is no option/],
    [['extra'], /extra is no option/],
    [['--ping-interval', 'soon'], /--ping-interval takes a number of milliseconds from 10 to 86400000, or a time such as 500ms, 5s or 2m, not "soon"/],
    [['--max-payload', '1'], /--max-payload takes a number/],
    [['--log-level', 'loud'], /--log-level takes error, warning, info or debug, not "loud"/],
    [['--path', 'x'], /--path takes a name that starts with \//],
    [['--listen', 'nonsense'], /--listen: "nonsense": not HOST:PORT/],
    [['--listen', '127.0.0.1:65536'], /--listen: "127.0.0.1:65536": the port is not a number from 0 to 65535/],
    [['--cors-origin', 'nonsense'], /--cors-origin: 'nonsense' is no origin/],
    [['--config', '/no/such/file'], /cannot read \/no\/such\/file: No such file/],
    [['--config', '/'], /cannot read \/: Is a directory/],
  ]) {
    await assertRefused(args, 2, message);
  }
});

test('a configuration file is read, and what is wrong in one is said with its place', async () => {
  const file = path.join(bus.path, '..', 'gateway.cfg');
  for (const [text, message] of [
    ['ping-interval 10\n', /gateway\.cfg, line 1: not of the form NAME = VALUE/],
    ['presence = never\n  log-level = info\n', /gateway\.cfg, line 2: not of the form/],
    ['presence = never\n    log-level = info\n', /gateway\.cfg: presence has indented lines below it/],
    ['pong = 3\n', /gateway\.cfg: pong is no option/],
    ['ping-interval = 1\n', /gateway\.cfg: ping-interval takes a number of milliseconds from 10 to 86400000, or a time such as 500ms, 5s or 2m, not "1"/],
    ['\u0001\u001b[2J\n', /gateway\.cfg, line 1: not of the form/],
  ]) {
    await writeFile(file, text);
    await assertRefused(['--config', file], 2, message);
  }
  // A flag beats a variable, a variable beats the file, and one that is set to nothing is not set.
  await writeFile(file, 'listen = nonsense\nnamespace = /file\npath = "/in/file" # quoted\nbus = ipc:///nowhere/*\n');
  const env = { TALUS_GATEWAY_CONFIG: file, TALUS_GATEWAY_NAMESPACE: '/variable', TALUS_GATEWAY_PATH: '', TALUS_GATEWAY_BUS: `${bus.endpoint},ipc://${bus.path}-2/*` };
  const configured = await startGateway({ env: { ...bus.env, ...env } }, ['--listen', '127.0.0.1:0']);
  const socket = await connected(configured.url, { path: '/in/file' }, '/variable');
  socket.disconnect();
  await configured.stop();
});

test('the path and the namespace may be /', async () => {
  const root = await startGateway(bus, ['--path', '/', '--namespace', '/']);
  const socket = await connected(root.url, { path: '/' }, '/');
  assert.equal((await ask(socket, 'join_session', { session_id: 'root' })).session_id, 'root');
  assert.equal(await (await fetch(`${root.url}/api/v1/health`)).text(), '{"status":"ok"}');
  assert.match(await (await fetch(`${root.url}/metrics`)).text(), /^talus_bus_sessions 1$/m);
  socket.disconnect();
  await root.stop();
});

test('a signal that is ignored at the start stays ignored, in the gateway and in tap', async () => {
  for (const [command, isUp] of [
    [['talus-gateway', '--listen', '127.0.0.1:0'], (program) => program.line(/listening on/)],
    [['talus', 'tap'], (program) => program.saying(/listening on/)],
  ]) {
    const [file, ...args] = command;
    const program = new Program('/bin/sh', ['-c', 'trap "" INT; exec "$0" "$@"', path.join(binDir, file), ...args], bus.env);
    await isUp(program);
    assert.match(await readFile(`/proc/${program.pid}/status`, 'utf8'), /^SigIgn:\s+[0-9a-f]*[2367abef]$/m);
    program.child.kill('SIGINT'); // before SIGTERM: whoever took it would say SIGINT, or end by it
    const { code } = await program.stop();
    assert.equal(code, 0);
    assert.doesNotMatch(program.errors, /stopping at SIGINT/);
  }
});

test('a port in use, and a page that is not there, are said', async () => {
  for (const [args, message] of [
    [['--listen', `127.0.0.1:${gateway.port}`], /cannot listen on 127\.0\.0\.1:\d+: /],
    [['--listen', '127.0.0.1:0', '--page', '/no/such/folder'], /\/no\/such\/folder/],
    [['--listen', '192.0.2.1:0'], /cannot listen on 192\.0\.2\.1:0: this host does not have that address$/m],
    [['--listen', '127.0.0.1:0', '--bus', '@tcp://192.0.2.1:5570'], /cannot listen on @tcp:\/\/192\.0\.2\.1:5570: this host does not have that address/],
  ]) {
    await assertRefused(args, 1, message);
  }
  await assertRefused(['--listen', '127.0.0.1:0', '--bus', 'carrier://pigeon'], 2,
    /cannot listen on carrier:\/\/pigeon: the endpoint is malformed/);
  await assertRefused(['--listen', '127.0.0.1:0', '--listen', '[::1]:0'], 2,
    /--listen: takes one value, and was given "127\.0\.0\.1:0" and "\[::1\]:0"/);
  for (const [endpoint, message] of [
    ['ipc:///dev/null/*', /cannot publish on the default bus \(TALUS_BUS\) ipc:\/\/\/dev\/null\/\*: Not a directory/],
  ]) {
    await assertRefused([], 1, message, { TALUS_BUS: endpoint });
  }
});
