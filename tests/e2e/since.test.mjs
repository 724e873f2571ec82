// SPDX-License-Identifier: MIT
// join_session with `since`: what the client missed follows `joined`, on the gateway where it was or
// on another, and what cannot be proven complete is told by a gap before it.

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { ask, connected, joined, settled } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { emitted, startAll, startGateway, startService, stopAll } from './support/program.mjs';
import { Proxy } from '../system/support/proxy.mjs';

let bus, gateway, service;

before(async () => ({ bus, gateway, service } = await startAll()));

after(() => stopAll({ bus, gateway, service }));

/** Has a service emit a step, and gives its event id. */
function step(session, n, by = service) {
  return emitted(by, `emit ${session} step ${n}`);
}

/** Joins with `since`; gives the socket once event `n` has come. */
async function joinedSince(url, session, since, n) {
  const socket = await connected(url, { transports: ['websocket'] });
  const last = n && next(socket, 'step', (data) => data.n === n);
  socket.joined = await ask(socket, 'join_session', { session_id: session, since });
  await last;
  await settled(socket);
  return socket;
}

/** A gateway's origin on the bus. */
async function gatewayOrigin() {
  return (await readdir(bus.path)).find((name) => /^gw00.*\.pub$/.test(name)).split('.')[0];
}

const kinds = (socket) =>
  socket.log.filter(([type]) => type !== 'pong').map(([type, data]) => (type === 'step' ? data.n : type));

test('on the gateway where it was, the missed events follow joined', async () => {
  const witness = await joined(gateway.url, 'here');
  const since = await step('here', 1);
  await step('here', 2);
  const arrived = next(witness, 'step', (data) => data.n === 3);
  const newest = await step('here', 3);
  await arrived;
  const socket = await joinedSince(gateway.url, 'here', since, 3);
  assert.deepEqual(kinds(socket), ['session-connected', 'joined', 2, 3]);
  assert.equal(socket.joined.offset, newest);
  const both = Promise.all([next(socket, 'step'), next(witness, 'step')]);
  await step('here', 4);
  await both;
  assert.deepEqual(kinds(socket).slice(4), [4]);
  socket.disconnect();
  witness.disconnect();
});

test('who has everything gets nothing', async () => {
  const witness = await joined(gateway.url, 'all');
  const arrived = next(witness, 'step');
  const since = await step('all', 1);
  await arrived;
  const socket = await joinedSince(gateway.url, 'all', since);
  assert.deepEqual(kinds(socket), ['session-connected', 'joined']);
  socket.disconnect();
  witness.disconnect();
});

test('on a gateway that was not there, the broadcaster has them', async () => {
  const since = await step('there', 1);
  await step('there', 2);
  await step('there', 3);
  const socket = await joinedSince(gateway.url, 'there', since, 3);
  assert.deepEqual(kinds(socket), ['session-connected', 'joined', 2, 3]);
  const four = next(socket, 'step');
  await step('there', 4);
  await four;
  assert.deepEqual(kinds(socket).slice(4), [4]);
  socket.disconnect();
});

test('while events flow, every one comes once and in order', async () => {
  const since = await step('flow', 0);
  const from = service.lines.length;
  service.write('flood flow 900 1000\n');
  const sockets = await Promise.all(Array.from({ length: 10 }, () => connected(gateway.url, { transports: ['websocket'] })));
  await Promise.all(sockets.map((socket) => ask(socket, 'join_session', { session_id: 'flow', since })));
  await service.line(/^flooded/, from);
  const ends = Promise.all(sockets.map((socket) => next(socket, 'step')));
  await step('flow', 1);
  await ends;
  for (const socket of sockets) {
    const ticks = socket.log.filter(([type]) => type === 'tick').map(([, data]) => data.n);
    assert.deepEqual(ticks, Array.from({ length: 900 }, (_, i) => i + 1));
    assert.ok(!kinds(socket).includes('gap'));
    socket.disconnect();
  }
});

