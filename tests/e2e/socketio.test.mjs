// SPDX-License-Identifier: MIT
// Socket.IO 5 by hand, from the protocol's text, over polling and over WebSocket: namespaces,
// CONNECT, events, acknowledgements, attachments, malformed packets, the connect timeout; and what
// the official client makes of each way to end. The server has the namespaces / and /custom; it
// answers `message` with `message-back`, and acknowledges `message-with-ack`.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { client, connected as clientConnected } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { Polling, RS, Socket, startSocketServer, UNKNOWN_SID } from './support/echo.mjs';

let server; // whose timeouts do not matter
let quick;

before(async () => {
  server = await startSocketServer('--max-payload', '100000', '--ping-interval', '600000');
  quick = await startSocketServer('--ping-interval', '200', '--ping-timeout', '20000', '--connect-timeout', '2000');
});

after(async () => {
  await server?.stop();
  await quick?.stop();
});

// ---- One kind of connection over either transport: Socket.IO packets as strings, attachments as
// Buffers; pings are answered.

class WebSocketLink {
  static async open(to) {
    const link = new WebSocketLink();
    link.socket = await Socket.session(to);
    link.sid = link.socket.sid;
    return link;
  }

  async send(...items) {
    this.socket.send(...items.map((item) => (typeof item === 'string' ? `4${item}` : item)));
  }

  async next() {
    for (;;) {
      const packet = await this.socket.next();
      if (packet === '2') this.socket.send('3');
      else return typeof packet === 'string' ? message(packet) : packet;
    }
  }

  async closed() {
    for (;;) {
      const { packet, code } = await this.socket.item('close');
      if (packet === '2') this.socket.send('3');
      else return assert.deepEqual({ packet, code }, { packet: undefined, code: 1005 });
    }
  }

  close() {
    this.socket.close();
  }
}

class PollingLink {
  static async open(to) {
    const link = new PollingLink();
    link.session = await Polling.open(to);
    link.sid = link.session.sid;
    link.queue = [];
    link.isGone = false;
    return link;
  }

  /** All in one payload. */
  async send(...items) {
    const packets = items.map((item) => (typeof item === 'string' ? `4${item}` : `b${item.toString('base64')}`));
    await this.session.post(...packets);
  }

  async next() {
    while (this.queue.length === 0) {
      assert.ok(!this.isGone, 'gone instead of a packet');
      await this.poll();
    }
    return this.queue.shift();
  }

  async closed() {
    while (!this.isGone) await this.poll();
    assert.deepEqual(this.queue, []);
  }

  async poll() {
    const { status, text } = await this.session.poll();
    this.isGone = status === 400;
    if (this.isGone) return assert.deepEqual(JSON.parse(text), UNKNOWN_SID);
    assert.equal(status, 200);
    for (const packet of text.split(RS)) {
      if (packet === '2') await this.session.send('3'); // it may be gone by now
      else if (packet !== '6' && packet !== '1') this.queue.push(packet[0] === 'b' ? Buffer.from(packet.slice(1), 'base64') : message(packet));
    }
  }

  close() {}
}

function message(packet) {
  assert.equal(packet[0], '4', packet);
  return packet.slice(1);
}

const LINKS = { polling: PollingLink, websocket: WebSocketLink };

/** A test over each transport. */
function each(name, run) {
  for (const [transport, Link] of Object.entries(LINKS)) {
    test(`${name}, over ${transport}`, async (t) => {
      const links = [];
      const open = async (to = server) => {
        const link = await Link.open(to);
        links.push(link);
        return link;
      };
      t.after(() => links.forEach((link) => link.close()));
      await run(open, t);
    });
  }
}

/** Sends a CONNECT and takes its answers; gives the socket's id. */
async function join(link, nsp = '/', auth = undefined) {
  const prefix = nsp === '/' ? '' : `${nsp},`;
  await link.send(`0${prefix}${auth ? JSON.stringify(auth) : ''}`);
  const answer = await link.next();
  assert.ok(answer.startsWith(`0${prefix}{`), answer);
  const { sid, ...rest } = JSON.parse(answer.slice(1 + prefix.length));
  assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
  assert.deepEqual(rest, {});
  assert.equal(await link.next(), `2${prefix}["auth",${JSON.stringify(auth ?? {})}]`);
  return sid;
}

