// SPDX-License-Identifier: MIT
// --directory-mode: two users of one group meet in a bus directory; others stay outside.

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { binDir, Program } from './support/program.mjs';

const GROUP = 54321; // numbers that need no entry in /etc/passwd
const ALICE = 54322;
const BOB = 54323;
const MALLORY = 54324;
const MODE = ['--directory-mode', '0770'];

const isRoot = process.getuid() === 0;
const hasSetpriv = spawnSync('setpriv', ['--version']).status === 0;
const isReachable = isRoot && hasSetpriv &&
  spawnSync('setpriv', [`--reuid=${ALICE}`, '--clear-groups', `--regid=${GROUP}`, path.join(binDir, 'talus'), '--version']).status === 0;
const skip = !isRoot ? 'needs root, to run as two users' : !hasSetpriv ? 'needs setpriv' :
  !isReachable ? 'other users cannot run the programs here' : false;

function as(user, group, args, env) {
  return new Program('setpriv', [`--reuid=${user}`, `--regid=${group}`, '--clear-groups', path.join(binDir, args[0]), ...args.slice(1)], env);
}

test('users of one group meet, others are refused', { skip }, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'talus-mode-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  // Only one's own directories and root's are trusted, so root makes the one that users share.
  const bus = path.join(folder, 'bus');
  await mkdir(bus);
  await chown(bus, 0, GROUP);
  await chmod(bus, 0o2770);
  const env = { TALUS_BUS: `ipc://${bus}/*` };
  const gateway = as(ALICE, GROUP, ['talus-gateway', '--listen', '127.0.0.1:0', ...MODE], env);
  t.after(() => gateway.stop());
  const [, url] = await gateway.line(/listening on (\S+)$/);
  assert.equal((await stat(bus)).mode & 0o777, 0o770);

  const tap = as(BOB, GROUP, ['talus', 'tap', ...MODE, '--session', 's', '--count', '1', '--timeout', '20'], env);
  await tap.saying(/listening on/);
  const emit = as(BOB, GROUP, ['talus', 'emit', ...MODE, '--wait-subscriber', '10', 's', 'hello', '{}'], env);
  assert.deepEqual([(await emit.exit).code, emit.errors], [0, '']);
  await tap.line(/hello/);
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^talus_bus_sessions /m);

  const outsider = as(MALLORY, MALLORY, ['talus', 'emit', ...MODE, 's', 'hello', '{}'], env);
  assert.equal((await outsider.exit).code, 1);
  assert.match(outsider.errors, /permission denied/);
});
