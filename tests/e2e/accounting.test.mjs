// SPDX-License-Identifier: MIT
// The accounts of the gateway: each copy of an event for a client meets one fate, published =
// delivered + recovered + dropped, and each figure is what the clients themselves have seen. Each
// test has a gateway of its own, whose counters start at 0.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Account, accounted, isCopy, poller, Reader } from './support/account.mjs';
import { ask, joined, TRANSPORTS, upgraded } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { Polling } from './support/echo.mjs';

async function withAccount(args, options, run) {
  const account = await Account.open(args, options);
  try {
    await run(account);
  } finally {
    await account.close();
  }
}

/** Waits until the accounts are even, and holds them against what is expected. */
async function expect(account, expected) {
  const all = await account.balancedAt(expected.published);
  assert.deepEqual(all, { delivered: 0, recovered: 0, resent: 0, dropped: {}, ...expected });
}

const numbers = (events, type) => events.filter(([each]) => each === type).map(([, data]) => data.n);
/** Waits until the client has had the event of that number. */
const had = (socket, type, n) =>
  numbers(socket.log, type).includes(n) || next(socket, type, (data) => data.n === n);

/** Closes the client's connection. */
async function closed(socket) {
  const isGone = next(socket, 'disconnect');
  socket.io.engine.close();
  await isGone;
}

/** Connects it again, to where it was. */
async function back(socket) {
  const isBack = next(socket, 'connect');
  socket.connect();
  await isBack;
  assert.equal(socket.recovered, true);
}

const count = (n) => Array.from({ length: n }, (_, i) => i + 1);

test('clients of every kind, on two workers', () =>
  withAccount(['--workers', '2', '--recovery-window', '120000'], {}, async (account) => {
    const { url } = account.gateway;
    const clients = [];
    for (const options of [...Object.values(TRANSPORTS), ...Object.values(TRANSPORTS)])
      clients.push(await joined(url, 'all', options));
    const [quitter, leaver, cutPolling, healthy, cutWebsocket, watcher] = clients;
    await account.flood('all', 500); // those of the default settings may be in the middle of their upgrade
    for (const socket of [quitter, healthy]) await upgraded(socket);
    assert.equal(cutPolling.io.engine.transport.name, 'polling');
    assert.equal(cutWebsocket.io.engine.transport.name, 'websocket');
    await Promise.all(clients.map((socket) => had(socket, 'tick', 500)));
    const { id } = quitter;
    const gone = next(watcher, 'session-disconnected', (data) => data.client_id === id);
    quitter.disconnect();
    await gone;
    await ask(leaver, 'leave_session', { session_id: 'all' });
    await account.emit('all', 'step', 1);
    await account.emit('-', 'step', 2); // everybody, but for the one that has disconnected
    const present = clients.filter((socket) => socket !== quitter);
    await Promise.all(present.map((socket) => had(socket, 'step', 2)));
    const cut = [cutPolling, cutWebsocket];
    const first = cutPolling.id;
    const firstIsGone = next(cutWebsocket, 'session-disconnected', (data) => data.client_id === first);
    for (const socket of cut) {
      // Presence is in no log: what was under way when the connection is cut would not be got.
      if (socket === cutWebsocket) await firstIsGone;
      await account.departing(() => closed(socket));
    }
    for (const n of [3, 4, 5]) await account.emit('all', 'step', n);
    for (const socket of cut) await back(socket);
    await account.emit('all', 'step', 6);
    const inSession = present.filter((socket) => socket !== leaver);
    await Promise.all(inSession.map((socket) => had(socket, 'step', 6)));
    const all = await account.balanced();
    const received = clients.flatMap((socket) => socket.log.filter(isCopy));
    assert.equal(received.length, all.delivered + all.recovered + all.resent);
    assert.deepEqual(all.dropped, {});
    assert.equal(all.recovered, 6);
    assert.equal(all.resent, 0);
    for (const socket of present)
      assert.deepEqual(numbers(socket.log, 'step'), socket === leaver ? [2] : [1, 2, 3, 4, 5, 6]);
    for (const socket of clients) assert.deepEqual(numbers(socket.log, 'tick'), count(500));
    for (const socket of present) socket.disconnect();
  }));