async function connected(open, to = server) {
  const link = await open(to);
  await join(link);
  return link;
}

async function expectAlive(link, nsp = '/') {
  const prefix = nsp === '/' ? '' : `${nsp},`;
  await link.send(`2${prefix}["message","alive?"]`);
  assert.equal(await link.next(), `2${prefix}["message-back","alive?"]`);
}

async function expectItems(link, ...items) {
  for (const item of items) assert.deepEqual(await link.next(), item);
}

const slot = (num) => `{"_placeholder":true,"num":${num}}`;

// ---- Namespaces

each('CONNECT to the main namespace', async (open) => {
  const link = await open();
  const sid = await join(link);
  assert.notEqual(sid, link.sid);
  await expectAlive(link);
});

each('CONNECT with a payload', async (open) => {
  await join(await open(), '/', { token: '123', nested: { a: [1, null, true, 'ä€😀'] } });
  await join(await open(), '/custom', { token: '456' });
  await join(await open(), '/', { pid: 'unknown', offset: 'unknown' }); // of a recovery that is none
});

each('namespaces share a connection', async (open) => {
  const link = await open();
  const ids = [await join(link), await join(link, '/custom', { abc: 'def' })];
  assert.equal(new Set([...ids, link.sid]).size, 3);
  await link.send('2["message","a"]', '2/custom,["message","b"]', '2["message","c"]', '2/custom,7["message-with-ack","d"]');
  await expectItems(link, '2["message-back","a"]', '2/custom,["message-back","b"]', '2["message-back","c"]', '3/custom,7["d"]');
});

each('a namespace alone, without the main one', async (open) => {
  const link = await open();
  await join(link, '/custom');
  await expectAlive(link, '/custom');
  await link.send('2["message","not here"]');
  await link.closed();
});

