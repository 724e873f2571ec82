// SPDX-License-Identifier: MIT
// --directory-mode: two users of one group meet in a bus directory, which root made or the gateway
// makes; others stay outside. Needs root, or sudo without a password.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { within } from './support/deadline.mjs';
import { binDir, Program } from './support/program.mjs';

const ROOT = 0;
const GROUP = 54321; // numbers that need no entry in /etc/passwd
const ALICE = 54322;
const BOB = 54323;
const MALLORY = 54324;
const MODE = ['--directory-mode', '0770'];
// What a program writes before it is itself: sudo passes no signals on from its own process group.
const RUN = 'umask "$0"; echo "pid $$"; exec "$@"';

const isRoot = process.getuid() === 0;
const hasSudo = !isRoot && spawnSync('sudo', ['-n', 'true']).status === 0;
const asRoot = isRoot ? [] : ['sudo', '-n'];
const skip = isRoot || hasSudo ? false : 'needs root, or sudo without a password, to run as two users';

function root(...args) {
  const [file, ...rest] = [...asRoot, ...args];
  const { status, stderr } = spawnSync(file, rest, { encoding: 'utf8' });
  assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
}

/** A folder that all users may look into, with the programs, which may be where others cannot go. */
async function place(t) {
  const folder = await mkdtemp(path.join(tmpdir(), 'talus-mode-'));
  const programs = [];
  t.after(async () => {
    for (const program of programs) await program.end('KILL');
    root('rm', '-r', folder);
  });
  await chmod(folder, 0o755);
  root('cp', path.join(binDir, 'talus'), path.join(binDir, 'talus-gateway'), folder);
  root('chown', '-R', '0:0', folder); // only one's own directories and root's are trusted
  const bus = path.join(folder, 'bus');
  const variables = Object.entries({ ...process.env, TALUS_BUS: `ipc://${bus}/*` }).filter(([name]) => /^(TALUS_BUS|[A-Z]+SAN_OPTIONS)$/.test(name));
  const env = variables.map(([name, value]) => `${name}=${value}`);

  async function run(user, group, umask, program, ...args) {
    const users = ['setpriv', `--reuid=${user}`, `--regid=${group}`, '--clear-groups'];
    const [file, ...rest] = [...asRoot, ...users, 'env', ...env, 'sh', '-c', RUN, umask, path.join(folder, program), ...args];
    const started = new Program(file, rest);
    const [, pid] = await started.line(/^pid (\d+)$/);
    programs.push(started);
    started.end = async (signal = 'TERM') => {
      if (started.child.exitCode === null && started.child.signalCode === null) root('kill', `-${signal}`, pid);
      await within(started.exit, `end of ${program}`);
      return started.errors;
    };
    return started;
  }
  return { bus, run };
}

async function ended(program) {
  const { code } = await within(program.exit, `end of ${program.name}`);
  await program.closed;
  return { code, errors: program.errors };
}

/** Bob hears what he emits, beside the gateway; Mallory is in another group, and refused. */
async function meet(run) {
  const tap = await run(BOB, GROUP, '077', 'talus', 'tap', ...MODE, '--session', 's', '--count', '1', '--timeout', '20');
  await tap.saying(/listening on/);
  const emit = await run(BOB, GROUP, '077', 'talus', 'emit', ...MODE, '--wait-subscriber', '10', 's', 'hello', '{}');
  assert.deepEqual(await ended(emit), { code: 0, errors: '' });
  await tap.line(/hello/);
  const outsider = await run(MALLORY, MALLORY, '077', 'talus', 'emit', ...MODE, 's', 'hello', '{}');
  const { code, errors } = await ended(outsider);
  assert.equal(code, 1);
  assert.match(errors, /permission denied/);
}

async function serving(gateway) {
  const [, url] = await gateway.line(/listening on (\S+)$/);
  return url;
}

test('users of one group meet, others are refused', { skip }, async (t) => {
  const { bus, run } = await place(t);
  root('mkdir', bus);
  root('chown', `0:${GROUP}`, bus);
  root('chmod', '2770', bus);
  const gateway = await run(ALICE, GROUP, '077', 'talus-gateway', '--listen', '127.0.0.1:0', ...MODE);
  const url = await serving(gateway);
  assert.equal((await stat(bus)).mode & 0o7777, 0o2770); // one that is found is not changed
  await meet(run);
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^talus_bus_sessions /m);
  assert.doesNotMatch(await gateway.end(), /Sanitizer|runtime error:/);
});

test('a directory that the gateway makes is for its group, whatever the umask is', { skip }, async (t) => {
  const { bus, run } = await place(t);
  const gateway = await run(ROOT, GROUP, '077', 'talus-gateway', '--listen', '127.0.0.1:0', ...MODE);
  await serving(gateway);
  const { mode, uid, gid } = await stat(bus);
  assert.deepEqual([(mode & 0o7777).toString(8), uid, gid], ['770', ROOT, GROUP]);
  await meet(run);
  await gateway.end();
});

test('a directory that the gateway makes is for its user alone without the option', { skip }, async (t) => {
  const { bus, run } = await place(t);
  const gateway = await run(ROOT, GROUP, '000', 'talus-gateway', '--listen', '127.0.0.1:0');
  await serving(gateway);
  assert.equal(((await stat(bus)).mode & 0o7777).toString(8), '700');
  const emit = await run(BOB, GROUP, '077', 'talus', 'emit', ...MODE, 's', 'hello', '{}');
  const { code, errors } = await ended(emit);
  assert.equal(code, 1);
  assert.match(errors, /permission denied/);
  await gateway.end();
});