test('with a second broadcaster, nothing can be proven', async (t) => {
  const other = startService(bus);
  t.after(() => other.stop());
  await other.line(/^ready/);
  const witness = await joined(gateway.url, 'two');
  // One after the other: those of two broadcasters may overtake each other.
  const first = next(witness, 'step', (data) => data.n === 1);
  await step('two', 1, other);
  await first;
  const second = next(witness, 'step', (data) => data.n === 2);
  const since = await step('two', 2);
  await second;
  const third = next(witness, 'step', (data) => data.n === 3);
  await step('two', 3, other);
  await third;
  const socket = await joinedSince(gateway.url, 'two', since, 3);
  assert.deepEqual(kinds(socket), ['session-connected', 'joined', 'gap', 3]);
  const gap = socket.log.find(([type]) => type === 'gap')[1];
  assert.deepEqual(gap, { session_id: 'two', after: '', first: '', reason: 'history' });
  socket.disconnect();
  witness.disconnect();
});

test('with a second broadcaster that had sent before anybody was there, neither', async (t) => {
  const other = startService(bus);
  t.after(() => other.stop());
  await other.line(/^ready/);
  await step('late', 1, other);
  const witness = await joined(gateway.url, 'late');
  const third = next(witness, 'step', (data) => data.n === 3);
  const since = await step('late', 2);
  await step('late', 3);
  await third;
  const socket = await joinedSince(gateway.url, 'late', since, 3);
  assert.deepEqual(kinds(socket), ['session-connected', 'joined', 'gap', 3]);
  assert.deepEqual(socket.log.find(([type]) => type === 'gap')[1], { session_id: 'late', after: '', first: '', reason: 'history' });
  socket.disconnect();
  witness.disconnect();
});

test('of an event that nobody knows, nothing is proven of the others', async () => {
  const witness = await joined(gateway.url, 'unknown');
  const first = next(witness, 'step');
  await step('unknown', 1);
  await first;
  const socket = await joinedSince(gateway.url, 'unknown', 'abcdefghijkl.5');
  const gaps = socket.log.filter(([type]) => type === 'gap').map(([, data]) => data.after);
  assert.deepEqual(gaps, ['', 'abcdefghijkl.5']);
  socket.disconnect();
  witness.disconnect();
});

test('what cannot be an event id is refused, and said again to nobody', async () => {
  const socket = await connected(gateway.url, { transports: ['polling'] });
  for (const since of ['"', '\\', 'a\u001e1', 'a.1\u0000', 'A.1', 'a'.repeat(40), 7, 'nonsense', 'x.', 'abcdefgh.', 'abcdefgh.01', 'abcdefgh.1.2', 'short.1', 'abcdefgh.99999999999999999999']) {
    const answer = await ask(socket, 'join_session', { session_id: 'none', since });
    assert.equal(answer.error.code, 'invalid_payload', JSON.stringify(since));
  }
  assert.ok(socket.connected);
  socket.disconnect();
});

test('what is no event of anybody is a gap', async () => {
  await step('none', 1);
  for (const since of ['abcdefghijkl.5', 'abcdefgh.0']) {
    const socket = await joinedSince(gateway.url, 'none', since);
    assert.ok(kinds(socket).includes('gap'), since);
    assert.equal(socket.joined.active_clients, 1);
    socket.disconnect();
  }
});

// The history is asked for at the broadcaster's own port, while its stream is held up in a proxy.
test('what the stream brings later is not given before it', async (t) => {
  const proxy = await Proxy.start();
  const { port } = await Proxy.start().then(async (free) => (await free.stop(), free));
  proxy.target = port;
  const slow = startService({ env: { TALUS_BUS: `tcp://127.0.0.1:${port}` } });
  const second = await startGateway(bus, ['--bus', `tcp://127.0.0.1:${proxy.port}`, '--bus', bus.endpoint]);
  t.after(async () => {
    await second.stop();
    await slow.stop();
    await proxy.stop();
  });
  const [, origin] = await slow.line(/^ready (.*)/);
  const witness = await joined(second.url, 'behind');
  const first = next(witness, 'step');
  await step('behind', 1, slow);
  await first;
  proxy.delay = 60_000;
  await step('behind', 2, slow);
  const socket = await joinedSince(second.url, 'behind', `${origin}.0`);
  assert.deepEqual(kinds(socket), ['session-connected', 'joined', 'gap']);
  const { after, first: end } = socket.log.find(([type]) => type === 'gap')[1];
  assert.deepEqual([after, end], [`${origin}.0`, '']);
  const arrived = Promise.all([witness, socket].map((each) => next(each, 'step', (data) => data.n === 3)));
  proxy.delay = 0;
  proxy.cut();
  await step('behind', 3, slow);
  await arrived;
  assert.deepEqual(kinds(socket).slice(3), [2, 3]);
  socket.disconnect();
  witness.disconnect();
});

