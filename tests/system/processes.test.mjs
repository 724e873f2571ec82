// SPDX-License-Identifier: MIT
// How the chaos program judges the ends of processes: of real ones, and of each kind that a world has.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { within } from '../e2e/support/deadline.mjs';
import { Program } from '../e2e/support/program.mjs';
import { makePlan, FAULTS } from './support/plan.mjs';
import { Processes } from './support/processes.mjs';
import { SIZE, World } from './support/world.mjs';

/** Runs a shell script, ends it as `ending` says, and gives what is reported. */
async function ended(script, ending) {
  const problems = [];
  const processes = new Processes((problem) => problems.push(problem));
  const program = processes.watch(new Program('/bin/sh', ['-c', script]), 'gateway 0');
  if (ending) await program.line(/^ready/);
  if (ending) await processes.end(program, ending);
  else await within(program.judged, 'end');
  return problems.map(({ what, came }) => `${what}|${came}`);
}

const waits = 'echo ready; read line;';
const GOOD = {
  'killed by the plan': [`${waits}`, 'SIGKILL'],
  'ended by its input': [`${waits} exit 0`, 'end'],
  'ended by SIGTERM': ["trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done", 'SIGTERM'],
};
const BAD = {
  'an abort': ['echo last words >&2; kill -ABRT $$', undefined, /by itself with SIGABRT\|last words/],
  'an abort when it is to end': [`${waits} kill -ABRT $$`, 'end', /with SIGABRT/],
  'a kill that nobody sent': ['kill -KILL $$', undefined, /by itself with SIGKILL/],
  'a kill by SIGTERM, without a handler': [`echo ready; exec sleep 30`, 'SIGTERM', /SIGTERM/],
  'a status': ['exit 3', undefined, /by itself with status 3/],
  'an end that nobody asked for': ['exit 0', undefined, /by itself with status 0/],
  'a status at the end': [`${waits} exit 1`, 'end', /status 1 when it was told/],
  'an assertion': ["echo 'Assertion failed: !_io_error (x.cpp:331)' >&2; exit 0", undefined, /Assertion failed.*\|Assertion failed: !_io/],
  'an assertion of glibc before a kill': ["echo \"x: y.c:1: f: Assertion \\`a' failed.\" >&2; echo ready; read line", 'SIGKILL', /Assertion/],
  'a sanitizer before a kill': [`echo 'ERROR: AddressSanitizer: heap-use' >&2; ${waits}`, 'SIGKILL', /AddressSanitizer/],
  'undefined behaviour': [`echo 'x.c:1: runtime error: shift' >&2; ${waits} exit 0`, 'end', /runtime error/],
};

for (const [name, [script, ending]] of Object.entries(GOOD)) test(`${name}: in order`, async () => assert.deepEqual(await ended(script, ending), []));
for (const [name, [script, ending, expected]] of Object.entries(BAD))
  test(`${name}: told`, async () => {
    const problems = await ended(script, ending);
    assert.equal(problems.length, 1);
    assert.match(problems[0], expected);
  });

test('any process of a world that ends by itself is told, with its last words, and comes back', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'talus-world-'));
  const problems = [];
  const world = new World({ folder, seed: 1, clients: 6, light: 8, crowd: 0, rate: 20 }, (problem) => problems.push(problem));
  try {
    await world.start();
    const all = { 'gateway 0': world.gateways[0], 'gateway idle': world.idle, tap: world.tap, 'subscriber 1': world.subscribers[1], 'broadcaster 0': world.broadcasters[0] };
    for (const [name, thing] of Object.entries(all)) {
      const { program } = thing;
      process.kill(program.pid, 'SIGABRT');
      await within(program.judged, `judgement of ${name}`);
      assert.notEqual(thing.program.pid, program.pid);
    }
    assert.deepEqual(problems.map(({ consumer, what }) => [consumer, what]), Object.keys(all).map((name) => [name, 'ended by itself with SIGABRT']));
    assert.match(problems[0].came, /publishing on/);
    assert.equal(world.failure, undefined);
  } finally {
    assert.deepEqual(await world.stop(), []);
    await rm(folder, { recursive: true });
  }
});

test('the plan is the same for the same seed, and has the kinds that are asked for', () => {
  const size = { ...SIZE, clients: 10 };
  assert.deepEqual(makePlan(7, 60, size), makePlan(7, 60, size));
  const kinds = (plan) => new Set(plan.map(({ what }) => what).filter((what) => FAULTS[what]));
  assert.deepEqual(kinds(makePlan(2026, 600, size)), new Set(Object.keys(FAULTS)));
  assert.deepEqual(kinds(makePlan(7, 60, size, { only: ['flood', 'cut bus'] })), new Set(['flood', 'cut bus']));
  assert.throws(() => makePlan(7, 60, size, { only: ['no such kind'] }), /no such kind/);
});