test('clients that are cut off again and again while events flow, on two workers', () =>
  withAccount(['--workers', '2', '--presence', 'never'], {}, async (account) => {
    const COUNT = 4000;
    const clients = [];
    for (let i = 0; i < 3; i++)
      for (const options of Object.values(TRANSPORTS).slice(1)) clients.push(await joined(account.gateway.url, 'flow', options));
    account.service.write(`flood flow ${COUNT} 1000\n`);
    for (let round = 0; round < 4; round++)
      for (const socket of clients) {
        await account.departing(() => closed(socket));
        await back(socket);
      }
    await Promise.all(clients.map((socket) => had(socket, 'tick', COUNT)));
    for (const socket of clients) assert.deepEqual(numbers(socket.log, 'tick'), count(COUNT));
    const all = await account.balancedAt(clients.length * COUNT);
    assert.deepEqual(all.dropped, {});
    assert.ok(all.recovered > 0);
    for (const socket of clients) socket.disconnect();
  }));

test('what was on its way to a client that polls is recovered', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const first = await poller(account, 's');
    const offset = await account.emit('s', 'step', 1);
    await first.take();
    for (const n of [2, 3, 4]) await account.emit('s', 'step', n);
    await first.cut();
    for (const n of [5, 6]) await account.emit('s', 'step', n);
    const again = await poller(account, undefined, { pid: first.pid, offset });
    assert.equal(again.sid, first.sid);
    assert.deepEqual(numbers(again.events, 'step'), [2, 3, 4, 5, 6]);
    await expect(account, { published: 6, delivered: 1, recovered: 5 });
  }));

test('what was written and did not arrive is sent again, outside the sum', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const first = await Reader.open(account);
    await first.join('s');
    const offset = await account.emit('s', 'step', 1);
    for (const n of [2, 3]) await account.emit('s', 'step', n);
    await first.read(3);
    await first.cut();
    for (const n of [4, 5]) await account.emit('s', 'step', n);
    const again = await Reader.open(account, { pid: first.pid, offset });
    assert.deepEqual(numbers(again.events, 'step'), [2, 3, 4, 5]);
    await expect(account, { published: 5, delivered: 3, recovered: 2, resent: 2 });
  }));

test('a client that stops reading is cut off, and comes back for the rest', () =>
  withAccount(['--presence', 'never'], { socket: true }, async (account) => {
    const COUNT = 8000; // more than the kernel takes of a Unix socket, and less than a client may be behind
    const first = await Reader.open(account);
    await first.join('s');
    const offset = await account.emit('s', 'step', 1);
    await first.read(1);
    first.stop();
    await account.flood('s', COUNT);
    await account.metricIs('talus_deliveries_published_total', (value) => value === COUNT + 1);
    await first.cut();
    const { delivered } = await account.deliveries();
    assert.ok(delivered > 1 && delivered < COUNT, `${delivered}`);
    const again = await Reader.open(account, { pid: first.pid, offset });
    assert.deepEqual(numbers(again.events, 'tick'), count(COUNT));
    await expect(account, {
      published: COUNT + 1,
      delivered,
      recovered: COUNT + 1 - delivered,
      resent: delivered - 1,
    });
  }));

test('a recovery that is cut off itself is made up for by the next one', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const first = await poller(account, 's');
    const offset = await account.emit('s', 'step', 1);
    await first.take();
    await account.emit('s', 'step', 2);
    await first.cut();
    await account.emit('s', 'step', 3);
    const second = await Polling.open(account.gateway);
    await second.post(`40/graph,${JSON.stringify({ pid: first.pid, offset })}`);
    await account.metricIs('talus_recovered_total', (value) => value === 1);
    await account.emit('s', 'step', 4);
    await account.departing(() => second.post('1')); // it has fetched none of the three
    await account.emit('s', 'step', 5);
    const again = await poller(account, undefined, { pid: first.pid, offset });
    assert.deepEqual(numbers(again.events, 'step'), [2, 3, 4, 5]);
    await expect(account, { published: 5, delivered: 1, recovered: 4 });
  }));

