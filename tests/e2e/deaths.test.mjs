// SPDX-License-Identifier: MIT
// A gateway with one client, beside broadcasters that flood it and are killed, and beside many that
// live for a moment: it stands, tells each event or what is missing, and serves on.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { joined } from './support/client.mjs';
import { next, within } from './support/deadline.mjs';
import { Program, startAll, stopAll, testsDir } from './support/program.mjs';

const FLOODS = Number(process.env.TALUS_TEST_FLOODS ?? 1);
const FLOOD = Number(process.env.TALUS_TEST_FLOOD ?? 20_000);
const HEARTBEATS_MS = 1700; // three heartbeats, after which a dead peer is looked after
const AT_ONCE = 8;
const ROUNDS = 5;

let bus, gateway, service, folder;

before(async () => {
  ({ bus, gateway, service } = await startAll());
  folder = await mkdtemp(path.join(tmpdir(), 'talus-deaths-'));
});

after(async () => {
  await stopAll({ bus, gateway, service });
  await rm(folder, { recursive: true, force: true });
});

/** Runs broadcasters at once that emit so many events to s-0, and end so ("end" or "kill"). */
async function live(round, events, ending) {
  const programs = Array.from({ length: AT_ONCE }, (_, index) => {
    const file = path.join(folder, `${round}-${index}`);
    const args = [bus.endpoint, file, `${round * AT_ONCE + index + 1}`, '100', '0', `${events + 100}`, '-', '1', `${events}`, ending];
    return new Program(path.join(testsDir, 'chaos_broadcaster'), args, bus.env);
  });
  for (const program of programs) {
    const { code, signal } = await within(program.exit, 'end of a broadcaster');
    assert.deepEqual({ code, signal }, ending === 'kill' ? { code: null, signal: 'SIGKILL' } : { code: 0, signal: null }, program.errors);
  }
}

async function serves(socket) {
  const came = within(new Promise((resolve) => socket.on('undo', resolve)), 'event after the deaths');
  service.write('typed s-0\n');
  await came;
  assert.equal(gateway.child.exitCode ?? gateway.child.signalCode, null, gateway.errors);
}

// Before the floods, whose events may come for a while.
test('each event of broadcasters that live for a moment reaches a client', async () => {
  const socket = await joined(gateway.url, 's-0');
  socket.log.length = 0;
  for (let round = 100; round < 100 + ROUNDS; round++) await live(round, 3, 'end');
  let owed = 0;
  for (const file of await readdir(folder)) {
    if (Number(file.split('-')[0]) < 100) continue;
    const lines = (await readFile(path.join(folder, file), 'utf8')).split('\n');
    owed += lines.filter((line) => /^\d+ (s-0|-) /.test(line)).length;
  }
  assert.ok(owed > ROUNDS * AT_ONCE);
  const count = () => socket.log.filter(([type]) => type === 'step').length;
  // Events of different broadcasters come in any order, so the last is waited for.
  if (count() < owed) await next(socket, 'step', () => count() >= owed);
  await serves(socket);
  assert.equal(count(), owed);
  assert.equal(socket.log.filter(([type]) => type === 'gap').length, 0);
  socket.close();
});

test('a gateway outlives broadcasters that flood it and are killed', async () => {
  const socket = await joined(gateway.url, 's-0', { reconnection: true });
  for (let round = 0; round < FLOODS; round++) {
    await live(round, FLOOD, 'kill');
    // Time is what is tested: nothing may happen while heartbeats fall due on the connections that
    // were lost. On a busy machine this takes longer, and cannot fail.
    await gateway.livesOn(HEARTBEATS_MS);
  }
  socket.close();
  const other = await joined(gateway.url, 's-0');
  await serves(other);
  other.close();
});
