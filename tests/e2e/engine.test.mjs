// SPDX-License-Identifier: MIT
// Engine.IO 4 by hand, from the protocol's text: handshakes, payloads, one poll at a time, closing,
// heartbeats, the upgrade. The server echoes each message.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { BAD_REQUEST, Polling, RS, Socket, startEngine, target } from './support/echo.mjs';
import { within } from './support/deadline.mjs';
import { HANDSHAKE, Wire } from './support/wire.mjs';

const MAX_PAYLOAD = 100_000;
const INTERVAL = 200;
const TIMEOUT = 3000; // long enough for a busy machine to answer in

let server; // whose heartbeat does not matter
let quick;

before(async () => {
  server = await startEngine('--max-payload', `${MAX_PAYLOAD}`);
  quick = await startEngine('--ping-interval', `${INTERVAL}`, '--ping-timeout', `${TIMEOUT}`);
});

after(async () => {
  await server?.stop();
  await quick?.stop();
});

const get = (query, init) => fetch(`${server.url}${server.path}?${query}`, init);

// ---- Handshake

test('the open packet has its members in order, over polling', async () => {
  const response = await get('EIO=4&transport=polling');
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/plain; charset=UTF-8');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const body = await response.text();
  assert.match(body, new RegExp(`^0\\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\\["websocket"\\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":${MAX_PAYLOAD}\\}$`));
});

test('the open packet over WebSocket offers no upgrades', async () => {
  const socket = await Socket.open(quick);
  assert.match(await socket.next(), /^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\[\],"pingInterval":200,"pingTimeout":3000,"maxPayload":1000000\}$/);
  socket.close();
});

test('session ids differ', async () => {
  const sessions = await Promise.all(Array.from({ length: 50 }, () => Polling.open(server)));
  assert.equal(new Set(sessions.map(({ sid }) => sid)).size, 50);
});

for (const [method, query, code, message] of [
  ['GET', '', 0, 'Transport unknown'],
  ['GET', 'EIO=4', 0, 'Transport unknown'],
  ['GET', 'EIO=4&transport=carrier', 0, 'Transport unknown'],
  ['GET', 'EIO=4&transport=webtransport', 0, 'Transport unknown'],
  ['GET', 'EIO=4&transport=polling&sid=nobody', 1, 'Session ID unknown'],
  ['POST', 'EIO=4&transport=polling&sid=nobody', 1, 'Session ID unknown'],
  ['POST', 'EIO=4&transport=polling', 2, 'Bad handshake method'],
  ['PUT', 'EIO=4&transport=polling', 2, 'Bad handshake method'],
  ['DELETE', 'EIO=4&transport=polling', 2, 'Bad handshake method'],
  ['GET', 'EIO=4&transport=websocket', 3, 'Bad request'],
  ['GET', 'transport=polling', 5, 'Unsupported protocol version'],
  ['GET', 'EIO=abc&transport=polling', 5, 'Unsupported protocol version'],
  ['GET', 'EIO=3&transport=polling', 5, 'Unsupported protocol version'],
  ['GET', 'EIO=04&transport=polling', 5, 'Unsupported protocol version'],
]) {
  test(`${method} ?${query} is refused with code ${code}`, async () => {
    const response = await get(query, { method, body: method === 'GET' ? undefined : '4x' });
    assert.equal(response.status, 400);
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.equal(await response.text(), JSON.stringify({ code, message }));
  });
}

for (const [query, message] of [
  ['EIO=4&transport=carrier', 'Transport unknown'],
  ['EIO=4&transport=websocket&sid=nobody', 'Session ID unknown'],
  ['EIO=3&transport=websocket', 'Unsupported protocol version'],
  ['EIO=abc&transport=websocket', 'Unsupported protocol version'],
  ['transport=websocket', 'Unsupported protocol version'],
  ['EIO=4&transport=polling', 'Bad request'],
]) {
  test(`a WebSocket to ?${query} is refused`, async () => {
    const wire = await Wire.connect(server.port);
    wire.request('GET', `${server.path}?${query}`, { headers: HANDSHAKE });
    const { status, text, headers } = await wire.response();
    assert.deepEqual([status, text, headers.connection], [400, message, 'close']);
    assert.equal((await wire.end()).length, 0);
    wire.close();
  });
}

