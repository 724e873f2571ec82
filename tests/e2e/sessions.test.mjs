// SPDX-License-Identifier: MIT
// A session's events reach who joined it, over each transport, and nobody else.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, connected, joined, settled, TRANSPORTS, upgraded } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { startAll, startGateway, stopAll } from './support/program.mjs';

let bus, gateway, service;

before(async () => ({ bus, gateway, service } = await startAll()));

after(() => stopAll({ bus, gateway, service }));

/** Tells the service to emit and gives the ids that it says. */
async function emit(line, count = 1) {
  const from = service.lines.length;
  service.write(line + '\n');
  await service.line(/^(id|error)/, from + count - 1);
  return service.lines.slice(from, from + count).map((l) => {
    assert.match(l, /^id /);
    return l.slice(3);
  });
}

// The fourteen typed events as tests/e2e/service.c emits them: type and fields after session_id.
const TYPED = [
  ['node-created', { node_id: 'n1', parent_id: null, blueprint_type_id: 'blur', name: 'Größe "A"' }],
  ['node-deleted', { node_id: 'n1' }],
  ['node-updated', { node_id: 'n1' }],
  ['node-linked', { parent_id: 'n0', child_id: 'n1' }],
  ['node-unlinked', { parent_id: 'n0', child_id: 'n1' }],
  ['property-changed', { node_id: 'n1', property_name: 'radius', old_value: 1.5, new_value: [1, 'x', null] }],
  ['property-deleted', { node_id: 'n1', property_name: 'radius' }],
  ['command-executing', { command_id: 'c1', command_type: 'create' }],
  ['command-executed', { command_id: 'c1', success: false, error: 'no such node' }],
  ['undo', { command_id: 'c1' }],
  ['redo', { command_id: 'c1' }],
  ['session-connected', { client_id: 'someone' }],
  ['session-disconnected', { client_id: 'someone' }],
  ['external_template_update', { template_id: 't1' }],
];

for (const [name, options] of Object.entries(TRANSPORTS)) {
  test(`typed events, isolation and leaving with ${name}`, async () => {
    const session = `s-${name.replaceAll(' ', '-')}`;
    const socket = await joined(gateway.url, session, options);
    const stranger = await joined(gateway.url, `${session}2`, options);
    if (name === 'default settings') await upgraded(socket);
    assert.deepEqual(socket.joined, { session_id: session, client_id: socket.id, active_clients: 1, offset: '' });
    await settled(socket);
    assert.deepEqual(socket.log.slice(0, 2), [
      ['session-connected', { session_id: session, client_id: socket.id }],
      ['joined', socket.joined],
    ]);

    socket.log.length = 0;
    const arrived = next(socket, 'external_template_update');
    const ids = await emit(`typed ${session}`, TYPED.length);
    await arrived;
    const expected = TYPED.map(([type, fields], i) => [type, { session_id: session, ...fields }, ids[i]]);
    assert.deepEqual(socket.log, expected);
    // The order of the fields is part of what people see.
    assert.equal(JSON.stringify(socket.log), JSON.stringify(expected));

    const left = await ask(socket, 'leave_session', { session_id: session });
    assert.deepEqual(left, { session_id: session, client_id: socket.id });
    socket.log.length = 0;
    await emit(`typed ${session}`, TYPED.length);
    // What everybody gets travels behind it.
    const everybody = Promise.all([next(socket, 'flare'), next(stranger, 'flare')]);
    await emit('emit - flare 7');
    await everybody;
    assert.deepEqual(socket.log.map(([type]) => type), ['flare']);
    const types = stranger.log.map(([type]) => type).filter((type) => !['session-connected', 'joined', 'pong'].includes(type));
    assert.deepEqual(types, ['flare']);
    socket.disconnect();
    stranger.disconnect();
  });

  test(`binary payloads with ${name}`, async () => {
    const socket = await joined(gateway.url, 'binary', options);
    if (name === 'default settings') await upgraded(socket);
    const arrived = next(socket, 'blob');
    const [id] = await emit('binary binary blob');
    const [data, eventId] = await arrived;
    assert.deepEqual([...new Uint8Array(data.bytes)], [0, 1, 255, 128, 127]);
    assert.equal(eventId, id);
    socket.disconnect();
  });

  test(`skip with ${name}`, async () => {
    const emitter = await joined(gateway.url, 'skipping', options);
    const other = await joined(gateway.url, 'skipping', options);
    const arrived = Promise.all([next(emitter, 'second'), next(other, 'second')]);
    await emit('emit skipping before 1');
    await emit(`skip skipping first ${emitter.id}`);
    await emit('emit skipping second 2');
    await arrived;
    const typesOf = (socket) => socket.log.map(([type]) => type).filter((type) => ['before', 'first', 'second'].includes(type));
    assert.deepEqual(typesOf(emitter), ['before', 'second']);
    assert.deepEqual(typesOf(other), ['before', 'first', 'second']);
    emitter.disconnect();
    other.disconnect();
  });

  test(`a client in two sessions gets both in order with ${name}`, async () => {
    const socket = await joined(gateway.url, 'one', options);
    await ask(socket, 'join_session', { session_id: 'two' });
    socket.log.length = 0;
    const arrived = next(socket, 'last');
    for (let i = 0; i < 40; i++) service.write(`emit ${i % 3 ? 'one' : 'two'} step ${i}\n`);
    await emit('emit two last 0', 41);
    await arrived;
    assert.deepEqual(socket.log.filter(([type]) => type === 'step').map(([, data]) => data.n), Array.from({ length: 40 }, (_, i) => i));
    socket.disconnect();
  });
}