test('an event that this gateway sent itself proves nothing of others', async () => {
  const witness = await joined(gateway.url, 'own');
  const arrived = next(witness, 'step');
  await step('own', 1);
  await arrived;
  const socket = await joinedSince(gateway.url, 'own', `${await gatewayOrigin()}.1`);
  assert.deepEqual(kinds(socket), ['session-connected', 'joined', 'gap']);
  assert.equal(socket.log.find(([type]) => type === 'gap')[1].after, '');
  socket.disconnect();
  witness.disconnect();
});

test('a since that is no text is refused', async () => {
  const socket = await connected(gateway.url);
  for (const since of [5, {}, ['a'], 'x'.repeat(100)]) {
    const { error } = await ask(socket, 'join_session', { session_id: 'bad', since });
    assert.equal(error.code, 'invalid_payload');
  }
  assert.equal((await ask(socket, 'join_session', { session_id: 'good', since: null })).active_clients, 1);
  socket.disconnect();
});

test('a client that moves between two living gateways misses nothing, and is told of no gap', async (t) => {
  const MOVES = Number(process.env.TALUS_MOVES ?? 12);
  const second = await startGateway(bus);
  t.after(() => second.stop());
  const urls = [gateway.url, second.url];
  let since = await step('moves', 0);
  let socket = await joinedSince(urls[0], 'moves', since);
  for (let n = 1; n <= MOVES; n++) {
    const one = next(socket, 'step', (data) => data.n === 2 * n - 1);
    since = await step('moves', 2 * n - 1);
    await one;
    socket.disconnect();
    await step('moves', 2 * n);
    socket = await joinedSince(urls[n % 2], 'moves', since, 2 * n);
    const came = kinds(socket).filter((kind) => !String(kind).startsWith('session-'));
    assert.deepEqual(came, ['joined', 2 * n], `move ${n}`);
    assert.doesNotMatch(socket.joined.offset, /^gw00/);
    since = socket.joined.offset;
  }
  socket.disconnect();
});

test('all clients at once: more than may be asked for at a time', async (t) => {
  const COUNT = 2000;
  const ids = [];
  for (let i = 0; i < 500; i++) {
    ids.push(await step(`crowd-${i}`, 1));
    await step(`crowd-${i}`, 2);
  }
  const fresh = await startGateway(bus, ['--presence', 'never']); // it has to ask for all of them
  t.after(() => fresh.stop());
  const sockets = [];
  while (sockets.length < COUNT)
    sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => connected(fresh.url, { transports: ['websocket'] })))));
  await Promise.all(sockets.map(async (socket, i) => {
    const own = i % ids.length;
    const answer = await ask(socket, 'join_session', { session_id: `crowd-${own}`, since: ids[own] });
    assert.equal(answer.session_id, `crowd-${own}`);
    await settled(socket);
    assert.deepEqual(kinds(socket), ['joined', 2]);
  }));
  for (const socket of sockets) socket.disconnect();
});

