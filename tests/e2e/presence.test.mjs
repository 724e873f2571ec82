// SPDX-License-Identifier: MIT
// Who is in a session: told to the room and to the bus, however a client comes or goes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import path from 'node:path';
import { ask, client, connected, joined, settled } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { binDir, newBus, Program, startGateway, startService } from './support/program.mjs';

let bus, gateway;

before(async () => {
  bus = await newBus();
  // Short enough to see a silent client go, long enough for the others on a busy machine.
  gateway = await startGateway(bus, ['--ping-interval', '1000', '--ping-timeout', '3000']);
});

after(async () => {
  await gateway?.stop();
  await bus?.remove();
});

async function watcher(session) {
  const socket = await joined(gateway.url, session, { transports: ['websocket'] });
  await settled(socket);
  socket.log.length = 0;
  return socket;
}

const gone = (socket, id) => next(socket, 'session-disconnected', (data) => data.client_id === id);

test('joining and leaving is told to the room, and to the leaver only as `left`', async () => {
  const watch = await watcher('room');
  const come = next(watch, 'session-connected');
  const guest = await joined(gateway.url, 'room');
  assert.deepEqual(await come, [{ session_id: 'room', client_id: guest.id }]);
  assert.equal(guest.joined.active_clients, 2);
  const went = gone(watch, guest.id);
  await ask(guest, 'leave_session', { session_id: 'room' });
  assert.deepEqual(await went, [{ session_id: 'room', client_id: guest.id }]);
  await settled(guest);
  assert.ok(!guest.log.some(([type]) => type === 'session-disconnected'));
  guest.disconnect();
  watch.disconnect();
});

test('joining twice is joining once', async () => {
  const watch = await watcher('twice');
  const guest = await joined(gateway.url, 'twice');
  const again = await ask(guest, 'join_session', { session_id: 'twice' });
  assert.deepEqual(again, guest.joined);
  const went = gone(watch, guest.id);
  guest.disconnect();
  await went;
  assert.equal(watch.log.filter(([type]) => type === 'session-connected').length, 1);
  assert.equal(watch.log.filter(([type]) => type === 'session-disconnected').length, 1);
  const last = await ask(watch, 'join_session', { session_id: 'twice' });
  assert.equal(last.active_clients, 1);
  watch.disconnect();
});

test('a client in several sessions leaves them all when it disconnects', async () => {
  const watches = await Promise.all(['a', 'b', 'c'].map((name) => watcher(`many-${name}`)));
  const guest = await connected(gateway.url);
  for (const name of ['a', 'b', 'c']) await ask(guest, 'join_session', { session_id: `many-${name}` });
  const went = Promise.all(watches.map((watch) => gone(watch, guest.id)));
  guest.disconnect();
  await went;
  for (const watch of watches) watch.disconnect();
});

for (const [name, end] of Object.entries({
  'a closed transport': (guest) => guest.io.engine.close(),
  'a cut connection': (guest) => guest.io.engine.transport.ws._socket.destroy(),
  // The client falls silent: it does not answer the heartbeat.
  'silence': (guest) => guest.io.engine.transport.ws.pause(),
})) {
  test(`leaving by ${name} is told`, async () => {
    const watch = await watcher('ways');
    const guest = await joined(gateway.url, 'ways', { transports: ['websocket'] });
    const { id } = guest;
    const { ws } = guest.io.engine.transport;
    const went = gone(watch, id);
    end(guest);
    await went;
    assert.equal((await ask(watch, 'join_session', { session_id: 'ways' })).active_clients, 1);
    ws.resume(); // a paused one would wait half a minute for the peer's farewell
    ws.terminate();
    guest.disconnect();
    watch.disconnect();
  });
}

test('a killed process is told', async () => {
  const watch = await watcher('killed');
  const come = next(watch, 'session-connected');
  const code = `
    const { io } = await import('socket.io-client');
    const socket = io('${gateway.url}/graph');
    socket.emit('join_session', { session_id: 'killed' });`;
  const guest = new Program(process.execPath, ['--input-type=module', '-e', code], {});
  const [{ client_id: id }] = await come;
  const went = gone(watch, id);
  await guest.stop('SIGKILL');
  await went;
  watch.disconnect();
});

