// SPDX-License-Identifier: MIT
// The offset of a CONNECT that is not recovered serves as `since`: pages that know nothing of it lose
// nothing in silence when their gateway is restarted.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, connected, joined, settled } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { emitted, startAll, startGateway, startService, stopAll } from './support/program.mjs';

let bus, gateway, service;

before(async () => ({ bus, gateway, service } = await startAll()));

after(() => stopAll({ bus, gateway, service }));

function step(session, n, by = service) {
  return emitted(by, `emit ${session} step ${n}`);
}

/** A client of an earlier life of the gateway; what it names, it names once. */
async function returned(t, url, past) {
  let auth = { pid: 'of an earlier life', ...past };
  const socket = await connected(url, { auth: (send) => send(auth) });
  t.after(() => socket.disconnect());
  assert.equal(socket.recovered, false);
  auth = {};
  return socket;
}

/** What a client was told beside the answers: the numbers of steps, and gaps as [after, first]. */
const told = ({ log }) =>
  log.filter(([type]) => type === 'step' || type === 'gap').map(([type, data]) => (type === 'step' ? data.n : [data.after, data.first]));

async function joinSettled(socket, session) {
  await ask(socket, 'join_session', { session_id: session });
  await settled(socket);
  return told(socket);
}

async function goneService(t) {
  const gone = startService(bus);
  t.after(() => gone.stop());
  await gone.line(/^ready/);
  return gone;
}

test('serves anew after a recovery, however long before the client came', async (t) => {
  const own = await startAll({ gateway: ['--recovery-window', '2000'] });
  t.after(() => stopAll(own));
  const offset = await step('again', 1, own.service);
  await step('again', 2, own.service);
  const socket = await returned(t, own.gateway.url, { offset });
  await new Promise((resolve) => setTimeout(resolve, 2100)); // the time itself is tried: the window is over
  const gone = next(socket, 'disconnect');
  const back = next(socket, 'connect');
  socket.io.engine.close();
  await gone;
  socket.connect();
  await back;
  assert.equal(socket.recovered, true);
  const arrived = next(socket, 'step', (data) => data.n === 2);
  await ask(socket, 'join_session', { session_id: 'again' });
  await arrived;
});

test('whose broadcaster is gone, as everybody who sent to the session, is told as it was named', async (t) => {
  const gone = await goneService(t);
  const offset = await step('deserted', 1, gone);
  await step('deserted', 2, gone);
  await gone.stop('SIGKILL');
  const fresh = await startGateway(bus);
  t.after(() => fresh.stop());
  assert.deepEqual(await joinSettled(await returned(t, fresh.url, { offset }), 'deserted'), [[offset, '']]);
});

test('of a gateway, where everybody who sent to the session is gone, proves nothing', async (t) => {
  const gone = await goneService(t);
  await step('orphaned', 1, gone);
  await gone.stop('SIGKILL');
  for (const since of [undefined, 'gw00000000aa.7']) {
    const socket = await returned(t, gateway.url, since ? {} : { offset: 'gw00000000aa.7' });
    await ask(socket, 'join_session', { session_id: 'orphaned', since });
    await settled(socket);
    assert.deepEqual(told(socket), [['', '']]);
  }
});

test("is no event of another gateway's presence, which has no id", async (t) => {
  const second = await startGateway(bus);
  t.after(() => second.stop());
  const socket = await joined(gateway.url, 'seen');
  t.after(() => socket.disconnect());
  const arrived = next(socket, 'step');
  const offset = await step('seen', 1);
  await arrived;
  const seen = next(socket, 'session-connected', (...args) => args);
  const other = await joined(second.url, 'seen');
  assert.deepEqual(await seen, [{ session_id: 'seen', client_id: other.id }]);
  assert.equal(socket._lastOffset, offset);
  other.disconnect();
});

test('is not voided by a refused leave; after a leave, joins are told that they may miss something', async (t) => {
  const offset = await step('left', 1);
  await step('left', 2);
  await step('right', 3);
  const socket = await returned(t, gateway.url, { offset });
  await ask(socket, 'leave_session', { session_id: 'never' });
  assert.deepEqual(await joinSettled(socket, 'left'), [2]);
  await ask(socket, 'leave_session', { session_id: 'left' });
  assert.deepEqual(await joinSettled(socket, 'right'), [2, ['', '']]);
  assert.deepEqual(await joinSettled(socket, 'quiet'), [2, ['', '']]); // nobody has sent there
});

test('that is not there says nothing of what was missed: that is told', async (t) => {
  await step('heard', 1);
  const socket = await returned(t, gateway.url, {});
  assert.deepEqual(await joinSettled(socket, 'unheard'), []);
  assert.deepEqual(await joinSettled(socket, 'heard'), [['', '']]);
  const stranger = await connected(gateway.url); // who was not here before misses nothing
  t.after(() => stranger.disconnect());
  assert.deepEqual(await joinSettled(stranger, 'heard'), []);
});
