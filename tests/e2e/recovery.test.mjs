// SPDX-License-Identifier: MIT
// Connection state recovery with the official client: who was cut off comes back as who it was, in
// its sessions, and gets what it missed before it hears that it is connected.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, client, joined, settled, TRANSPORTS, upgraded } from './support/client.mjs';
import { next, nextOf } from './support/deadline.mjs';
import { startAll, startGateway, stopAll } from './support/program.mjs';

let bus, gateway, service;

before(async () => ({ bus, gateway, service } = await startAll()));

after(() => stopAll({ bus, gateway, service }));

async function metric(name) {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  return Number(text.match(new RegExp(`^${name}\\S* (\\d+)`, 'm'))[1]);
}

/** Asks for a metric until it has that value; each look is a round trip, so this does not spin. */
async function metricIs(name, accept) {
  const until = Date.now() + 60_000;
  for (;;) {
    const value = await metric(name);
    if (accept(value)) return;
    assert.ok(Date.now() < until, `${name} stays at ${value}`);
  }
}

/** Has the service say a line, and waits until the gateway has that event (of a session it knows). */
async function say(line, isKnown = true) {
  const from = service.lines.length;
  const events = await metric('talus_bus_events_total');
  service.write(`${line}\n`);
  await service.line(/^id/, from);
  if (isKnown) await metricIs('talus_bus_events_total', (value) => value > events);
}

const emit = (session, type, n, isKnown) => say(`emit ${session} ${type} ${n}`, isKnown);

/** Cuts the client's connection, and waits until the gateway has noticed that it may come back. */
async function cut(socket) {
  const before = await metric('talus_departed_clients');
  const gone = next(socket, 'disconnect');
  socket.io.engine.close();
  await gone;
  await metricIs('talus_departed_clients', (value) => value > before);
}

/** Connects again; gives what the client heard before and after. */
async function back(socket) {
  const heard = socket.log.length;
  const is = next(socket, 'connect');
  socket.connect();
  await is;
  return socket.log.slice(heard);
}

const steps = (log) => log.filter(([type]) => type === 'step').map(([, data]) => data.n);

for (const [name, options] of Object.entries(TRANSPORTS)) {
  const session = `s-${name.replaceAll(' ', '-')}`;

  test(`the only member gets what it missed, once, with ${name}`, async () => {
    const socket = await joined(gateway.url, session, options);
    if (name === 'default settings') await upgraded(socket);
    const id = socket.id;
    await emit(session, 'step', 1);
    await settled(socket);
    assert.deepEqual(steps(socket.log), [1]);
    await cut(socket);
    await emit(session, 'step', 2);
    await emit(session, 'step', 3);
    const missed = await back(socket);
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    assert.deepEqual(steps(missed), [2, 3]);
    await emit(session, 'step', 4);
    await emit(session, 'step', 5);
    await settled(socket);
    assert.deepEqual(steps(socket.log), [1, 2, 3, 4, 5]);
    assert.equal((await ask(socket, 'join_session', { session_id: session })).active_clients, 1);
    socket.disconnect();
  });
}

