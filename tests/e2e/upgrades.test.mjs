// SPDX-License-Identifier: MIT
// Upgrades under load: clients connect by polling and upgrade while events flow to their room; each
// gets every event once, in order. TALUS_UPGRADES sets the number of clients (in waves of 100).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, connected, upgraded } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { startAll, stopAll } from './support/program.mjs';

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
