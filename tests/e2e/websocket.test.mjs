// SPDX-License-Identifier: MIT
// WebSocket (RFC 6455) frame by frame: the handshake, fragments, control frames, and the code that
// each violation is closed with. The server echoes each Engine.IO message.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { rawSocket, startEngine, target } from './support/echo.mjs';
import { ACCEPT, closeFrame, frame, HANDSHAKE, OPCODE, text, Wire } from './support/wire.mjs';

const MAX_PAYLOAD = 1000;

let server;

before(async () => {
  server = await startEngine('--max-payload', `${MAX_PAYLOAD}`, '--ping-interval', '600000');
});

after(async () => {
  await server?.stop();
});

async function connected(t, query) {
  const { wire, sid } = await rawSocket(server, query);
  t.after(() => wire.close());
  wire.sid = sid;
  return wire;
}

async function expectAlive(wire) {
  wire.write(text('4alive?'));
  assert.equal(await wire.text(), '4alive?');
}

async function expectGone(sid) {
  const response = await fetch(server.url + target(server, 'polling', sid));
  assert.deepEqual([response.status, (await response.json()).code], [400, 1]);
}

// ---- Handshake

async function handshake(t, headers, method = 'GET', sid = undefined) {
  const wire = await Wire.connect(server.port);
  t.after(() => wire.close());
  const all = { ...HANDSHAKE, ...headers };
  for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name];
  wire.request(method, target(server, 'websocket', sid), { headers: all });
  return { wire, response: await wire.response() };
}