for (const [name, query] of [
  ['percent encoding', 'EIO=%34&transport=%70olling'],
  ['the last of several', 'EIO=3&EIO=4&transport=carrier&transport=polling'],
  ['an empty sid', 'EIO=4&transport=polling&sid='],
  ['other parameters', 'a=b&EIO=4&c&transport=polling&t=abc123&b64=1&=&x=%2G'],
]) {
  test(`the query is read as the reference does: ${name}`, async () => {
    assert.equal((await get(query)).status, 200);
  });
}

// ---- Messages

test('payloads of several packets, text and binary, both ways', async () => {
  const session = await Polling.open(server);
  const packets = ['4one', '4', '4zwei€😀', 'bAQIDBA==', 'b', `4${'x'.repeat(5000)}`, '4last'];
  await session.post(...packets);
  assert.deepEqual(await session.packets(), packets);
});

test('a waiting poll gets what comes, at once and together', async () => {
  const session = await Polling.open(server);
  for (let round = 0; round < 5; round++) {
    const poll = session.packets();
    await session.post(`4a${round}`, `4b${round}`, 'bAQID');
    assert.deepEqual(await within(poll, 'poll'), [`4a${round}`, `4b${round}`, 'bAQID']);
  }
});

test('what is sent between polls waits, in order', async () => {
  const session = await Polling.open(server);
  for (let i = 0; i < 50; i++) await session.post(`4${i}`);
  assert.deepEqual(
    await session.packets(),
    Array.from({ length: 50 }, (_, i) => `4${i}`),
  );
});

test('binary of every size mod 3 comes back as base64', async () => {
  const session = await Polling.open(server);
  for (const size of [1, 2, 3, 4, 1000, 1001, 1002, 60_000]) {
    const packet = `b${randomBytes(size).toString('base64')}`;
    await session.post(packet);
    assert.deepEqual(await session.packets(), [packet]);
  }
});

test('base64 is taken as Node takes it', async () => {
  const session = await Polling.open(server);
  await session.post('b-_-_', 'bAQI', 'bA Q\r\nI!D');
  assert.deepEqual(await session.packets(), ['b+/+/', 'bAQI=', 'bAQID']);
});

test('text and binary over WebSocket', async () => {
  const socket = await Socket.session(server);
  for (const size of [0, 1, 125, 126, 65_534, 65_535, 65_536, MAX_PAYLOAD - 1]) {
    const message = `4${'x'.repeat(size)}`;
    const bytes = randomBytes(size);
    socket.send(message, bytes);
    assert.equal(await socket.next(), message);
    assert.deepEqual(await socket.next(), bytes);
  }
  socket.close();
});

test('base64 in a text frame is a binary message', async () => {
  const socket = await Socket.session(server);
  socket.send('bAQID');
  assert.deepEqual([...(await socket.next())], [1, 2, 3]);
  socket.close();
});

test('b64 asks for base64 over WebSocket', async () => {
  const socket = await Socket.session(server, '&b64=1');
  socket.send(Buffer.from([1, 2, 3]), '4text');
  assert.equal(await socket.next(), 'bAQID');
  assert.equal(await socket.next(), '4text');
  socket.close();
});

test('packets that mean nothing are ignored', async () => {
  const session = await Polling.open(server);
  await session.post('0{}', '5', '6', '3', '3probe', '4alive');
  assert.deepEqual(await session.packets(), ['4alive']);
  const socket = await Socket.session(server);
  socket.send('0{}', '5', '6', '3', '3probe', '4alive');
  assert.equal(await socket.next(), '4alive');
  socket.close();
});

