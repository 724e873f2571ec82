// SPDX-License-Identifier: MIT
// Several workers: sessions, presence and the ways of requests do not depend on which worker a
// client, or one of its connections, has come to.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { ask, connected, joined, settled, upgraded } from './support/client.mjs';
import { next, within } from './support/deadline.mjs';
import { emitted, binDir, newBus, Program, startGateway, startService } from './support/program.mjs';
import { HANDSHAKE, text, Wire } from './support/wire.mjs';

const WORKERS = 4;
const CLIENTS = 24; // one in 4^23 that all come to one worker

let bus, gateway, service;

before(async () => {
  bus = await newBus();
  gateway = await startGateway(bus, ['--workers', String(WORKERS)]);
  service = startService(bus);
  await service.line(/^ready/);
});

after(async () => {
  await service?.stop();
  const { code } = (await gateway?.stop()) ?? {};
  await bus?.remove();
  assert.equal(code, 0);
});

function emit(line) {
  return emitted(service, line);
}

/** The values of a metric, of all its labels, in order. */
async function metric(name, server = gateway) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))].map(([, value]) => Number(value));
}

/** Which worker made a session id: its last character stands for that, plus all the others. */
function workerOf(sid) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const digits = [...sid].map((c) => alphabet.indexOf(c));
  assert.ok(sid.length === 20 && !digits.includes(-1), sid);
  const last = digits.pop();
  return (((last - digits.reduce((a, b) => a + b)) % 64) + 64) % 64;
}

/** Waits until `check` gives true. */
function until(what, check) {
  let isOver = false;
  const done = (async () => {
    while (!isOver && !(await check())) await new Promise(setImmediate);
  })();
  return within(done, what).finally(() => (isOver = true));
}

const gone = (socket, id) => next(socket, 'session-disconnected', (data) => data.client_id === id);
const ticksOf = (socket) => socket.log.filter(([type]) => type === 'tick');

/** Joins one after the other, so that each has seen those that came later. */
async function crowd(session, count, options) {
  const sockets = [];
  for (let i = 0; i < count; i++) sockets.push(await joined(gateway.url, session, options));
  return sockets;
}

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  const name = transports.join(' and ');

  test(`one session over all workers, with ${name}`, async () => {
    const session = `all-${transports.join('-')}`;
    const sockets = await crowd(session, CLIENTS, { transports });
    if (transports.length === 2) await Promise.all(sockets.map(upgraded));
    const spread = Array(WORKERS).fill(0);
    for (const socket of sockets) spread[workerOf(socket.io.engine.id)]++;
    assert.ok(spread.filter((count) => count > 0).length > 1, `the clients are spread: ${spread}`);
    // Those of the test before may be on their way out.
    await until(`${spread} clients`, async () => String(await metric('talus_worker_clients')) === String(spread));

    // Each is counted once, and told of all that came after it.
    sockets.forEach((socket, i) => assert.equal(socket.joined.active_clients, i + 1));
    await Promise.all(sockets.map(settled));
    const ids = sockets.map((socket) => socket.id);
    sockets.forEach((socket, i) => {
      const seen = socket.log.filter(([type]) => type === 'session-connected').map(([, data]) => data.client_id);
      assert.deepEqual(seen, ids.slice(i));
    });

    const arrived = Promise.all(sockets.map((socket) => next(socket, 'last')));
    const id = await emit(`emit ${session} tick 1`);
    await emit(`emit ${session} last 2`);
    await arrived;
    for (const socket of sockets) assert.deepEqual(ticksOf(socket), [['tick', socket.log.find(([type]) => type === 'tick')[1], id]]);

    // Whoever goes is missed by all, once.
    const [leaver, ...others] = sockets;
    const missed = Promise.all(others.map((socket) => gone(socket, ids[0])));
    leaver.disconnect();
    await missed;
    assert.equal((await ask(others[0], 'join_session', { session_id: session })).active_clients, CLIENTS - 1);
    for (const socket of others) {
      assert.equal(socket.log.filter(([type]) => type === 'session-disconnected').length, 1);
      socket.disconnect();
    }
  });
}