each('CONNECT without the comma', async (open) => {
  const link = await open();
  await link.send('0/custom');
  assert.match(await link.next(), /^0\/custom,\{"sid":/);
});

each('an unknown namespace is refused and harms nothing', async (open) => {
  const link = await open();
  for (const nsp of ['/unknown', '/custom?x=y', '/Custom', '/custom/', '/a"b\\ä']) {
    await link.send(`0${nsp},`);
    assert.equal(await link.next(), `4${nsp},{"message":"Invalid namespace"}`);
  }
  await join(link);
  await link.send('0/unknown,{"token":1}');
  assert.equal(await link.next(), '4/unknown,{"message":"Invalid namespace"}');
  await expectAlive(link);
});

each('DISCONNECT leaves one namespace and not the other', async (open) => {
  const link = await open();
  await join(link);
  await join(link, '/custom');
  await link.send('1/custom,');
  await expectAlive(link);
  const again = await join(link, '/custom');
  assert.match(again, /^.{20}$/);
  await link.send('1');
  await expectAlive(link, '/custom');
  await join(link);
  await expectAlive(link);
});

each('DISCONNECT and CONNECT in one payload', async (open) => {
  const link = await connected(open);
  await link.send('1', '0');
  assert.match(await link.next(), /^0\{"sid":/);
  assert.equal(await link.next(), '2["auth",{}]');
  await expectAlive(link);
});

each('CONNECT and events in one payload', async (open) => {
  const link = await open();
  await link.send('0', '2["message",1]', '0/custom,', '51-/custom,["message",' + slot(0) + ']', Buffer.from([1]));
  assert.match(await link.next(), /^0\{"sid":/);
  await expectItems(link, '2["auth",{}]', '2["message-back",1]');
  assert.match(await link.next(), /^0\/custom,\{"sid":/);
  await expectItems(link, '2/custom,["auth",{}]', `51-/custom,["message-back",${slot(0)}]`, Buffer.from([1]));
});

// ---- Events and acknowledgements

each('events carry any JSON', async (open) => {
  const link = await connected(open);
  for (const args of [
    '',
    ',1',
    ',null,true,false,-1,0.5,1e+21,""',
    ',{"a":{"b":[[],{}]}},[]',
    ',"\\"\\\\/\\b\\f\\n\\r\\t"',
    ',"ä€😀"',
    ',{"_placeholder":true,"num":0}',
    `,"${'x'.repeat(50_000)}"`,
  ]) {
    await link.send(`2["message"${args}]`);
    assert.equal(await link.next(), `2["message-back"${args}]`);
  }
});

each('whitespace is JSON\'s own', async (open) => {
  const link = await connected(open);
  await link.send('2 [ "message" , { "a" : 1 } ] ');
  assert.equal(await link.next(), '2["message-back",{"a":1}]');
});

each('acknowledgements have the id that was asked for', async (open) => {
  const link = await connected(open);
  for (const [id, args, answer] of [
    ['0', '', '[]'],
    ['456', ',1,"2",{"3":[false]}', '[1,"2",{"3":[false]}]'],
    ['9007199254740991', ',1', '[1]'],
  ]) {
    await link.send(`2${id}["message-with-ack"${args}]`);
    assert.equal(await link.next(), `3${id}${answer}`);
  }
  await link.send('2007["message-with-ack"]');
  assert.equal(await link.next(), '37[]');
});

each('what is not acknowledged is not answered', async (open) => {
  const link = await connected(open);
  await link.send('2["message-with-ack",1]', '25["nobody-listens"]', '2["message",2]');
  assert.equal(await link.next(), '2["message-back",2]');
});

each('an acknowledgement that nobody waits for means nothing', async (open) => {
  const link = await connected(open);
  await link.send('31[]', '3999["x"]', '3', '31', `61-7[${slot(0)}]`, Buffer.from([1]), '61-', Buffer.from([1]));
  await expectAlive(link);
});

each('an event without a name means nothing', async (open) => {
  const link = await connected(open);
  await link.send('2', '212', '51-', Buffer.from([1]), '2[7]', '2["error","x"]');
  await expectAlive(link);
});

each('many events, in order', async (open) => {
  const link = await connected(open);
  const count = 500;
  const events = Array.from({ length: count }, (_, i) => `2${i}["message-with-ack",${i}]`);
  for (let i = 0; i < count; i += 100) await link.send(...events.slice(i, i + 100));
  for (let i = 0; i < count; i++) assert.equal(await link.next(), `3${i}[${i}]`);
});

// ---- Attachments

each('attachments', async (open) => {
  const link = await connected(open);
  await link.send(`52-["message",${slot(0)},{"a":[{"b":${slot(1)}}]}]`, Buffer.from([1, 2, 3]), Buffer.from([4]));
  await expectItems(link, `52-["message-back",${slot(0)},{"a":[{"b":${slot(1)}}]}]`, Buffer.from([1, 2, 3]), Buffer.from([4]));
});

each('attachments of an acknowledgement', async (open) => {
  const link = await open();
  await join(link);
  await join(link, '/custom');
  await link.send(`52-789["message-with-ack",${slot(0)},"text",${slot(1)}]`, Buffer.from([1]), Buffer.from([2]));
  await expectItems(link, `62-789[${slot(0)},"text",${slot(1)}]`, Buffer.from([1]), Buffer.from([2]));
  await link.send(`51-/custom,1["message-with-ack",${slot(0)}]`, Buffer.from([3]));
  await expectItems(link, `61-/custom,1[${slot(0)}]`, Buffer.from([3]));
});

each('attachments may stand in any order', async (open) => {
  const link = await connected(open);
  const bytes = [Buffer.from([1]), Buffer.from([2, 2])];
  await link.send(`52-["message",${slot(1)},${slot(0)}]`, ...bytes);
  const args = JSON.parse((await link.next()).replace(/^52-/, '')).slice(1);
  const got = [await link.next(), await link.next()];
  assert.deepEqual(
    args.map(({ num }) => got[num]),
    bytes.reverse(),
  );
});

each('one attachment twice', async (open) => {
  const link = await connected(open);
  await link.send(`51-["message",${slot(0)},${slot(0)}]`, Buffer.from([7]));
  const [, count, json] = /^5(\d+)-(.*)$/.exec(await link.next());
  const got = [];
  for (let i = 0; i < Number(count); i++) got.push(await link.next());
  for (const { num } of JSON.parse(json).slice(1)) assert.deepEqual(got[num], Buffer.from([7]));
});

each('an empty attachment, and a large one', async (open) => {
  const link = await connected(open);
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(60_000, 'z')]) {
    await link.send(`51-["message",${slot(0)}]`, bytes);
    await expectItems(link, `51-["message-back",${slot(0)}]`, bytes);
  }
});

each('ten attachments are as many as there may be', async (open) => {
  const link = await connected(open);
  const slots = Array.from({ length: 10 }, (_, i) => slot(i)).join();
  const attachments = Array.from({ length: 10 }, (_, i) => Buffer.from([i]));
  await link.send(`510-["message",${slots}]`, ...attachments);
  await expectItems(link, `510-["message-back",${slots}]`, ...attachments);
  await link.send(`511-["message",${slots},${slot(10)}]`);
  await link.closed();
});

test('heartbeats may come between a packet and its attachments', async () => {
  const link = await WebSocketLink.open(server);
  await join(link);
  link.socket.send(`451-["message",${slot(0)}]`, '3', '6', Buffer.from([1]));
  await expectItems(link, `51-["message-back",${slot(0)}]`, Buffer.from([1]));
  link.close();
});

// ---- What closes the connection

const MALFORMED = [
  ['no packet', ''],
  ['an unknown type', '7'],
  ['a letter', 'abc'],
  ['JSON that ends too soon', '2["message",1'],
  ['JSON that goes on', '2["message",1]]'],
  ['an object as event', '2{}'],
  ['null as event', '2null'],
  ['a string as event', '2"message"'],
  ['an event of nothing', '2[]'],
  ['an event named null', '2[null]'],
  ['an event named by an attachment', `51-[${slot(0)}]`, Buffer.from([1])],
  ['a reserved name: connect', '2["connect"]'],
  ['a reserved name: connect_error', '2["connect_error"]'],
  ['a reserved name: disconnect', '2["disconnect"]'],
  ['a reserved name: disconnecting', '2["disconnecting"]'],
  ['a reserved name: newListener', '2["newListener"]'],
  ['a reserved name: removeListener', '2["removeListener"]'],
  ['a fractional id', '212.5["message-with-ack"]'],
  ['a negative id', '2-1["message-with-ack"]'],
  ['an id that is none', '2abc["message-with-ack"]'],
  ['an object as acknowledgement', '31{}'],
  ['a payload of DISCONNECT', '1[]'],
  ['an object with DISCONNECT', '1{}'],
  ['CONNECT_ERROR', '4{"message":"x"}'],
  ['CONNECT twice', '0'],
  ['an event for a namespace that was not joined', '2/custom,["message",1]'],
  ['an acknowledgement for a namespace that was not joined', '3/custom,1[]'],
  ['DISCONNECT of a namespace that was not joined', '1/custom,'],
  ['an event for an unknown namespace', '2/unknown,["message",1]'],
  ['a namespace that does not end', '2/["message",1]'],
  ['no number of attachments', '5["message"]'],
  ['an empty number of attachments', '5-["message"]'],
  ['no dash behind the number', '51["message",1]'],
  ['a number that is none', '5a-["message"]'],
  ['a fractional number', '51.5-["message",1]'],
  ['no attachment at all', '50-["message",1]'],
  ['a placeholder too high', `51-["message",${slot(1)}]`, Buffer.from([1])],
  ['a placeholder too low', `51-["message",${slot(-1)}]`, Buffer.from([1])],
  ['a placeholder without a number', '51-["message",{"_placeholder":true}]', Buffer.from([1])],
  ['text instead of an attachment', `51-["message",${slot(0)}]`, '2["message",1]'],
  ['an attachment of nothing', Buffer.from([1])],
];

for (const [name, ...items] of MALFORMED) {
  each(`malformed: ${name}`, async (open) => {
    const bystander = await connected(open);
    const link = await connected(open);
    await link.send(...items);
    await link.closed();
    await expectAlive(bystander);
  });
}

for (const [name, ...items] of [
  ['null', '0null'],
  ['an array', '0[]'],
  ['a string', '0"s"'],
  ['half an object', '0{'],
  ['a namespace without its slash', '0custom,'],
  ['an event', '2["message",1]'],
  ['DISCONNECT', '1'],
  ['an acknowledgement', '30[]'],
  ['CONNECT_ERROR', '4{"message":"x"}'],
  ['an attachment', Buffer.from([1])],
  ['a refused namespace and an event for it', '0/unknown,', '2/unknown,["message",1]'],
]) {
  each(`malformed as first packet: ${name}`, async (open) => {
    const link = await open();
    await link.send(...items);
    if (items.length > 1) assert.match(await link.next(), /^4\/unknown,/);
    await link.closed();
  });
}

each('malformed: an event for a namespace that was left', async (open) => {
  const link = await connected(open);
  await link.send('1');
  await link.send('2["message",1]');
  await link.closed();
});

each('what came before the malformed packet is answered', async (open) => {
  const link = await connected(open);
  await link.send('2["message","before"]', '2{}', '2["message","never"]');
  assert.equal(await link.next(), '2["message-back","before"]');
  await link.closed();
});

// ---- Connect timeout

each('a connection that joins nothing is closed', async (open) => {
  await (await open(quick)).closed();
});

each('a refused namespace is not a joined one', async (open) => {
  const link = await open(quick);
  await link.send('0/unknown,');
  assert.equal(await link.next(), '4/unknown,{"message":"Invalid namespace"}');
  await link.closed();
});

each('whoever has joined may leave and stay', async (open) => {
  const link = await connected(open, quick);
  await link.send('1');
  await (await open(quick)).closed(); // its time begins later
  await join(link);
  await expectAlive(link);
});

// ---- What the official client says of each end

async function official(to, transport) {
  return clientConnected(to.url, { transports: [transport] }, '/');
}

for (const transport of ['polling', 'websocket']) {
  test(`reasons of the official client over ${transport}`, async () => {
    const closing = transport === 'polling' ? /^transport (close|error)$/ : /^transport close$/;
    for (const [harm, reason] of [
      [(socket) => socket.io.engine.write('2{}'), closing],
      [(socket) => socket.io.engine.write('7'), closing],
      [(socket) => socket.emit('message', 'x'.repeat(200_000)), transport === 'polling' ? /^transport error$/ : closing],
      [(socket) => socket.disconnect(), /^io client disconnect$/],
    ]) {
      const socket = await official(server, transport);
      const over = next(socket, 'disconnect');
      harm(socket);
      assert.match((await over)[0], reason, String(harm));
    }
  });

  test(`the official client misses a server that has stopped, over ${transport}`, async () => {
    const own = await startSocketServer('--ping-interval', '200', '--ping-timeout', '3000');
    const socket = await official(own, transport);
    const over = next(socket, 'disconnect');
    await own.freeze();
    assert.match((await over)[0], /^ping timeout$/);
    own.thaw();
    await own.stop();
  });

  test(`the official client misses a server that was killed, over ${transport}`, async () => {
    const own = await startSocketServer();
    const socket = await official(own, transport);
    const over = next(socket, 'disconnect');
    await own.stop('SIGKILL');
    assert.match((await over)[0], transport === 'polling' ? /^transport error$/ : /^transport close$/);
  });

  test(`disconnect and connect at once keep the other namespace, over ${transport}`, async () => {
    const socket = await official(server, transport);
    const other = socket.io.socket('/custom');
    await next(other, 'connect');
    const back = next(socket, 'connect');
    socket.disconnect();
    socket.connect();
    await back;
    const answer = next(other, 'message-back');
    other.emit('message', 'still here');
    assert.deepEqual(await answer, ['still here']);
    other.disconnect();
    socket.disconnect();
  });

  test(`an unknown namespace is a connect_error, over ${transport}`, async () => {
    const socket = client(server.url, { transports: [transport] }, '/nowhere');
    const [error] = await next(socket, 'connect_error');
    assert.equal(error.message, 'Invalid namespace');
    socket.disconnect();
  });
}

test('one payload may carry what several packets need', async () => {
  const session = await Polling.open(server);
  await session.send(['40', `452-["message",${slot(0)},${slot(1)}]`, 'bAQ==', 'bAg=='].join(RS));
  const packets = await session.packets();
  assert.match(packets[0], /^40\{"sid":/);
  assert.deepEqual(packets.slice(1), ['42["auth",{}]', `452-["message-back",${slot(0)},${slot(1)}]`, 'bAQ==', 'bAg==']);
});
