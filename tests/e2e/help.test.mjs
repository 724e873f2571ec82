// SPDX-License-Identifier: MIT
// The help texts: their lines are filled, and all programs tell alike which bus is the default.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { within } from './support/deadline.mjs';
import { binDir, Program } from './support/program.mjs';

const DEFAULT_BUS = /default:? \$TALUS_BUS, else the user's bus directory/i;

async function help(...command) {
  const [file, ...args] = command;
  const program = new Program(path.join(binDir, file), [...args, '--help']);
  const { code } = await within(program.exit, `end of ${file} --help`);
  await program.closed;
  assert.deepEqual([code, program.errors], [0, '']);
  return program.lines;
}

test('the help of the gateway: no line ends before the next word needs it', async () => {
  const lines = await help('talus-gateway');
  const widest = Math.max(...lines.map((line) => line.length));
  assert.ok(widest <= 100, `${widest} columns`);
  lines.forEach((line, index) => {
    const next = lines[index + 1] ?? '';
    const isGoingOn = line !== '' && next !== '' && !/^(Usage| +--)/.test(next) && !line.startsWith('Usage');
    if (isGoingOn) assert.ok(line.length + 1 + next.trim().split(' ')[0].length > 100, `"${next.trim()}" had room in "${line}"`);
  });
});

for (const command of [['talus-gateway'], ['talus', 'tap'], ['talus', 'emit'], ['talus', 'demo'], ['talus', 'bench', 'gateway']])
  test(`the help of ${command.join(' ')} names the default bus`, async () => {
    const text = (await help(...command)).join(' ').replace(/\s+/g, ' ');
    assert.match(text, DEFAULT_BUS);
    const count = (pattern) => text.match(pattern)?.length ?? 0;
    assert.equal(count(/TALUS_BUS/g), count(new RegExp(DEFAULT_BUS, 'gi')), 'all in the same words');
  });