test('the largest payload is welcome, one byte more is 413 and changes nothing', async () => {
  const session = await Polling.open(server);
  const packet = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
  await session.post(packet);
  assert.deepEqual(await session.packets(), [packet]);
  assert.deepEqual(await session.send(`${packet}x`), { status: 413, text: '' });
  await session.expectAlive();
  assert.deepEqual(await session.send(`4${'€'.repeat(Math.ceil(MAX_PAYLOAD / 3))}`), { status: 413, text: '' }); // bytes count
  await session.expectAlive();
});

test('the largest message over WebSocket is welcome, one byte more closes with 1009', async () => {
  const socket = await Socket.session(server);
  const packet = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
  socket.send(packet, Buffer.alloc(MAX_PAYLOAD));
  assert.equal(await socket.next(), packet);
  assert.equal((await socket.next()).length, MAX_PAYLOAD);
  socket.send(`${packet}x`);
  assert.equal(await socket.closed(), 1009);
});

// ---- What closes a session

for (const [name, body, delivered] of [
  ['an unknown type', 'abc', []],
  ['nothing', '', []],
  ['a separator alone', RS, []],
  ['a leading separator', `${RS}4x`, []],
  ['a separator at the end', `4x${RS}`, ['4x']],
  ['an empty packet in between', `4x${RS}${RS}4y`, ['4x']],
  ['a bad packet among good ones', `4x${RS}4y${RS}7${RS}4z`, ['4x', '4y']],
  ['a ping', '2', []],
  ['a probe', '2probe', []],
]) {
  test(`a payload of ${name} closes the session`, async () => {
    const session = await Polling.open(server);
    const poll = await session.hold();
    await session.send(body);
    const { status, text } = await poll.response();
    assert.equal(status, 200);
    assert.deepEqual(text.split(RS), delivered.length > 0 ? delivered : ['1']);
    await session.expectGone();
    poll.close();
  });
}

for (const packet of ['', 'abc', '7', '2', '2probe']) {
  test(`a WebSocket message '${packet}' closes the session`, async () => {
    const socket = await Socket.session(server);
    socket.send('4before', packet, '4behind');
    assert.equal(await socket.next(), '4before');
    assert.equal(await socket.closed(), 1005);
  });
}

test('application/octet-stream closes the session', async () => {
  const session = await Polling.open(server);
  assert.deepEqual(await session.send('4x', { 'content-type': 'application/octet-stream' }), { status: 400, text: '' });
  await session.expectGone();
});

test('other content types, or none, are text', async () => {
  const session = await Polling.open(server);
  for (const type of ['text/plain;charset=UTF-8', 'application/json', 'application/octet-stream; x=y'])
    assert.equal((await session.send('4x', { 'content-type': type })).status, 200);
  assert.deepEqual(await session.packets(), ['4x', '4x', '4x']);
});

test('other methods on a session are 500 and change nothing', async () => {
  const session = await Polling.open(server);
  for (const method of ['PUT', 'DELETE', 'PATCH']) {
    const response = await fetch(session.url, { method, body: '4x' });
    assert.deepEqual([response.status, await response.text()], [500, '']);
  }
  await session.expectAlive();
});

test('a second poll closes the session', async () => {
  const session = await Polling.open(server);
  const first = await session.hold();
  assert.deepEqual(await session.poll(), { status: 400, text: '' });
  const { status, text } = await first.response();
  assert.deepEqual([status, text], [200, '1']);
  await session.expectGone();
  first.close();
});

test('a cancelled poll closes the session', async () => {
  for (const cancel of ['close', 'reset']) {
    const session = await Polling.open(server);
    (await session.hold())[cancel]();
    assert.equal((await session.poll()).status, 400); // gone, or about to go
    await session.expectGone();
  }
});