// The official client, which knows nothing of `since`, and names its offset when it connects.
test('after a restart of the gateway the unmodified client goes on', async (t) => {
  let own = await startGateway(bus);
  const { port } = own;
  t.after(() => own.stop());
  const socket = await connected(own.url, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
  t.after(() => socket.disconnect());
  socket.on('connect', () => ['page', 'other', 'empty'].forEach((session) => socket.emit('join_session', { session_id: session })));
  for (const session of ['page', 'other', 'empty']) await ask(socket, 'join_session', { session_id: session });
  let arrived = next(socket, 'step', (data) => data.n === 2);
  await step('other', 1);
  await step('page', 2);
  await arrived;
  await own.stop('SIGKILL');
  await step('page', 3);
  await step('page', 4);
  arrived = next(socket, 'step', (data) => data.n === 4);
  own = await startGateway(bus, ['--listen', `127.0.0.1:${port}`]);
  await arrived;
  assert.equal(socket.recovered, false);
  arrived = next(socket, 'step', (data) => data.n === 6);
  await step('page', 5);
  await step('page', 6);
  await arrived;
  await settled(socket);
  const isOf = ([type, data]) => type === 'step' || (type === 'gap' && !data.first && !data.after);
  const told = socket.log.filter(isOf).filter(([type]) => type === 'gap').map(([, data]) => data.session_id);
  assert.deepEqual(socket.log.filter(([type]) => type === 'step').map(([, data]) => data.n), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(told, ['other']); // the offset is an event of `page`, and `empty` has none
});

// The client is in time; that the gateway stands still must not cost it what it is owed.
test('the offset of CONNECT serves a join that was sent in time and is read late', async (t) => {
  const own = await startAll({ gateway: ['--recovery-window', '3000'] });
  t.after(() => stopAll(own));
  const since = await step('stopped', 1, own.service);
  await step('stopped', 2, own.service);
  const socket = await connected(own.gateway.url, { transports: ['websocket'], auth: { pid: 'of an earlier life', offset: since } });
  t.after(() => socket.disconnect());
  const arrived = next(socket, 'step', (data) => data.n === 2);
  await own.gateway.freeze();
  const isJoined = ask(socket, 'join_session', { session_id: 'stopped' });
  await new Promise((resolve) => setTimeout(resolve, 3200)); // the time itself is tried: the window is over
  own.gateway.thaw();
  await isJoined;
  await arrived;
});

test('an offset of CONNECT whose broadcaster is gone is told as it was named', async (t) => {
  let own = await startGateway(bus);
  const { port } = own;
  t.after(() => own.stop());
  const gone = startService(bus);
  t.after(() => gone.stop());
  await gone.line(/^ready/);
  const socket = await connected(own.url, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
  t.after(() => socket.disconnect());
  const arrived = next(socket, 'step', (data) => data.n === 2);
  await ask(socket, 'join_session', { session_id: 'gone' });
  await step('gone', 1, gone);
  const newest = await step('gone', 2, gone);
  await arrived;
  const back = new Promise((resolve) => socket.once('connect', resolve));
  await own.stop('SIGKILL');
  await gone.stop('SIGKILL');
  own = await startGateway(bus, ['--listen', `127.0.0.1:${port}`]);
  await back;
  const told = next(socket, 'gap', (data) => data.after);
  await ask(socket, 'join_session', { session_id: 'gone' });
  const [gap] = await told;
  assert.deepEqual([gap.after, gap.first], [newest, '']);
});

test('a join that was lost with the connection brings what was owed, after the recovery', async (t) => {
  const own = await startAll(); // where no other broadcaster has been
  t.after(() => stopAll(own));
  const since = await step('late', 1, own.service);
  await step('late', 2, own.service);
  let auth = { pid: 'of an earlier life', offset: since };
  const socket = await connected(own.gateway.url, { auth: (send) => send(auth) });
  t.after(() => socket.disconnect());
  assert.equal(socket.recovered, false);
  auth = {}; // the client names its own
  const gone = next(socket, 'disconnect');
  socket.io.engine.close();
  await gone;
  const back = next(socket, 'connect');
  socket.connect();
  await back;
  assert.equal(socket.recovered, true);
  const arrived = next(socket, 'step', (data) => data.n === 2);
  await ask(socket, 'join_session', { session_id: 'late' });
  await arrived;
  await settled(socket);
  assert.deepEqual(socket.log.filter(([type]) => type === 'step' || type === 'gap').map(([type, data]) => data.n ?? data), [2]);
});

// Last: the others' clients are told of the killed one, whose presence events may be lost.
test('after the first gateway died', async (t) => {
  const first = await startGateway(bus);
  t.after(() => first.stop());
  const socket = await joined(first.url, 'moved', { transports: ['websocket'] });
  const arrived = next(socket, 'step');
  const since = await step('moved', 1);
  await arrived;
  const gone = next(socket, 'disconnect');
  await first.stop('SIGKILL');
  await gone;
  await step('moved', 2);
  await step('moved', 3);
  const again = await joinedSince(gateway.url, 'moved', since, 3);
  assert.deepEqual(kinds(again).filter((kind) => typeof kind === 'number'), [2, 3]);
  again.disconnect();
});