test('sessions do not mix', async () => {
  const sockets = [];
  for (let i = 0; i < CLIENTS; i++) {
    const transports = [i % 2 === 0 ? 'websocket' : 'polling'];
    sockets.push(await joined(gateway.url, `apart-${i % 4}`, { transports }));
  }
  const arrived = Promise.all(sockets.map((socket) => next(socket, 'flare')));
  for (let i = 0; i < 4; i++) await emit(`emit apart-${i} tick ${i}`);
  await emit('emit - flare 1');
  await arrived;
  sockets.forEach((socket, i) => {
    assert.equal(ticksOf(socket).length, 1);
    assert.equal(socket.joined.active_clients, Math.floor(i / 4) + 1);
    socket.disconnect();
  });
});

/** Joins while events flow, takes `count` of them, and checks that none was lost, doubled or moved. */
async function follow(session, options, isUpgrading, count = 20) {
  const socket = await connected(gateway.url, options);
  const { offset } = await ask(socket, 'join_session', { session_id: session });
  if (isUpgrading) await upgraded(socket);
  let more = 0;
  await next(socket, 'tick', () => ++more >= count);
  const ids = ticksOf(socket).map(([, , id]) => Number(id.split('.')[1]));
  const first = offset === '' ? ids[0] : Number(offset.split('.')[1]) + 1;
  ids.forEach((seq, i) => assert.equal(seq, first + i));
  socket.disconnect();
}

/** Has events flow to `session` until `work` is done. */
async function underFlow(session, work) {
  let isOver = false;
  const flow = (async () => {
    while (!isOver) {
      const from = service.lines.length;
      service.write(`flood ${session} 100 200\n`);
      await service.line(/^flooded/, from);
    }
  })();
  try {
    await work();
  } finally {
    isOver = true;
    await flow;
  }
}

test('polls of many clients mixed on a few kept connections', { timeout: 120_000 }, async () => {
  // As a proxy has it: whichever connection is free takes the next request, so most polls and posts
  // come to another worker than their session's.
  const agent = new http.Agent({ keepAlive: true, maxSockets: 40, scheduling: 'fifo' });
  const [before] = await metric('talus_http_relayed_total');
  await underFlow('mixed', () =>
    Promise.all(Array.from({ length: CLIENTS }, () => follow('mixed', { transports: ['polling'], agent }, false))));
  const [now] = await metric('talus_http_relayed_total');
  assert.ok(now > before + CLIENTS, `${now - before} requests came to another worker`);
  agent.destroy();
});

test('upgrades at another worker while events flow', { timeout: 120_000 }, async () => {
  const [before] = await metric('talus_http_handed_over_total');
  await underFlow('moving', () =>
    Promise.all(Array.from({ length: CLIENTS }, () => follow('moving', {}, true))));
  const [now] = await metric('talus_http_handed_over_total');
  assert.ok(now > before, 'some connections went to another worker');
});

test('clients that were cut off are recovered at whichever worker they come back to', async () => {
  const server = await startGateway(bus, ['--workers', String(WORKERS)]);
  const sockets = [];
  for (let i = 0; i < CLIENTS; i++) {
    sockets.push(await joined(server.url, 'back', { transports: [i % 2 === 0 ? 'websocket' : 'polling'] }));
  }
  await emit('emit back tick 1');
  await Promise.all(sockets.map(settled));
  const before = sockets.map((socket) => [socket.id, workerOf(socket.io.engine.id)]);
  for (const socket of sockets) socket.io.engine.close();
  await until('departures', async () => (await metric('talus_departed_clients', server))[0] === CLIENTS);
  const [seen] = await metric('talus_bus_events_total', server);
  await emit('emit back tick 2');
  await until('event', async () => (await metric('talus_bus_events_total', server))[0] > seen);
  const connects = Promise.all(sockets.map((socket) => next(socket, 'connect')));
  for (const socket of sockets) socket.connect();
  await connects;
  await emit('emit back tick 3');
  await emit('emit back last 4');
  await until('last', () => sockets.every((socket) => socket.log.some(([type]) => type === 'last')));
  sockets.forEach((socket, i) => {
    assert.deepEqual([socket.recovered, socket.id], [true, before[i][0]]);
    assert.deepEqual(ticksOf(socket).map(([, { n }]) => n), [1, 2, 3]);
  });
  assert.ok(sockets.some((socket, i) => workerOf(socket.io.engine.id) !== before[i][1]), 'some moved');
  assert.equal((await ask(sockets[0], 'join_session', { session_id: 'back' })).active_clients, CLIENTS);
  for (const socket of sockets) socket.disconnect();
  assert.equal((await server.stop()).code, 0);
});

// ---- Raw requests, to a worker that is not the session's

const PATH = '/socket.io/?EIO=4&transport=polling';

