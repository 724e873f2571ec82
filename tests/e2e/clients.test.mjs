// SPDX-License-Identifier: MIT
// The matrix of real clients: the newest and the oldest socket.io-client 4, and the Python client, each
// over polling alone, WebSocket alone and the upgrade. (Chromium: page.test.mjs.)

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import path from 'node:path';
import { io as newest } from 'socket.io-client';
import { io as oldest } from 'socket.io-client-4.0';
import { ask, connected, TRANSPORTS } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { Program, startAll, stopAll } from './support/program.mjs';

let bus, gateway, service;

before(async () => ({ bus, gateway, service } = await startAll()));

after(() => stopAll({ bus, gateway, service }));

for (const [version, connect] of [['newest 4.x', newest], ['4.0.0', oldest]]) {
  for (const [transport, options] of Object.entries(TRANSPORTS)) {
    test(`socket.io-client ${version} with ${transport}`, async () => {
      const session = `js-${version}-${transport}`.replaceAll(' ', '-');
      const socket = await connected(gateway.url, options, '/graph', connect);
      const answer = await ask(socket, 'join_session', { session_id: session });
      assert.equal(answer.client_id, socket.id);
      if (transport === 'default settings' && socket.io.engine.transport.name !== 'websocket') await next(socket.io.engine, 'upgrade');
      const arrived = next(socket, 'external_template_update');
      service.write(`typed ${session}\n`);
      const [data] = await arrived;
      assert.deepEqual(data, { session_id: session, template_id: 't1' });
      assert.equal(socket.log.filter((args) => typeof args.at(-1) === 'string').length, 14);
      const blob = next(socket, 'blob');
      service.write(`binary ${session} blob\n`);
      assert.deepEqual([...(await blob)[0].bytes], [0, 1, 255, 128, 127]);
      assert.deepEqual(await ask(socket, 'ping'), {});
      socket.disconnect();
    });
  }
}

const PYTHON = process.env.TALUS_PYTHON ?? '/usr/bin/python3';
const hasPython = spawnSync(PYTHON, ['-c', 'import socketio, websocket, requests']).status === 0;
const script = path.join(path.dirname(new URL(import.meta.url).pathname), 'support', 'client.py');

for (const transports of ['polling', 'websocket', 'polling,websocket']) {
  test(`python-socketio with ${transports}`, { skip: !hasPython && 'python3-socketio is not installed' }, async () => {
    const session = `py-${transports.replace(',', '-')}`;
    const count = 8 * 14 + 1;
    const program = new Program(PYTHON, [script, gateway.url, transports, session, String(count)]);
    await program.line(/^joined$/);
    // More than the 16 packets that this client takes in one payload.
    service.write(`typed ${session}\n`.repeat(8));
    service.write(`binary ${session} blob\n`);
    const { code } = await program.exit;
    await program.closed;
    assert.equal(code, 0, program.errors + program.lines.join('\n'));
    assert.equal(program.lines.at(-1), `events ${count} transport ${transports.split(',').at(-1)}`);
  });
}
