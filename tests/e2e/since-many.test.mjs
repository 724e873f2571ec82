// SPDX-License-Identifier: MIT
// Many joins with `since` at once: what they take of the gateway's memory, and whom they hold up.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { Reader } from './support/account.mjs';
import { ask, connected } from './support/client.mjs';
import { next, within } from './support/deadline.mjs';
import { emitted, startAll, startService, stopAll } from './support/program.mjs';
import { text } from './support/wire.mjs';

let bus, gateway, service;

before(async () => ({ bus, gateway, service } = await startAll()));

after(() => stopAll({ bus, gateway, service }));

/** A value in KiB of a process's memory: VmRSS, or VmHWM, the most that it was. */
async function memory(pid, name) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(status.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'))[1]);
}

// As much as a client may miss (1 MiB) for each of 100 clients would be 90 MiB. A sanitizer keeps what
// was freed for a while.
const MOST_KIB = (process.env.TALUS_SANITIZE ? 48 : 16) * 1024;

test('joins that miss the same share its memory', async (t) => {
  const COUNT = 100;
  const since = await emitted(service, 'emit same first 1');
  for (let i = 0; i < 9; i++) await emitted(service, 'large same large 100000');
  await emitted(service, 'emit same last 1');
  const readers = await Promise.all(Array.from({ length: COUNT }, () => Reader.open({ gateway })));
  t.after(() => readers.forEach((reader) => reader.wire.socket.destroy()));
  const before = await memory(gateway.pid, 'VmRSS');
  await service.freeze(); // so that all wait for its history
  const join = text(`42/graph,["join_session",${JSON.stringify({ session_id: 'same', since })}]`);
  for (const { wire } of readers) wire.write(join, text('42/graph,["ping"]'));
  await Promise.all(readers.map((reader) => reader.until((packet) => packet.startsWith('42/graph,["pong"'))));
  service.thaw();
  await Promise.all(readers.map((reader) => reader.until((packet) => packet.startsWith('42/graph,["last"'))));
  const most = (await memory(gateway.pid, 'VmHWM')) - before;
  for (const { events } of readers) {
    const got = events.filter(([type]) => ['large', 'last', 'gap'].includes(type)).map(([type]) => type);
    assert.deepEqual(got, [...Array(9).fill('large'), 'last']);
  }
  assert.ok(most < MOST_KIB, `${COUNT} joins took ${most} KiB`);
});

// The stopped one is asked, and has 5 s to answer.
test('joins at a stopped broadcaster do not hold up those at another', async (t) => {
  const stopped = startService(bus);
  t.after(() => {
    stopped.thaw();
    return stopped.stop();
  });
  await stopped.line(/^ready/);
  const theirs = await emitted(stopped, 'emit elsewhere step 1');
  const ours = await emitted(service, 'emit well step 1');
  await emitted(service, 'emit well step 2');
  const sockets = await Promise.all(Array.from({ length: 9 }, () => connected(gateway.url, { transports: ['websocket'] })));
  t.after(() => sockets.forEach((socket) => socket.disconnect()));
  const well = sockets.pop();
  await stopped.freeze();
  const answered = sockets.flatMap((socket, i) =>
    // Without a deadline: not all of them are answered within the test.
    Array.from({ length: 100 }, (_, j) => new Promise((resolve) => socket.emit('join_session', { session_id: `stopped-${i}-${j}`, since: theirs }, resolve))),
  );
  const isFirst = Promise.race([...answered.map((each) => each.then(() => false)), next(well, 'step').then(() => true)]);
  await Promise.all(sockets.map((socket) => ask(socket, 'ping'))); // they have arrived
  well.emit('join_session', { session_id: 'well', since: ours });
  assert.ok(await within(isFirst, 'answer'), 'a join at the stopped broadcaster was answered first');
});