test('the handshake is answered as RFC 6455 says', async (t) => {
  const { wire, response } = await handshake(t, {});
  assert.equal(response.status, 101);
  assert.equal(response.headers.upgrade, 'websocket');
  assert.equal(response.headers.connection, 'Upgrade');
  assert.equal(response.headers['sec-websocket-accept'], ACCEPT);
  assert.equal(response.headers['sec-websocket-extensions'], undefined);
  assert.match(await wire.text(), /^0\{"sid":/);
});

for (const [name, headers] of [
  ['version 8', { 'Sec-WebSocket-Version': '8' }],
  ['letter case', { Connection: 'UPGRADE', Upgrade: 'WebSocket' }],
  ['other connection options', { Connection: 'keep-alive, Upgrade' }],
  ['extensions', { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }],
]) {
  test(`the handshake with ${name} is accepted`, async (t) => {
    const { wire, response } = await handshake(t, headers);
    assert.equal(response.status, 101);
    assert.equal(response.headers['sec-websocket-extensions'], undefined);
    assert.match(await wire.text(), /^0/);
    await expectAlive(wire);
  });
}

test('of the subprotocols the first is taken', async (t) => {
  const { response } = await handshake(t, { 'Sec-WebSocket-Protocol': 'foo, bar' });
  assert.equal(response.headers['sec-websocket-protocol'], 'foo');
});

for (const [name, headers, message] of [
  ['no key', { 'Sec-WebSocket-Key': undefined }, 'Missing or invalid Sec-WebSocket-Key header'],
  ['a short key', { 'Sec-WebSocket-Key': 'abcd' }, 'Missing or invalid Sec-WebSocket-Key header'],
  ['no version', { 'Sec-WebSocket-Version': undefined }, 'Missing or invalid Sec-WebSocket-Version header'],
  ['version 12', { 'Sec-WebSocket-Version': '12' }, 'Missing or invalid Sec-WebSocket-Version header'],
  ['another protocol', { Upgrade: 'h2c' }, 'Invalid Upgrade header'],
  ['no subprotocol', { 'Sec-WebSocket-Protocol': 'foo,,bar' }, 'Invalid Sec-WebSocket-Protocol header'],
]) {
  test(`the handshake with ${name} is refused`, async (t) => {
    const { wire, response } = await handshake(t, headers);
    assert.equal(response.status, 400);
    assert.equal(response.headers.connection, 'close');
    assert.equal(response.text, message);
    if (message.includes('Version')) assert.equal(response.headers['sec-websocket-version'], '13, 8');
    assert.equal((await wire.end()).length, 0);
  });
}

test('the handshake without the connection option is a plain request', async (t) => {
  const { response } = await handshake(t, { Connection: 'keep-alive' });
  assert.equal(response.status, 400);
  assert.deepEqual(JSON.parse(response.text), { code: 3, message: 'Bad request' });
});

test('frames may come with the handshake', async (t) => {
  const wire = await Wire.connect(server.port);
  t.after(() => wire.close());
  const lines = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}\r\n`);
  wire.write(`GET ${target(server, 'websocket')} HTTP/1.1\r\nHost: x\r\n${lines.join('')}\r\n`, text('4first'), text('4second'));
  assert.equal((await wire.response()).status, 101);
  assert.match(await wire.text(), /^0/);
  assert.equal(await wire.text(), '4first');
  assert.equal(await wire.text(), '4second');
});

// ---- Messages

test('a byte at a time', async (t) => {
  const wire = await connected(t);
  const bytes = Buffer.concat([text('4hello'), frame(OPCODE.PING, 'p'), text('4', { fin: false }), frame(OPCODE.CONTINUATION, 'world')]);
  for (const byte of bytes) wire.write([byte]);
  assert.equal(await wire.text(), '4hello');
  assert.equal((await wire.frame()).opcode, OPCODE.PONG);
  assert.equal(await wire.text(), '4world');
});

test('many frames at once, in order', async (t) => {
  const wire = await connected(t);
  const count = 2000;
  wire.write(...Array.from({ length: count }, (_, i) => text(`4${i}`)));
  for (let i = 0; i < count; i++) assert.equal(await wire.text(), `4${i}`);
});

test('fragments are joined, text and binary, empty ones included', async (t) => {
  const wire = await connected(t);
  wire.write(text('4a', { fin: false }), frame(OPCODE.CONTINUATION, '', { fin: false }), frame(OPCODE.CONTINUATION, 'b', { fin: false }), frame(OPCODE.CONTINUATION, ''));
  assert.equal(await wire.text(), '4ab');
  wire.write(frame(OPCODE.BINARY, '', { fin: false }), frame(OPCODE.CONTINUATION, [1, 2], { fin: false }), frame(OPCODE.CONTINUATION, [3]));
  const { opcode, fin, payload } = await wire.frame();
  assert.deepEqual([opcode, fin, ...payload], [OPCODE.BINARY, true, 1, 2, 3]);
});

test('UTF-8 may be cut anywhere between fragments', async (t) => {
  const wire = await connected(t);
  const bytes = Buffer.from('4€😀é');
  for (let cut = 1; cut < bytes.length; cut++) {
    wire.write(text(bytes.subarray(0, cut), { fin: false }), frame(OPCODE.CONTINUATION, bytes.subarray(cut)));
    assert.equal(await wire.text(), bytes.toString());
  }
});

test('control frames between fragments are answered at once', async (t) => {
  const wire = await connected(t);
  wire.write(text('4a', { fin: false }), frame(OPCODE.PING, 'one'));
  const pong = await wire.frame();
  assert.deepEqual([pong.opcode, pong.text], [OPCODE.PONG, 'one']);
  wire.write(frame(OPCODE.PONG, 'nobody asked'), frame(OPCODE.CONTINUATION, 'b', { fin: false }), frame(OPCODE.PING, ''));
  const empty = await wire.frame();
  assert.deepEqual([empty.opcode, empty.text], [OPCODE.PONG, '']);
  wire.write(frame(OPCODE.CONTINUATION, 'c'));
  assert.equal(await wire.text(), '4abc');
});

test('a ping of the largest size comes back as it is', async (t) => {
  const wire = await connected(t);
  const payload = randomBytes(125);
  wire.write(frame(OPCODE.PING, payload));
  assert.deepEqual((await wire.frame()).payload, payload);
});

test('a message of the largest size, whole and in fragments', async (t) => {
  const wire = await connected(t);
  const message = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
  wire.write(text(message), text(message.slice(0, 600), { fin: false }), frame(OPCODE.CONTINUATION, message.slice(600)));
  assert.equal(await wire.text(), message);
  assert.equal(await wire.text(), message);
});

// ---- Closing

for (const [code, reason] of [
  [undefined, ''],
  [1000, ''],
  [1000, 'bye'],
  [1001, 'going away'],
  [1007, 'ä'.repeat(61)],
  [3000, ''],
  [4999, 'mine'],
]) {
  test(`a close frame with ${code ?? 'no code'} '${reason}' comes back`, async (t) => {
    const wire = await connected(t);
    wire.write(closeFrame(code, reason), text('4never'));
    assert.deepEqual(await wire.closeFrame(), { code, reason });
    assert.equal((await wire.end()).length, 0);
    await expectGone(wire.sid);
  });
}

test('after its own close frame the server waits for the answer, and drops what comes before it', async (t) => {
  const wire = await connected(t);
  wire.write(text('1'));
  assert.deepEqual(await wire.closeFrame(), { code: undefined, reason: '' });
  wire.write(text('4never'), closeFrame());
  assert.equal((await wire.end()).length, 0);
  await expectGone(wire.sid);
});

test('a connection that ends without a close frame ends the session', async () => {
  for (const end of ['close', 'reset']) {
    const { wire, sid } = await rawSocket(server);
    wire[end]();
    // Until its end has been read the session is there, on another transport.
    for (;;) {
      const response = await fetch(server.url + target(server, 'polling', sid));
      assert.equal(response.status, 400);
      if ((await response.json()).code === 1) break;
    }
  }
});

const long = 'x'.repeat(126);
for (const [name, code, ...frames] of [
  ['an unmasked frame', 1002, text('4a', { masked: false })],
  ['reserved bit 1', 1002, text('4a', { rsv: 4 })],
  ['reserved bit 2', 1002, text('4a', { rsv: 2 })],
  ['reserved bit 3', 1002, text('4a', { rsv: 1 })],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, 1002, frame(opcode, '')]),
  ['a continuation of nothing', 1002, frame(OPCODE.CONTINUATION, 'x')],
  ['a continuation of what is whole', 1002, text('4a'), frame(OPCODE.CONTINUATION, 'x')],
  ['a message inside another', 1002, text('4a', { fin: false }), text('4b')],
  ['a fragmented ping', 1002, frame(OPCODE.PING, 'x', { fin: false })],
  ['a fragmented close', 1002, frame(OPCODE.CLOSE, '', { fin: false })],
  ['a ping that is too long', 1002, frame(OPCODE.PING, long)],
  ['a pong that is too long', 1002, frame(OPCODE.PONG, long)],
  ['a close that is too long', 1002, closeFrame(1000, long)],
  ['a close of one byte', 1002, frame(OPCODE.CLOSE, 'x')],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535].map((bad) => [`close code ${bad}`, 1002, closeFrame(bad)]),
  ['a close reason that is no UTF-8', 1007, closeFrame(1000, [0xc3])],
  ['text that is no UTF-8', 1007, text([0x34, 0xff])],
  ['text with an overlong form', 1007, text([0x34, 0xc0, 0xaf])],
  ['text with a surrogate', 1007, text([0x34, 0xed, 0xa0, 0x80])],
  ['text that ends in the middle of a character', 1007, text([0x34, 0xe2, 0x82])],
  ['fragments that are no UTF-8', 1007, text([0x34, 0xe2], { fin: false }), frame(OPCODE.CONTINUATION, [0x41])],
  ['a message that is too large', 1009, text(`4${'x'.repeat(MAX_PAYLOAD)}`)],
  ['a binary message that is too large', 1009, frame(OPCODE.BINARY, Buffer.alloc(MAX_PAYLOAD + 1))],
  ['a message that says to be too large', 1009, text('4', { size: MAX_PAYLOAD + 1 })],
  ['a message of 2^53 bytes', 1009, text('4', { size: 2 ** 53 })],
  ['fragments that are too large together', 1009, text(`4${'x'.repeat(600)}`, { fin: false }), frame(OPCODE.CONTINUATION, 'x'.repeat(400))],
]) {
  test(`${name} is closed with ${code}`, async (t) => {
    const wire = await connected(t);
    const bystander = await connected(t);
    wire.write(text('4before'), ...frames);
    const messages = [];
    let last = await wire.frame();
    for (; last.opcode === OPCODE.TEXT; last = await wire.frame()) messages.push(last.text);
    assert.deepEqual(messages, name.startsWith('a continuation of what') ? ['4before', '4a'] : ['4before']);
    assert.equal(last.opcode, OPCODE.CLOSE);
    assert.equal(last.payload.readUInt16BE(0), code);
    assert.equal((await wire.end()).length, 0); // the server does not wait for an answer
    await expectGone(wire.sid);
    await expectAlive(bystander);
  });
}