test('a second post while one is coming in closes the session', async () => {
  const session = await Polling.open(server);
  const poll = await session.hold();
  const first = await Wire.connect(server.port);
  first.write(`POST ${session.target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4half`);
  await within(untilOverlap(session), 'overlap');
  assert.equal((await poll.response()).text.split(RS).at(-1), '1');
  assert.equal((await first.end()).length, 0); // closed without an answer
  await session.expectGone();
  poll.close();
  first.close();
});

// The head of the first post may not have been read yet: until then others are welcome.
async function untilOverlap(session) {
  for (;;) {
    const { status, text } = await session.send('6');
    if (status === 200) continue;
    assert.deepEqual({ status, text }, { status: 400, text: '' });
    return;
  }
}

test('a post that is broken off closes the session', async () => {
  for (const cancel of ['close', 'reset']) {
    const session = await Polling.open(server);
    const poll = await session.hold();
    const wire = await Wire.connect(server.port);
    wire.write(`POST ${session.target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`);
    assert.equal((await wire.response()).status, 100); // its head has been read
    wire.write('4half');
    wire[cancel]();
    assert.equal((await poll.response()).text, '1');
    await session.expectGone();
    poll.close();
  }
});

test('the close packet of a client releases its poll', async () => {
  const session = await Polling.open(server);
  const poll = await session.hold();
  await session.post('1', '4never');
  assert.equal((await poll.response()).text, '6');
  await session.expectGone();
  poll.close();
});

test('the close packet of a client without a poll', async () => {
  const session = await Polling.open(server);
  await session.post('4x', '1', '4never');
  await session.expectGone();
});

test('a client may close its WebSocket in every way', async () => {
  const socket = await Socket.session(server);
  socket.send('1');
  assert.equal(await socket.closed(), 1005);
  const polite = await Socket.session(server);
  polite.ws.close(1000, 'bye');
  assert.equal(await polite.closed(), 1000);
});

// ---- Heartbeat

test('pings come as long as they are answered, over polling', async () => {
  const session = await Polling.open(quick);
  for (let i = 0; i < 4; i++) {
    assert.deepEqual(await session.packets(), ['2']);
    await session.post('3');
  }
});

test('pings come as long as they are answered, over WebSocket', async () => {
  const socket = await Socket.session(quick);
  for (let i = 0; i < 4; i++) {
    assert.equal(await socket.next(), '2');
    socket.send('3');
  }
  socket.close();
});

test('silence closes the session, over polling', async () => {
  const session = await Polling.open(quick);
  assert.deepEqual(await session.packets(), ['2']);
  const { text } = await session.poll();
  assert.equal(text, '1');
  await session.expectGone();
});

test('silence closes the session, over WebSocket', async () => {
  const socket = await Socket.session(quick);
  assert.equal(await socket.next(), '2');
  assert.equal(await socket.closed(), 1005);
});

test('a session that nobody polls is closed', async () => {
  const session = await Polling.open(quick);
  const other = await Socket.session(quick); // opened later, so its end comes later
  assert.equal(await other.next(), '2');
  assert.equal(await other.closed(), 1005);
  await session.expectGone();
});

// ---- Upgrade

test('the upgrade: probe, the poll released, nothing lost or reordered', async () => {
  const session = await Polling.open(server);
  const got = [];
  const sent = Array.from({ length: 60 }, (_, i) => `4${i}`);
  let isPaused = false;
  await session.post(...sent.slice(0, 10));
  const polling = (async () => {
    while (!isPaused) got.push(...(await session.packets()));
  })();
  const socket = await Socket.open(server, session.sid);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  // Until the upgrade everything still goes by polling.
  for (let i = 10; i < 30; i += 5) await session.post(...sent.slice(i, i + 5));
  isPaused = true;
  await polling; // no poll waits for long now
  await session.post(...sent.slice(30, 40)); // the answers wait for the WebSocket
  socket.send('5', ...sent.slice(40));
  while (got.filter((packet) => packet !== '6').length < sent.length) got.push(await socket.next());
  assert.deepEqual(
    got.filter((packet) => packet !== '6'),
    sent,
  );
  await socket.expectAlive();
  socket.close();
});