test('the bus hears who comes and goes, under the gateway’s own origin', async () => {
  const tap = new Program(path.join(binDir, 'talus'), ['tap', '--session', 'heard', '--format', 'json', '--count', '2'], bus.env);
  while (!/listening/.test(tap.errors)) await next(tap.child.stderr, 'data');
  const guest = await joined(gateway.url, 'heard');
  const { id } = guest;
  guest.disconnect();
  const { code } = await tap.exit;
  assert.equal(code, 0);
  const [come, go] = tap.lines.map((line) => JSON.parse(line));
  assert.equal(come.type, 'session-connected');
  assert.deepEqual(come.data, { session_id: 'heard', client_id: id });
  assert.equal(go.type, 'session-disconnected');
  assert.equal(go.origin, come.origin);
  assert.deepEqual(go.data, { session_id: 'heard', client_id: id });
});

test('the number of sessions of one client is limited', async () => {
  const small = await startGateway(bus, ['--max-sessions-per-client', '2']);
  const guest = await connected(small.url);
  for (const name of ['x', 'y']) assert.ok(!(await ask(guest, 'join_session', { session_id: name })).error);
  const { error } = await ask(guest, 'join_session', { session_id: 'z' });
  assert.equal(error.code, 'too_many_sessions');
  await ask(guest, 'leave_session', { session_id: 'x' });
  assert.ok(!(await ask(guest, 'join_session', { session_id: 'z' })).error);
  guest.disconnect();
  await small.stop();
});

test('presence can be limited, and switched off', async () => {
  for (const [presence, expected] of [['2', [1, 2]], ['never', []]]) {
    const quiet = await startGateway(bus, ['--presence', presence]);
    const guests = [];
    for (let i = 0; i < 4; i++) guests.push(await joined(quiet.url, `quiet-${presence}`));
    assert.equal(guests[3].joined.active_clients, 4);
    guests[3].disconnect();
    for (const guest of guests.slice(0, 3)) await settled(guest);
    // The first one hears of itself and of the second; then the room is too large.
    const heard = guests[0].log.filter(([type]) => type === 'session-connected').map(([, data]) => data.client_id);
    assert.deepEqual(heard, expected.map((n) => guests[n - 1].id));
    for (const guest of guests) guest.disconnect();
    await quiet.stop();
  }
});

test('a gateway that stops tells the bus, closes its clients so that they come back, and cleans up', async () => {
  const stopping = await startGateway(bus);
  const tap = new Program(path.join(binDir, 'talus'), ['tap', '--session', 'shut', '--format', 'json', '--count', '4'], bus.env);
  while (!/listening/.test(tap.errors)) await next(tap.child.stderr, 'data');
  const guests = [await joined(stopping.url, 'shut'), await joined(stopping.url, 'shut', { transports: ['polling'] })];
  const reasons = Promise.all(guests.map((guest) => next(guest, 'disconnect')));
  const { code, signal } = await stopping.stop('SIGTERM');
  assert.deepEqual({ code, signal }, { code: 0, signal: null });
  for (const [reason] of await reasons) assert.match(reason, /^transport (close|error)$/);
  await tap.exit;
  assert.deepEqual(tap.lines.map((line) => JSON.parse(line).type).sort(), [
    'session-connected', 'session-connected', 'session-disconnected', 'session-disconnected',
  ]);
});

test('a gateway that stops while a join waits for a broadcaster ends cleanly', async () => {
  const stopping = await startGateway(bus);
  const service = startService(bus);
  await service.line(/^ready/);
  await service.freeze(); // it does not answer the subscription, so the join waits
  const guest = await connected(stopping.url, { transports: ['websocket'] });
  guest.emit('join_session', { session_id: 'waiting' }, () => {});
  await ask(guest, 'ping'); // comes behind the join
  const { code, signal } = await stopping.stop('SIGTERM');
  assert.deepEqual({ code, signal }, { code: 0, signal: null });
  service.thaw();
  await service.stop();
  guest.disconnect();
});

test('two gateways on one bus tell each other who comes and goes', async () => {
  const other = await startGateway(bus);
  const watch = await watcher('shared');
  const come = next(watch, 'session-connected');
  const guest = await joined(other.url, 'shared');
  assert.deepEqual(await come, [{ session_id: 'shared', client_id: guest.id }]); // without an id, as a gateway's own
  assert.equal(guest.joined.active_clients, 1); // of its own gateway
  const went = gone(watch, guest.id);
  guest.disconnect();
  await went;
  watch.disconnect();
  await other.stop();
});

test('a client that connects and joins at once is served', async () => {
  const guest = client(gateway.url);
  const answer = await ask(guest, 'join_session', { session_id: 'eager' });
  assert.equal(answer.session_id, 'eager');
  guest.disconnect();
});