test('what a join with since brings is recovered', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const witness = await Reader.open(account);
    await witness.join('s');
    const since = await account.emit('s', 'step', 1);
    for (const n of [2, 3]) await account.emit('s', 'step', n);
    const late = await Reader.open(account);
    await late.join('s', since);
    await late.read(2);
    assert.deepEqual(numbers(late.events, 'step'), [2, 3]);
    await expect(account, { published: 5, delivered: 3, recovered: 2 });
  }));

test('what a join with since was to bring, and did not, is not passed over by a recovery', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const witness = await Reader.open(account);
    await witness.join('s');
    const since = await account.emit('s', 'step', 1);
    for (const n of [2, 3]) await account.emit('s', 'step', n);
    const late = await poller(account, 'other');
    const offset = await account.emit('other', 'step', 4);
    await late.take();
    await late.post(`42/graph,["join_session",{"session_id":"s","since":"${since}"}]`);
    await account.metricIs('talus_deliveries_published_total', (value) => value === 6);
    await late.cut();
    const again = await poller(account, undefined, { pid: late.pid, offset });
    assert.notEqual(again.sid, late.sid);
    await expect(account, { published: 6, delivered: 4, dropped: { transport_close: 2 } });
  }));

for (const workers of ['1', '3'])
  test(`the copies of a connection that is taken over, on ${workers} workers`, () =>
    withAccount(['--presence', 'never', '--workers', workers], {}, async (account) => {
      const first = await poller(account, 's');
      const offset = await account.emit('s', 'step', 1);
      await first.take();
      for (const n of [2, 3]) await account.emit('s', 'step', n);
      await account.metricIs('talus_deliveries_published_total', (value) => value === 3);
      const again = await poller(account, undefined, { pid: first.pid, offset });
      assert.equal(again.sid, first.sid);
      assert.deepEqual(numbers(again.events, 'step'), [2, 3]);
      await account.emit('s', 'step', 4);
      await again.take();
      await expect(account, { published: 4, delivered: 2, recovered: 2 });
      await account.metricIs('talus_taken_over_total', (value) => value === 1);
    }));

test('who does not come back in time is not recovered', () =>
  withAccount(['--presence', 'never', '--recovery-window', '5000'], {}, async (account) => {
    const socket = await poller(account, 's');
    for (const n of [1, 2, 3]) await account.emit('s', 'step', n);
    await socket.cut();
    for (const n of [4, 5]) await account.emit('s', 'step', n);
    await expect(account, { published: 5, dropped: { not_recovered: 5 } });
    assert.match(account.gateway.errors, new RegExp(`client=${socket.sid} reason=not_recovered copies=5`));
  }));

test('who names an unknown offset is not recovered', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const socket = await poller(account, 's');
    await account.emit('s', 'step', 1);
    await socket.cut();
    const again = await poller(account, undefined, { pid: socket.pid, offset: 'abcdefgh.1' });
    assert.notEqual(again.sid, socket.sid);
    await expect(account, { published: 1, dropped: { not_recovered: 1 } });
  }));

test('what a client left unread in a session that it leaves is not recovered', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const socket = await poller(account, 'left');
    await socket.post('42/graph,["join_session",{"session_id":"kept"}]');
    await socket.take();
    for (const n of [1, 2]) await account.emit('left', 'step', n);
    await account.emit('kept', 'step', 3);
    await socket.post('42/graph,["leave_session",{"session_id":"left"}]');
    await account.emit('left', 'step', 4);
    await account.emit('kept', 'step', 5);
    await socket.cut();
    const again = await poller(account, undefined, { pid: socket.pid });
    assert.deepEqual(numbers(again.events, 'step'), [3, 5]);
    await expect(account, { published: 4, recovered: 2, dropped: { left: 2 } });
  }));

