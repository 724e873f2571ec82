// SPDX-License-Identifier: MIT
// A bus that cannot be one: the gateway and the commands say the same of it, and end alike.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { within } from './support/deadline.mjs';
import { binDir, newBus, Program } from './support/program.mjs';

const COMMANDS = [
  ['talus-gateway', '--listen', '127.0.0.1:0'],
  ['talus', 'emit', 's', 't', '{}'],
  ['talus', 'tap', '--timeout', '5'],
  ['talus', 'demo'],
];
const LINE_MAX = 500; // characters

const inFolder = (size) => `ipc:///tmp/${'a'.repeat(size)}/*`;
const MALFORMED = 'the endpoint is malformed';
const TOO_LONG = 'too long for a Unix socket';
const USAGE = [
  ['nonsense', MALFORMED],
  [',', MALFORMED],
  [',tcp://127.0.0.1:5570', MALFORMED],
  ['tcp://127.0.0.1:5570,', MALFORMED],
  ['ipc://', MALFORMED],
  ['n'.repeat(3000), MALFORMED],
  [`tcp://${'h'.repeat(3000)}:1`, MALFORMED],
  [`a${'é'.repeat(1500)}`, MALFORMED],
  [`${'é'.repeat(1500)}`, MALFORMED],
  [inFolder(120), TOO_LONG],
  [inFolder(490), TOO_LONG],
  [inFolder(3000), TOO_LONG],
  [`ipc:///tmp/${'a'.repeat(300)}`, TOO_LONG],
];
const HUGE = [inFolder(5000), 'n'.repeat(5000)]; // no default may be so long

let bus;
before(async () => (bus = await newBus()));
after(() => bus.remove());

/** Runs it to its end; gives the status and the only line that it says. */
async function refused([file, ...args], env) {
  const program = new Program(path.join(binDir, file), args, env);
  const { code } = await within(program.exit, `end of ${file}`);
  await program.closed;
  assert.match(program.errors, /^[^\n]+\n$/);
  assert.ok(program.errors.length < LINE_MAX, `${program.errors.length} characters`);
  assert.ok(!program.errors.includes('\ufffd'), 'a character is cut in two');
  return { code, line: program.errors };
}

const shown = (value) => (value.length > 200 ? `${value.slice(0, 90)}` : value);
const title = (value) => `${value.slice(0, 24)}${value.length > 24 ? `… (${value.length})` : ''}`;

for (const [value, reason] of USAGE)
  test(`TALUS_BUS is ${title(value)}`, async () => {
    for (const command of COMMANDS) {
      const { code, line } = await refused(command, { TALUS_BUS: value });
      assert.equal(code, 2, line);
      assert.ok(line.includes('TALUS_BUS') && line.includes(shown(value)) && line.includes(reason), line);
      assert.equal(line.includes('…'), value.length > 200, line);
    }
  });

for (const [value, reason] of USAGE)
  test(`--bus is ${title(value)}`, async () => {
    for (const command of COMMANDS) {
      const { code, line } = await refused([...command, '--bus', value], bus.env);
      assert.equal(code, 2, line);
      const plain = line.replaceAll('>', ''); // which emit adds to what it connects to
      assert.ok(plain.includes(shown(value)) && line.includes(reason), line);
    }
  });

for (const value of HUGE)
  test(`TALUS_BUS is ${title(value)}`, async () => {
    for (const command of COMMANDS) {
      const { code, line } = await refused(command, { TALUS_BUS: value });
      assert.equal(code, 2, line);
      assert.ok(line.includes('TALUS_BUS') && line.includes(shown(value)) && line.includes('…'), line);
    }
  });

test('a bus that is no directory is no error of the command line', async () => {
  for (const command of COMMANDS) {
    const { code, line } = await refused(command, { TALUS_BUS: 'ipc:///dev/null/*' });
    assert.equal(code, 1, line);
    assert.match(line, /ipc:\/\/\/dev\/null\/\*.*: Not a directory/);
  }
});