test('nothing happened meanwhile', async () => {
  const socket = await joined(gateway.url, 'quiet');
  await emit('quiet', 'step', 1);
  await settled(socket);
  await cut(socket);
  const missed = await back(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(steps(missed), []);
  await emit('quiet', 'step', 2);
  await settled(socket);
  assert.deepEqual(steps(socket.log), [1, 2]);
  socket.disconnect();
});

test('before the first event', async () => {
  const socket = await joined(gateway.url, 'young');
  await cut(socket);
  await emit('young', 'step', 1);
  const missed = await back(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(steps(missed), [1]);
  socket.disconnect();
});

test('what came before the join is not owed', async () => {
  const other = await joined(gateway.url, 'older');
  await emit('older', 'step', 1);
  const socket = await joined(gateway.url, 'older');
  await cut(socket);
  await emit('older', 'step', 2);
  const missed = await back(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(steps(missed), [2]);
  socket.disconnect();
  other.disconnect();
});

test('a client of several sessions gets all of them in order, and those for everybody', async () => {
  const socket = await joined(gateway.url, 'first');
  await ask(socket, 'join_session', { session_id: 'second' });
  await emit('first', 'step', 1);
  await emit('second', 'step', 2);
  await settled(socket);
  await cut(socket);
  for (const [session, n] of [['second', 3], ['-', 4], ['first', 5], ['second', 6], ['third', 7], ['first', 8]])
    await emit(session, 'step', n, session !== 'third');
  const missed = await back(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(steps(missed), [3, 4, 5, 6, 8]);
  socket.disconnect();
});

test('the offset may be of a session that the client has left', async () => {
  const socket = await joined(gateway.url, 'kept');
  await ask(socket, 'join_session', { session_id: 'left' });
  await emit('kept', 'step', 1);
  await emit('left', 'step', 2);
  await settled(socket);
  await ask(socket, 'leave_session', { session_id: 'left' });
  await cut(socket);
  await emit('left', 'step', 3);
  await emit('kept', 'step', 4);
  const missed = await back(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(steps(missed), [4]);
  socket.disconnect();
});

test('events that leave the client out are not owed, and do not hide what it has', async () => {
  const socket = await joined(gateway.url, 'own');
  await emit('own', 'step', 1);
  await say(`skip own step ${socket.id}`);
  await settled(socket);
  await cut(socket);
  await emit('own', 'step', 2);
  const missed = await back(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(steps(missed).filter((n) => n), [2]);
  socket.disconnect();
});

test('presence goes and comes again, and comes to no log', async () => {
  const other = await joined(gateway.url, 'company');
  const socket = await joined(gateway.url, 'company');
  const { id } = socket;
  const gone = next(other, 'session-disconnected', (data) => data.client_id === id);
  await cut(socket);
  await gone;
  const come = next(other, 'session-connected', (data) => data.client_id === id);
  const missed = await back(socket);
  await come;
  assert.equal(socket.recovered, true);
  assert.deepEqual(missed, []);
  assert.equal((await ask(other, 'join_session', { session_id: 'company' })).active_clients, 2);
  socket.disconnect();
  other.disconnect();
});

test('a client may be cut off again and again', async () => {
  const socket = await joined(gateway.url, 'unlucky');
  for (let n = 1; n <= 10; n++) {
    await cut(socket);
    await emit('unlucky', 'step', n);
    await back(socket);
    assert.equal(socket.recovered, true);
  }
  assert.deepEqual(steps(socket.log), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  socket.disconnect();
});

for (const workers of ['1', '3'])
  for (const transports of [['websocket'], ['polling']])
    test(`a connection that nobody knows to be dead is taken over, ${transports}, ${workers} workers`, async (t) => {
      const own = await startGateway(bus, ['--workers', workers]);
      t.after(() => own.stop());
      const other = await joined(own.url, 'ghost');
      const ghost = await joined(own.url, 'ghost', { transports });
      const { id } = ghost;
      const arrived = next(other, 'step');
      await emit('ghost', 'step', 1, false);
      await arrived;
      await settled(ghost);
      assert.deepEqual(steps(ghost.log), [1]);
      // Its network is gone: what is written from here on does not count as got.
      const { _pid, _lastOffset } = ghost;
      const second = next(other, 'step', (data) => data.n === 2);
      await emit('ghost', 'step', 2, false);
      await second;
      const told = other.log.length;
      const heir = client(own.url, { transports });
      Object.assign(heir, { _pid, _lastOffset });
      const isBack = next(heir, 'connect');
      await isBack;
      assert.equal(heir.recovered, true);
      assert.equal(heir.id, id);
      assert.deepEqual(steps(heir.log), [2]);
      assert.equal((await ask(heir, 'join_session', { session_id: 'ghost' })).active_clients, 2);
      const third = next(heir, 'step', (data) => data.n === 3);
      await emit('ghost', 'step', 3, false);
      await third;
      await settled(other);
      assert.deepEqual(other.log.slice(told).filter(([type]) => /^session-/.test(type)), []); // no flicker
      heir.disconnect();
      other.disconnect();
      ghost.io.engine.close();
    });

// Nobody upgrades here. An official client whose connection ends after the answer to its probe, and
// before it has moved, hears nothing of it until its ping timeout (45 s): it has paused its polling.
for (const [transport, isCut] of [['websocket', true], ['websocket', false], ['polling', true], ['polling', false]])
  test(`of several that come back as one client at the same time, one gets its place, ${isCut ? 'cut off' : 'still connected'}, ${transport}`, async (t) => {
    const own = await startGateway(bus, ['--workers', '3']);
    t.after(() => own.stop());
    const other = await joined(own.url, 'twins');
    t.after(() => other.disconnect());
    for (let round = 1; round <= 5; round++) {
      const ghost = await joined(own.url, 'twins', { transports: [transport] });
      const arrived = next(ghost, 'step', (data) => data.n === 2 * round);
      await emit('twins', 'step', 2 * round, false);
      await arrived;
      const { id, _pid, _lastOffset } = ghost;
      const gone = isCut && next(other, 'session-disconnected', (data) => data.client_id === id);
      if (isCut) ghost.io.engine.close();
      await gone;
      const second = next(other, 'step', (data) => data.n === 2 * round + 1);
      await emit('twins', 'step', 2 * round + 1, false);
      await second;
      const heirs = [1, 2, 3, 4].map(() => Object.assign(client(own.url, { transports: [transport] }), { _pid, _lastOffset }));
      heirs.push(...(isCut ? [] : [ghost]));
      // Who got the place may lose it to one that came later.
      await Promise.all(heirs.slice(0, 4).map((heir) => nextOf([[heir, 'connect'], [heir.io, 'close']])));
      const stays = (heir) => {
        const is = nextOf([[heir, 'disconnect'], [heir, 'pong']]);
        heir.emit('ping');
        return is;
      };
      await Promise.all(heirs.filter((heir) => heir.connected).map(stays));
      const holders = heirs.filter((heir) => heir.connected && heir.id === id);
      assert.equal(holders.length, 1);
      assert.equal(holders[0].recovered, true);
      assert.deepEqual(steps(holders[0].log), [2 * round + 1]);
      for (const heir of heirs) if (heir.connected && heir !== holders[0]) assert.equal(heir.recovered, false);
      assert.equal((await ask(other, 'join_session', { session_id: 'twins' })).active_clients, 2);
      const isOut = next(other, 'session-disconnected', (data) => data.client_id === id);
      for (const heir of heirs) heir.disconnect();
      await isOut;
      assert.equal((await ask(other, 'join_session', { session_id: 'twins' })).active_clients, 1);
    }
  });

test('who is taken over and cannot be recovered is gone at once', async () => {
  const other = await joined(gateway.url, 'lost');
  const ghost = await joined(gateway.url, 'lost');
  const { id } = ghost;
  const gone = next(other, 'session-disconnected', (data) => data.client_id === id);
  const heir = client(gateway.url);
  Object.assign(heir, { _pid: ghost._pid, _lastOffset: 'abcdefgh.1' });
  const isBack = next(heir, 'connect');
  await isBack;
  assert.equal(heir.recovered, false);
  await gone;
  assert.equal((await ask(other, 'join_session', { session_id: 'lost' })).active_clients, 1);
  for (const socket of [heir, other, ghost]) socket.disconnect();
});

test('one that starts anew is told so, and its old offset does no harm', async () => {
  const socket = await joined(gateway.url, 'anew');
  await emit('anew', 'step', 1);
  await settled(socket);
  await cut(socket);
  socket._pid = 'AAAAAAAAAAAAAAAAAAAA'; // what another gateway, or this one in an earlier life, had said
  await back(socket);
  assert.equal(socket.recovered, false);
  await ask(socket, 'join_session', { session_id: 'anew' });
  await cut(socket); // its offset is still that of the first life
  await emit('anew', 'step', 2);
  const missed = await back(socket);
  assert.equal(socket.recovered, true);
  assert.deepEqual(steps(missed), [2]);
  socket.disconnect();
});

test('who went of its own accord does not come back', async () => {
  const socket = await joined(gateway.url, 'done');
  await emit('done', 'step', 1);
  await settled(socket);
  const before = await metric('talus_not_recovered_total');
  socket.disconnect();
  await back(socket);
  assert.equal(socket.recovered, false);
  assert.ok((await metric('talus_not_recovered_total')) > before);
  socket.disconnect();
});

test('an offset that nobody knows is no reason to guess', async () => {
  const socket = await joined(gateway.url, 'liar');
  await emit('liar', 'step', 1);
  await settled(socket);
  await cut(socket);
  for (const offset of ['abcdefgh.1', 'x'.repeat(1000)]) {
    socket._lastOffset = offset;
    await back(socket);
    assert.equal(socket.recovered, false);
    await cut(socket);
  }
  socket.disconnect();
});