test('events that leave a departed client out are not its own', () =>
  withAccount(['--presence', 'never'], {}, async (account) => {
    const socket = await poller(account, 's');
    await socket.cut();
    account.service.write(`skip s step ${socket.sid}\n`);
    await account.emit('s', 'step', 2);
    const again = await poller(account, undefined, { pid: socket.pid });
    assert.deepEqual(numbers(again.events, 'step'), [2]);
    await expect(account, { published: 1, recovered: 1 });
  }));

const ends = {
  transport_close: (socket) => socket.post('1'),
  transport_error: (socket) => socket.send('x', { 'Content-Type': 'application/octet-stream' }),
  disconnect: (socket) => socket.post('41/graph,', '1'),
  forced_close: (socket) => socket.post('4nonsense', '1'),
};

for (const [reason, end] of Object.entries(ends))
  test(`without recovery the rest is dropped: ${reason}`, () =>
    withAccount(['--presence', 'never', '--recovery-window', '0', '--workers', '2'], {}, async (account) => {
      const socket = await poller(account, 's');
      await account.emit('s', 'step', 1);
      await socket.take();
      for (const n of [2, 3, 4]) await account.emit('s', 'step', n);
      await account.metricIs('talus_deliveries_published_total', (value) => value === 4);
      await end(socket);
      await expect(account, { published: 4, delivered: 1, dropped: { [reason]: 3 } });
      if (reason !== 'disconnect')
        assert.match(account.gateway.errors, new RegExp(`client=${socket.sid} reason=${reason} copies=3`));
    }));

test('a client that goes silent is dropped: ping_timeout', () =>
  withAccount(['--presence', 'never', '--recovery-window', '0', '--ping-interval', '5000', '--ping-timeout', '500'], {}, async (account) => {
    const socket = await poller(account, 's');
    for (const n of [1, 2]) await account.emit('s', 'step', n);
    await expect(account, { published: 2, dropped: { ping_timeout: 2 } });
    assert.equal(socket.events.length, 0);
  }));

test('a client that falls too far behind is dropped: backlog', () =>
  withAccount(['--presence', 'never', '--recovery-window', '0', '--client-queue-bytes', '65536'], { socket: true }, async (account) => {
    const slow = await Reader.open(account);
    const healthy = await Reader.open(account);
    await slow.join('s');
    await healthy.join('s');
    slow.stop();
    for (let round = 1; round <= 10; round++) {
      await account.flood('s', 1000);
      await healthy.read(round * 1000);
    }
    await account.metricIs('talus_slow_clients_total', (value) => value === 1);
    slow.wire.socket.resume();
    const rest = await slow.wire.end(); // all that the kernel had, and perhaps a part of a frame
    const all = await account.balanced();
    let taken = slow.events.length;
    for (let at = 0; at + 2 <= rest.length; ) {
      const size = rest[at + 1] < 126 ? rest[at + 1] : 2 + rest.readUInt16BE(at + 2);
      if (at + 2 + size > rest.length) break;
      taken++;
      at += 2 + size;
    }
    assert.equal(all.delivered, healthy.events.length + taken);
    assert.deepEqual(Object.keys(all.dropped), ['backlog']);
    assert.equal(all.published, accounted(all));
    assert.ok(all.dropped.backlog > 0);
  }));

test('what is not fetched when the gateway ends is dropped: shutdown', async () => {
  const account = await Account.open(['--presence', 'never']);
  const socket = await poller(account, 's');
  for (const n of [1, 2]) await account.emit('s', 'step', n);
  await account.metricIs('talus_deliveries_published_total', (value) => value === 2);
  await account.close();
  assert.match(account.gateway.errors, new RegExp(`client=${socket.sid} reason=shutdown copies=2`));
});
