// SPDX-License-Identifier: MIT
// scripts/run: a Ctrl-C in each of its phases, or a signal to the script alone, ends it, and leaves
// neither a process nor a file behind.
// Small scripts stand for apt, npm and the compiler, since those need a network and minutes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { within } from './support/deadline.mjs';
import { binDir } from './support/program.mjs';

const source = path.resolve(path.dirname(new URL(import.meta.url).pathname), '../../scripts/run');
const NOTHING = '#!/bin/sh\nexit 0\n';
const WAITING = '#!/bin/sh\necho waiting\nexec sleep 60\n'; // dies of the signal, as a compiler does
const WORKING = '#!/bin/sh\nsh -c "echo waiting; sleep 60; echo on" | cat\n'; // has children of children, as a build does
const STUBBORN = '#!/bin/sh\ntrap "" TERM HUP\nsh -c "echo waiting; sleep 60; sleep 60"\n';
const CATCHING = "#!/bin/sh\nsleep 60 & trap 'kill $!; wait; exit 0' INT\necho waiting\nwait\n"; // ends well, as npm may

async function place(t, { setup = NOTHING, build = NOTHING } = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'talus-run-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const name of ['scripts', 'tmp', 'build', 'clients/web/dist']) await mkdir(path.join(folder, name), { recursive: true });
  await copyFile(source, path.join(folder, 'scripts/run'));
  await writeFile(path.join(folder, 'scripts/setup'), setup, { mode: 0o755 });
  await writeFile(path.join(folder, 'scripts/build'), build, { mode: 0o755 });
  await writeFile(path.join(folder, 'clients/web/dist/index.html'), '<!doctype html>');
  await symlink(binDir, path.join(folder, 'build/bin'));
  return folder;
}

/** Whether a process of the group lives; one that nobody has waited for yet does not. */
function isGroupAlive(group) {
  return readdirSync('/proc').some((pid) => {
    let stat;
    try {
      stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    } catch {
      return false; // no process, or no more
    }
    const [state, , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(itsGroup) === group && state !== 'Z';
  });
}

/** `send` gets the id of the script's process, which leads a group. */
async function interrupted(t, folder, args, isReached, send = (pid) => process.kill(-pid, 'SIGINT')) {
  const env = { ...process.env, TMPDIR: path.join(folder, 'tmp'), TALUS_BUS: `ipc://${folder}/bus/*` };
  const child = spawn('bash', [path.join(folder, 'scripts/run'), ...args], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => isGroupAlive(child.pid) && process.kill(-child.pid, 'SIGKILL'));
  const exited = once(child, 'exit');
  const closed = once(child, 'close'); // also: nobody has the pipes open any more
  let output = '';
  const reached = new Promise((resolve) => {
    const look = (data) => {
      output += data;
      if (isReached.test(output)) resolve();
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
  });
  await within(Promise.race([reached, exited.then(() => { throw new Error(`ended early: ${output}`); })]), `${isReached} of scripts/run`);
  send(child.pid); // by default as a terminal does
  const [code, signal] = await within(exited, 'end of scripts/run');
  await within(closed, 'end of what scripts/run started');
  assert.equal(isGroupAlive(child.pid), false);
  assert.deepEqual(await readdir(path.join(folder, 'tmp')), []);
  return { code, signal, output };
}

for (const phase of ['setup', 'build'])
  for (const [kind, text] of [['dies of it', WAITING], ['catches it', CATCHING]])
    test(`Ctrl-C in ${phase}, which ${kind}`, async (t) => {
      const folder = await place(t, { [phase]: text });
      const { code, signal } = await interrupted(t, folder, [], /waiting/);
      assert.deepEqual([code, signal], [130, null]);
    });

for (const phase of ['setup', 'build'])
  for (const [signal, kind, text] of [['SIGTERM', 'dies of it', WAITING], ['SIGHUP', 'works', WORKING], ['SIGINT', 'works', WORKING], ['SIGTERM', 'works', WORKING], ['SIGTERM', 'ignores it', STUBBORN]])
    test(`${signal} to the script alone in ${phase}, which ${kind}`, async (t) => {
      const folder = await place(t, { [phase]: text });
      const result = await interrupted(t, folder, [], /waiting/, (pid) => process.kill(pid, signal));
      assert.deepEqual([result.code, result.signal], [130, null]);
      assert.doesNotMatch(result.output, /on$/m);
    });

test('a phase that fails ends the script with its status', async (t) => {
  const folder = await place(t, { setup: '#!/bin/sh\nread line\necho "got $line" >&2\nexit 7\n' });
  const child = spawn('bash', [path.join(folder, 'scripts/run')], { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.end('input\n');
  let said = '';
  child.stderr.on('data', (data) => (said += data));
  const [code] = await within(once(child, 'close'), 'end of scripts/run');
  assert.deepEqual([code, said], [7, 'got input\n']);
});

test('Ctrl-C while the gateway starts', async (t) => {
  const folder = await place(t, { build: '#!/bin/sh\necho built\n' });
  const { code, signal } = await interrupted(t, folder, ['--listen', '127.0.0.1:0'], /built/);
  assert.ok(signal === null && (code === 130 || code === 0), `${code} ${signal}`);
});

test('Ctrl-C while it serves', async (t) => {
  const folder = await place(t);
  const args = ['--listen', '127.0.0.1:0', '--log-level', 'error']; // the user's options beat the script's
  const { code, output } = await interrupted(t, folder, args, /Ctrl-C stops/);
  assert.equal(code, 0);
  assert.match(output, /http:\/\/127\.0\.0\.1:\d+\/\?session=demo/);
});