async function handshake(wire) {
  wire.request('GET', PATH);
  const { status, text: body } = await wire.response();
  assert.equal(status, 200);
  return JSON.parse(body.slice(1)).sid;
}

/** Two kept connections at different workers: `{wire, sid}` of each, the session made there. */
async function apart(server = gateway) {
  const wire = await Wire.connect(server.port);
  const sid = await handshake(wire);
  for (let i = 0; i < 200; i++) {
    const other = await Wire.connect(server.port);
    const otherSid = await handshake(other);
    if (workerOf(otherSid) !== workerOf(sid)) return [{ wire, sid }, { wire: other, sid: otherSid }];
    other.close();
  }
  throw new Error('all connections came to one worker');
}

const pollOf = (sid) => `${PATH}&sid=${sid}`;

test('requests at another worker are answered there, in their order', async () => {
  const [{ wire, sid }, { wire: other, sid: otherSid }] = await apart();
  // A poll that waits, one of the worker itself behind it, and others: all on one connection.
  other.request('GET', pollOf(sid));
  other.request('GET', '/api/v1/health');
  other.request('POST', pollOf(otherSid), { body: '40/graph,' });
  other.request('GET', pollOf(otherSid));
  wire.request('POST', pollOf(sid), { body: '40/graph,' });
  assert.equal((await wire.response()).text, 'ok');
  assert.match((await other.response()).text, /^40\/graph,\{"sid":"/);
  assert.equal((await other.response()).text, '{"status":"ok"}');
  assert.equal((await other.response()).text, 'ok');
  assert.match((await other.response()).text, /^40\/graph,\{"sid":"/);
  // Heads and bodies that come apart.
  const packet = '42/graph,["ping"]';
  other.write(`POST ${pollOf(sid)} HTTP/1.1\r\nHost: x\r\nContent-Length: ${packet.length}\r\n\r\n42/gr`);
  wire.request('GET', pollOf(sid));
  other.write(packet.slice(5));
  assert.equal((await other.response()).text, 'ok');
  assert.equal((await wire.response()).text, '42/graph,["pong",{}]');
  // Errors are those that the session's own worker gives.
  other.request('PUT', pollOf(sid), { body: 'x' });
  assert.equal((await other.response()).status, 500);
  other.request('POST', pollOf(sid), { body: 'x'.repeat(1_000_001) });
  assert.equal((await other.response()).status, 413);
  const asked = { headers: { Origin: 'http://a.example', 'Access-Control-Request-Method': 'POST' } };
  for (const at of [wire, other]) at.request('OPTIONS', pollOf(sid), asked);
  const [here, there] = [await wire.response(), await other.response()];
  assert.deepEqual([there.status, there.text], [here.status, here.text]);
  wire.close();
  other.close();
});

test('an id that no worker has is unknown', async () => {
  const wire = await Wire.connect(gateway.port);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (const last of alphabet) { // one for each worker that there could be
    wire.request('GET', pollOf(`AAAAAAAAAAAAAAAAAAA${last}`));
    const { status, text: body } = await wire.response();
    assert.equal(status, 400);
    assert.equal(body, '{"code":1,"message":"Session ID unknown"}');
  }
  wire.close();
});

test('a poll whose client goes away ends its session, wherever it was', async () => {
  const server = await startGateway(bus, ['--workers', String(WORKERS)]);
  const [{ wire, sid }, { wire: other }] = await apart(server);
  const [before] = await metric('talus_engine_sessions', server);
  other.request('GET', pollOf(sid));
  other.request('GET', '/api/v1/health'); // waits behind the poll
  await until('request', async () => (await metric('talus_http_relayed_total', server))[0] === 1);
  other.reset();
  await until('end', async () => (await metric('talus_engine_sessions', server))[0] === before - 1);
  wire.request('GET', pollOf(sid));
  assert.equal((await wire.response()).status, 400);
  wire.close();
  assert.equal((await server.stop()).code, 0);
});

test('a post that breaks off ends its session, wherever it was', async () => {
  const [{ wire, sid }, { wire: other }] = await apart();
  wire.request('GET', pollOf(sid));
  other.write(`POST ${pollOf(sid)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n40/graph`);
  other.close();
  assert.equal((await wire.response()).text, '1');
  wire.close();
});

test('two polls of a session at two workers are one too many', async () => {
  const [{ wire, sid }, { wire: other }] = await apart();
  wire.request('POST', pollOf(sid), { body: '40/graph,' });
  await wire.response();
  wire.request('GET', pollOf(sid));
  await wire.response();
  wire.request('GET', pollOf(sid)); // waits: there is nothing more to fetch
  wire.request('GET', '/api/v1/health');
  other.request('GET', pollOf(sid));
  // Which of the two came first is open; one gets a close packet, the other 400.
  const answers = [await wire.response(), await other.response()].map(({ status, text: body }) => `${status} ${body}`);
  assert.deepEqual(answers.sort(), ['200 1', '400 ']);
  wire.close();
  other.close();
});

test('an upgrade at another worker takes along what was sent behind it', async () => {
  const [{ wire, sid }, { wire: other }] = await apart();
  const lines = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  // In one piece: a request of that worker's own, the upgrade, and the probe.
  other.write(
    `GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /socket.io/?EIO=4&transport=websocket&sid=${sid} HTTP/1.1\r\nHost: x\r\n${lines}\r\n`,
    text('2probe'),
  );
  assert.equal((await other.response()).text, '{"status":"ok"}');
  assert.equal((await other.response()).status, 101);
  assert.equal(await other.text(), '3probe');
  other.write(text('5'), text('40/graph,'));
  assert.match(await other.text(), /^40\/graph,\{"sid":"/);
  other.write(text('42/graph,["ping"]'));
  assert.equal(await other.text(), '42/graph,["pong",{}]');
  wire.close();
  other.close();
});

test('a refused upgrade at another worker is answered and closed', async () => {
  const [{ wire, sid }, { wire: other }] = await apart();
  other.request('GET', `/socket.io/?EIO=3&transport=websocket&sid=${sid}`, { headers: HANDSHAKE });
  const { status, text: body } = await other.response();
  assert.deepEqual([status, body], [400, 'Bad request']);
  await other.end();
  wire.close();
});

// ---- The end

for (const [name, options] of Object.entries({ websocket: { transports: ['websocket'] }, polling: { transports: ['polling'] } })) {
  test(`all workers take leave of their ${name} clients`, async () => {
    const stopping = await startGateway(bus, ['--workers', String(WORKERS)]);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 40, scheduling: 'fifo' });
    const sockets = await Promise.all(
      Array.from({ length: CLIENTS }, () => joined(stopping.url, 'ending', { ...options, agent })));
    const reasons = Promise.all(sockets.map((socket) => once(socket, 'disconnect')));
    const { code, signal } = await stopping.stop('SIGTERM');
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    for (const [reason] of await reasons) assert.match(reason, /^transport (close|error)$/);
    agent.destroy();
  });
}

test('a second signal ends all workers at once', async () => {
  const stopping = await startGateway(bus, ['--workers', String(WORKERS)]);
  // Clients that do not take their leave: nothing is read from their connections.
  const wires = [];
  for (let i = 0; i < CLIENTS; i++) {
    const wire = await Wire.connect(stopping.port);
    wire.request('GET', '/socket.io/?EIO=4&transport=websocket', { headers: HANDSHAKE });
    await wire.response();
    wire.socket.pause();
    wires.push(wire);
  }
  stopping.child.kill('SIGTERM');
  while (!/stopping at SIGTERM/.test(stopping.errors)) await next(stopping.child.stderr, 'data');
  const { code } = await stopping.stop('SIGINT');
  assert.equal(code, 0);
  for (const wire of wires) wire.close();
});

test('workers share a Unix socket', async () => {
  const socketPath = `${bus.path}-gateway.sock`;
  const shared = new Program(path.join(binDir, 'talus-gateway'),
    ['--workers', String(WORKERS), '--listen', `unix:${socketPath}`], bus.env);
  await shared.line(/^talus-gateway listening on unix:/);
  const agent = new http.Agent({ keepAlive: true });
  const fetchOne = (target) =>
    new Promise((resolve, reject) => {
      http.get({ socketPath, path: target, agent }, (response) => {
        let body = '';
        response.on('data', (data) => (body += data));
        response.on('end', () => resolve({ status: response.statusCode, body }));
      }).on('error', reject);
    });
  const opened = await Promise.all(Array.from({ length: CLIENTS }, () => fetchOne(PATH)));
  for (const { status, body } of opened) {
    assert.equal(status, 200);
    assert.ok(workerOf(JSON.parse(body.slice(1)).sid) < WORKERS);
  }
  agent.destroy();
  assert.equal((await shared.stop()).code, 0);
});
