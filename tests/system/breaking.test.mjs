// SPDX-License-Identifier: MIT
// What the chaos program notes of a broadcaster over tcp whose connection it breaks.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { within } from '../e2e/support/deadline.mjs';
import { BreakableWorld } from './support/breaking.mjs';
import { Origin } from './support/emitted.mjs';
import { Proxy } from './support/proxy.mjs';

/** A world of one broadcaster behind a proxy, to which one connection leads. */
async function open(t) {
  const server = net.createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await Proxy.start(server.address().port);
  const client = net.connect(proxy.port, '127.0.0.1').on('error', () => {});
  await within(once(server, 'connection'), 'connection through the proxy');
  t.after(async () => {
    client.destroy();
    await proxy.stop();
    server.close();
  });
  const world = new BreakableWorld({ seed: 1 }, () => {});
  const origin = new Origin('o', 'file');
  Object.assign(world, { busProxies: [undefined, proxy], broadcasters: [{}, { origin }] });
  return { world, proxy, origin };
}

for (const [what, step] of Object.entries({ cutBus: {}, silenceBus: { how: 'go on' } })) {
  test(`${what}: noted at the broadcaster that lives, and seen as long as it lasts`, async (t) => {
    const { world, proxy, origin } = await open(t);
    assert.equal(proxy.isBroken, false);
    const done = world[what]({ away: 50, ...step });
    assert.deepEqual([origin.wasCut, proxy.isBroken], [true, true]);
    await done;
    assert.equal(proxy.isBroken, false);
  });

  test(`${what}: not noted at a broadcaster that has ended`, async (t) => {
    const { world, origin } = await open(t);
    origin.fate = 'ended';
    await world[what]({ away: 0, ...step });
    assert.equal(origin.wasCut, false);
  });
}
