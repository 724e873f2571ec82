// SPDX-License-Identifier: MIT
// A `talus tap` whose reader stands still, while a `talus emit` floods it and is killed: it lives,
// its memory is bounded, and when the reader goes on, it tells in order what came.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Bus, PATIENTLY } from './support/talus.mjs';

const IS_SANITIZED = Boolean(process.env.TALUS_SANITIZE); // slow, and with a memory of its own
const EVENTS = IS_SANITIZED ? 15_000 : 30_000;
const BYTES = 6000; // of a payload: all of them are more than twice what a tap may keep
const MEMORY_MB = 140; // what waits, 80; what is held back, 16; the program; and some more
const HEARTBEATS_MS = 1700; // three heartbeats, after which a dead peer is looked after

/** The most that a process has had. */
const memoryOf = (pid) => {
  const [, kilobytes] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB$/m);
  return Number(kilobytes) / 1024;
};

/** Feeds the lines of a flood to a program, as fast as it takes them. */
async function flood(program) {
  const line = `"${'x'.repeat(BYTES)}"\n`;
  const lines = line.repeat(20);
  for (let sent = 0; sent < EVENTS; sent += 20)
    if (!program.child.stdin.write(lines)) await new Promise((resolve) => program.child.stdin.once('drain', resolve));
}

/** Each event has come, in order, or a gap in its place names it, and no other: checked from the first to the last. */
function account(lines) {
  const counts = { came: 0, missing: 0, last: 0 };
  for (const { type, seq, after, first } of lines) {
    if (type !== 'gap') {
      assert.equal(seq, counts.last + 1, 'an event is missing, and no gap tells it');
      counts.came++;
      counts.last = seq;
      continue;
    }
    assert.equal(Number(after.split('.')[1]), counts.last, 'a gap begins where the last event was');
    const end = Number(first.split('.')[1]);
    assert.ok(end > counts.last + 1, `a gap from ${after} to "${first}"`);
    counts.missing += end - 1 - counts.last;
    counts.last = end - 1;
  }
  return counts;
}

test('a tap whose reader stands still outlives its broadcaster, in bounded memory', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--session', 's', '--format', 'json');
  tap.child.stdout.pause();
  const emit = bus.start(['emit', ...PATIENTLY, 's', 't', '-']);
  await flood(emit);
  await emit.lines(EVENTS - 1000); // all but what is on its way into it
  assert.equal((await emit.kill('SIGKILL')).signal, 'SIGKILL');
  // Time is what is tested: nothing may happen while heartbeats fall due on the connection that was
  // lost. On a busy machine this takes longer, and cannot fail.
  await tap.livesOn(HEARTBEATS_MS);

  // The tap is ready for a new broadcaster when it has read what came before it said hello.
  tap.child.stdout.resume();
  const one = bus.start(['emit', '--wait-subscriber', '3600', 's', 'last']);
  await tap.lineAfterMany(/"type":"last"/);
  assert.equal((await one.end()).status, 0);
  const memory = memoryOf(tap.child.pid);
  t.diagnostic(`the tap had ${Math.round(memory)} MB`);
  assert.ok(memory < MEMORY_MB || IS_SANITIZED, `${memory} MB`);
  tap.child.kill('SIGTERM');
  const { status, out, err } = await tap.end();
  assert.ok(status === 0 || status === 1, err);
  const [origin, printed] = emit.out.all.at(-2).split('.'); // of the last the kill may have cut a part
  const told = out.map((line) => JSON.parse(line)).filter((line) => line.origin === origin);
  const { came, missing, last } = account(told);
  t.diagnostic(`${came} came, ${missing} were told missing`);
  assert.ok(came > 1000);
  assert.ok(last >= Number(printed) && last <= EVENTS, `told of ${last}, and ${printed} were emitted`);
  assert.equal(/lost/.test(err), missing > 0, err);
});
