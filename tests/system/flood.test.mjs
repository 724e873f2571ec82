// SPDX-License-Identifier: MIT
// How a flood's settling ends: with all that came, with what is still owed once the time is over,
// and with an error where a log could not be judged at all, which must not pass for a good end.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Program } from '../e2e/support/program.mjs';
import { Consumer } from './support/consumer.mjs';
import { Flood } from './support/flood.mjs';
import { Log } from './support/log.mjs';

/** Settles a flood whose only log has these lines, of a session with one event; gives the problems. */
async function settled(t, text) {
  const folder = await mkdtemp(path.join(tmpdir(), 'talus-flood-test-'));
  const file = path.join(folder, 'log');
  await writeFile(file, text);
  const problems = [];
  const flood = new Flood({ path: (name) => path.join(folder, name), report: (problem) => problems.push(problem) }, { receiver: 'subscriber', by: 'kill' }, 1);
  flood.program = new Program('sleep', ['60']); // a receiver that lives
  t.after(async () => {
    await flood.program.stop('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });
  const origin = Object.assign(flood.emitted.addBroadcaster('o', undefined), { isOurs: true });
  origin.add(1, 's', 100);
  flood.logs = [new Log(file, new Consumer('c', flood.emitted, (problem) => problems.push(problem)))];
  await flood.settle(300);
  return problems.map(({ what }) => what);
}

const JOINED = '[10,"ask","s"]\n[20,"joined","s",""]\n';
const EVENT = '[1000,"event","s","o.1",1]\n';

test('a flood of which all came: nothing is told', async (t) => assert.deepEqual(await settled(t, JOINED + EVENT), []));
test('a flood of which something is missing when the time is over: told', async (t) =>
  assert.deepEqual(await settled(t, JOINED), ['the newest events are missing (alive)']));
test('a log that cannot be read: an error', (t) => assert.rejects(settled(t, `${JOINED}no json\n${EVENT}`), SyntaxError));
test('a log that cannot be heard: an error', (t) => assert.rejects(settled(t, `${JOINED}[1000,"event","s",null]\n`), TypeError));
test('a log that cannot be judged: an error', (t) => assert.rejects(settled(t, `${JOINED}[1000,"nonsense"]\n`), TypeError));