test('a poll that comes after the probe is released too', async () => {
  const session = await Polling.open(server);
  const socket = await Socket.open(server, session.sid);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  assert.deepEqual(await session.packets(), ['6']);
  assert.deepEqual(await session.packets(), ['6']);
  socket.send('5', '4hello');
  assert.equal(await socket.next(), '4hello');
  socket.close();
});

test('many sessions upgrade with messages under way', async () => {
  const upgrade = async () => {
    const session = await Polling.open(server);
    const socket = await Socket.open(server, session.sid);
    const sent = Array.from({ length: 20 }, (_, i) => `4${session.sid}-${i}`);
    await session.post(...sent.slice(0, 10));
    socket.send('2probe');
    assert.equal(await socket.next(), '3probe');
    socket.send('5', ...sent.slice(10));
    for (const packet of sent) assert.equal(await socket.next(), packet);
    socket.close();
  };
  await Promise.all(Array.from({ length: 40 }, upgrade));
});

test('after the upgrade requests with the sid are refused and harm nothing', async () => {
  const session = await Polling.open(server);
  const socket = await Socket.open(server, session.sid);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  socket.send('5');
  await socket.expectAlive();
  for (const { status, text } of [await session.poll(), await session.send('4x')]) {
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(text), BAD_REQUEST);
  }
  const second = await Socket.open(server, session.sid);
  assert.equal(await second.closed(), 1005);
  await socket.expectAlive();
  socket.close();
});

test('a second WebSocket during the upgrade is closed, the first goes on', async () => {
  const session = await Polling.open(server);
  const socket = await Socket.open(server, session.sid);
  const second = await Socket.open(server, session.sid);
  assert.equal(await second.closed(), 1005);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  socket.send('5');
  await socket.expectAlive();
  socket.close();
});

for (const packet of ['4hello', '2', '3', '6', '7', '1', Buffer.from('x')]) {
  test(`'${packet}' instead of the upgrade closes the WebSocket, polling goes on`, async () => {
    const session = await Polling.open(server);
    const socket = await Socket.open(server, session.sid);
    socket.send('2probe', packet);
    assert.equal(await socket.next(), '3probe');
    assert.equal(await socket.closed(), 1005);
    await session.expectAlive();
    const again = await Socket.open(server, session.sid);
    again.send('2probe');
    assert.equal(await again.next(), '3probe');
    again.send('5');
    await again.expectAlive();
    again.close();
  });
}

test('a WebSocket that goes during the probe leaves polling as it was', async () => {
  const session = await Polling.open(server);
  const socket = await Socket.open(server, session.sid);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  socket.ws.close();
  assert.equal(await socket.closed(), 1005);
  await session.expectAlive();
});

test('an upgrade without a probe answers the waiting poll', async () => {
  const session = await Polling.open(server);
  const poll = await session.hold();
  const socket = await Socket.open(server, session.sid);
  socket.send('5', '4hi');
  assert.equal(await socket.next(), '4hi');
  assert.equal((await poll.response()).text, '1');
  socket.close();
  poll.close();
});

test('the session ends while it is probed', async () => {
  const session = await Polling.open(server);
  const socket = await Socket.open(server, session.sid);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  await session.post('1');
  assert.equal(await socket.closed(), 1005);
  await session.expectGone();
});

test('heartbeats go on after the upgrade', async () => {
  const session = await Polling.open(quick);
  const socket = await Socket.open(quick, session.sid);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  socket.send('5');
  assert.equal(await socket.next(), '2');
  socket.send('3');
  assert.equal(await socket.next(), '2');
  assert.equal(await socket.closed(), 1005);
});

test('a session that began on WebSocket knows no polling', async () => {
  const socket = await Socket.session(server);
  const response = await fetch(server.url + target(server, 'polling', socket.sid));
  assert.deepEqual([response.status, await response.json()], [400, BAD_REQUEST]);
  await socket.expectAlive();
  socket.close();
});