test('joined names the newest event, and a late joiner is owed only what follows', async () => {
  const first = await joined(gateway.url, 'late');
  const arrived = next(first, 'step');
  const [id] = await emit('emit late step 1');
  await arrived;
  const second = await joined(gateway.url, 'late');
  assert.equal(second.joined.offset, id);
  assert.equal(second.joined.active_clients, 2);
  const more = next(second, 'step');
  const [id2] = await emit('emit late step 2');
  assert.deepEqual(await more, [{ n: 2 }, id2]);
  first.disconnect();
  second.disconnect();
});

test('a session that was live before the gateway knew it has its newest event as offset', async () => {
  const [, id] = [await emit('emit early step 1'), ...(await emit('emit early step 2'))];
  const socket = await joined(gateway.url, 'early');
  assert.equal(socket.joined.offset, id);
  socket.disconnect();
});

test('a gateway takes clients when the events for everybody are live, or a broadcaster has not answered in time', async () => {
  await service.freeze();
  let second;
  try {
    second = await startGateway(bus);
    const metrics = await (await fetch(`${second.url}/metrics`)).text();
    assert.match(metrics, /^talus_bus_join_incomplete_total 1$/m, 'it has waited, and says so');
  } finally {
    service.thaw();
    await second?.stop();
  }
});

test('clients that join while events flow get every later event once and in order', async () => {
  const sockets = await Promise.all(Array.from({ length: 20 }, (_, i) => connected(gateway.url, i % 2 ? { transports: ['websocket'] } : {})));
  service.write('flood flowing 3000 2000\n');
  const answers = await Promise.all(sockets.map((socket) => ask(socket, 'join_session', { session_id: 'flowing' })));
  // Emitted behind the flood, and when all have joined, however slow the machine was with either.
  const last = Promise.all(sockets.map((socket) => next(socket, 'end')));
  service.write('emit flowing end 1\n');
  await last;
  sockets.forEach((socket, i) => {
    const events = socket.log.filter(([type]) => type === 'tick' || type === 'end');
    const offset = answers[i].offset === '' ? null : Number(answers[i].offset.split('.')[1]);
    const seqs = events.map(([, , id]) => Number(id.split('.')[1]));
    if (offset !== null) assert.equal(seqs[0], offset + 1, 'the first event is the one after the offset');
    seqs.forEach((seq, k) => assert.equal(seq, seqs[0] + k));
    socket.disconnect();
  });
});
