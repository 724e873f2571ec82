// SPDX-License-Identifier: MIT
// Upgrades under load: clients connect by polling and upgrade while events flow to their room; each
// gets every event once, in order. TALUS_UPGRADES sets the number of clients (in waves of 100).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, client, connected, settled, upgraded } from './support/client.mjs';
import { next, within } from './support/deadline.mjs';
import { startAll, startGateway, stopAll } from './support/program.mjs';

const UPGRADES = Number(process.env.TALUS_UPGRADES ?? 200);
const WAVE = 100;
const RATE = 200;

let bus, gateway, service;

before(async () => ({ bus, gateway, service } = await startAll()));

after(() => stopAll({ bus, gateway, service }));

/** One client: joins over polling, is upgraded, sees `count` events more, and checks them all. */
async function upgradeOne(session) {
  const socket = await connected(gateway.url);
  const { offset } = await ask(socket, 'join_session', { session_id: session });
  await upgraded(socket);
  const seen = socket.log.filter(([type]) => type === 'tick').length;
  let more = 0;
  await next(socket, 'tick', () => ++more >= 20);
  const ids = socket.log.filter(([type]) => type === 'tick').map(([, , id]) => Number(id.split('.')[1]));
  socket.disconnect();
  const first = offset === '' ? ids[0] : Number(offset.split('.')[1]) + 1;
  ids.forEach((seq, i) => assert.equal(seq, first + i, `after ${seen} events before the upgrade`));
  return ids.length;
}

test(`${UPGRADES} upgrades while ${RATE} events a second flow`, { timeout: 1_200_000 }, async () => {
  let isOver = false;
  const flow = (async () => {
    while (!isOver) {
      const from = service.lines.length;
      service.write(`flood storm ${RATE} ${RATE}\n`);
      await service.line(/^flooded/, from);
    }
  })();
  let events = 0;
  for (let done = 0; done < UPGRADES; done += WAVE) {
    const wave = Array.from({ length: Math.min(WAVE, UPGRADES - done) }, () => upgradeOne('storm'));
    for (const count of await Promise.all(wave)) events += count;
  }
  isOver = true;
  await flow;
  assert.ok(events >= UPGRADES * 20);
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  assert.ok(Number(metrics.match(/^talus_engine_upgrades_total (\d+)$/m)[1]) >= UPGRADES);
});

/**
 * A client that has paused its polling for the upgrade and does not move before `move` is called: a client
 * on a slow network, at a moment that would else be short.
 */
async function paused(url) {
  const socket = client(url);
  // Its polling is paused only then: an answer that came after the pause would wait for the move.
  const isConnected = next(socket, 'connect');
  const moving = new Promise((resolve) => {
    socket.io.on('open', () => {
      const { engine } = socket.io;
      const { transport } = engine;
      const pause = transport.pause.bind(transport);
      transport.pause = (onPause) => isConnected.then(() => pause(() => resolve(onPause)));
      socket.closed = new Promise((closed) => engine.once('close', closed));
    });
  });
  await isConnected;
  socket.move = await within(moving, 'pause of the polling');
  return socket;
}

test('a client on the move hears that its place was taken', async () => {
  const socket = await paused(gateway.url);
  const { _pid, _lastOffset } = socket;
  const heir = client(gateway.url, { transports: ['websocket'] });
  Object.assign(heir, { _pid, _lastOffset });
  await next(heir, 'connect');
  // Whatever the gateway tells the other one at once has arrived by then.
  for (let i = 0; i < 50; i++) await settled(heir);
  socket.move();
  assert.equal(await within(socket.closed, 'end of the client that moved'), 'transport close');
  socket.disconnect();
  heir.disconnect();
});

test('a client on the move hears that the gateway ends', async (t) => {
  const own = await startGateway(bus, ['--workers', '2']);
  t.after(() => own.stop());
  const socket = await paused(own.url);
  const ended = own.stop();
  // Refused only when the gateway has begun to end.
  while (await fetch(`${own.url}/api/v1/health`).then(() => true, () => false));
  socket.move();
  assert.equal(await within(socket.closed, 'end of the client that moved'), 'transport close');
  assert.deepEqual(await ended, { code: 0, signal: null });
  socket.disconnect();
});
