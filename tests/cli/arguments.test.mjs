// SPDX-License-Identifier: MIT
// Every wrong command line: exactly one line on standard error, and exit status 2. And the help.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from './support/talus.mjs';

const LONG = 'x'.repeat(129);
const SESSION = '--session takes a session id (1 to 128 of A-Z a-z 0-9 . _ : @ -)';
const WRONG = [
  [[], 'talus: no command given: there are tap, emit, demo and bench (see talus --help)'],
  [['tip'], 'talus: no command "tip": there are tap, emit, demo and bench (see talus --help)'],
  [['--bus'], 'talus: unknown option "--bus" (see talus --help)'],
  [['help', 'tip'], 'talus help: no command "tip": there are tap, emit, demo and bench'],
  [['help', 'tap', 'x'], 'talus help: unexpected argument "x"'],

  [['tap', '--count', 'x'], 'talus tap: --count takes a number from 1 to 1000000000000, not "x"'],
  [['tap', '--count', '0'], 'talus tap: --count takes a number from 1 to 1000000000000, not "0"'],
  [['tap', '--count', '-1'], 'talus tap: --count takes a number from 1 to 1000000000000, not "-1"'],
  [['tap', '--count'], 'talus tap: --count needs an argument: N'],
  [['tap', '--timeout', '1x'], 'talus tap: --timeout takes a number of seconds from 0 to 1000000, or a time such as 500ms, 5s or 2m, not "1x"'],
  [['tap', '--timeout=-1'], 'talus tap: --timeout takes a number of seconds from 0 to 1000000, or a time such as 500ms, 5s or 2m, not "-1"'],
  [['tap', '--format', 'xml'], 'talus tap: --format takes pretty or json, not "xml"'],
  [['tap', '--color', 'blue'], 'talus tap: --color takes auto, always or never, not "blue"'],
  [['tap', '--session', 'a/b'], `talus tap: ${SESSION}, "*" or "", not "a/b"`],
  [['tap', '--session', LONG], `talus tap: ${SESSION}, "*" or "", not "${LONG}"`],
  [['tap', '--bus', ''], 'talus tap: --bus takes an endpoint, not ""'],
  [['tap', '--nope'], 'talus tap: unknown or ambiguous option "--nope" (see talus tap --help)'],
  [['tap', '-x'], 'talus tap: unknown option "-x" (see talus tap --help)'],
  [['tap', 'demo'], 'talus tap: unexpected argument "demo" (see talus tap --help)'],

  [['emit'], 'talus emit: takes SESSION TYPE [JSON | -] (see talus emit --help)'],
  [['emit', 's'], 'talus emit: takes SESSION TYPE [JSON | -] (see talus emit --help)'],
  [['emit', 's', 't', '{}', 'x'], 'talus emit: unexpected argument "x" after SESSION TYPE [JSON | -] (see talus emit --help)'],
  [['emit', 'a b', 't'], 'talus emit: SESSION "a b": the session id is not valid (1 to 128 of A-Z a-z 0-9 . _ : @ -); \'\' means everybody'],
  [['emit', 's', 'a/b'], 'talus emit: TYPE "a/b": the event type is not valid (1 to 64 of A-Z a-z 0-9 . _ : -)'],
  [['emit', 's', ''], 'talus emit: TYPE "": the event type is not valid (1 to 64 of A-Z a-z 0-9 . _ : -)'],
  [['emit', 's', 'disconnect'], 'talus emit: TYPE "disconnect": the event type is reserved'],
  [['emit', 's', '$head'], 'talus emit: TYPE "$head": the event type is reserved'],
  [['emit', '--skip', '', 's', 't'], 'talus emit: --skip takes a client id of 1 to 64 bytes, not ""'],
  [['emit', '--skip', LONG, 's', 't'], `talus emit: --skip takes a client id of 1 to 64 bytes, not "${LONG}"`],
  [['emit', '--wait-subscriber', 'x', 's', 't'], 'talus emit: --wait-subscriber takes a number of seconds from 0 to 1000000, or a time such as 500ms, 5s or 2m, not "x"'],
  [['emit', '--timeout', 'x', 's', 't'], 'talus emit: --timeout takes a number of seconds from 0 to 1000000, or a time such as 500ms, 5s or 2m, not "x"'],
  [['emit', 's', 't', '-5'], 'talus emit: unknown option "-5" (see talus emit --help)'],
  [['emit', 's', 't', '{"a":1,"a":2}'], /^talus emit: the payload is not usable JSON: duplicate object key near '"a"' \(column 10\)$/],
  [['emit', 's', 't', '{"n":18446744073709551615}'],
    /^talus emit: the payload is not usable JSON: a number is out of range \(integers: -9223372036854775808 to 9223372036854775807\) near column \d+$/],
  [['emit', 's', 't', '{"base64":"?"}'], 'talus emit: the payload is not usable JSON: the text of a "base64" member is not base64'],
  [['emit', 's', 't', ''], /^talus emit: the payload is not usable JSON: .*\(column 0\)$/],

  [['demo', '--session', ''], `talus demo: ${SESSION}, not ""`],
  [['demo', '--session', '*'], `talus demo: ${SESSION}, not "*"`],
  [['demo', '--rate', '0'], 'talus demo: --rate takes a number of events a second from 0.01 to 100000, not "0"'],
  [['demo', '--count', '1.5'], 'talus demo: --count takes a number from 1 to 1000000000000, not "1.5"'],
  [['demo', '--seed', '4294967296'], 'talus demo: --seed takes a number from 0 to 4294967295, not "4294967296"'],
  [['demo', '--wait-subscriber', ''], 'talus demo: --wait-subscriber takes a number of seconds from 0 to 1000000, or a time such as 500ms, 5s or 2m, not ""'],
  [['demo', 'x'], 'talus demo: unexpected argument "x" (see talus demo --help)'],
];

test('each wrong command line is one line and status 2', async (t) => {
  const bus = await Bus.open(t);
  for (const [args, message] of WRONG)
    await t.test(`talus ${args.join(' ').slice(0, 60)}`, async () => {
      const { status, out, err } = await bus.run(args);
      if (message instanceof RegExp) {
        assert.match(err.slice(0, -1), message);
        assert.equal(err.at(-1), '\n');
      } else {
        assert.equal(err, `${message}\n`);
      }
      assert.deepEqual([status, out], [2, []]);
    });
  assert.deepEqual(await bus.files(), []);
});

test('a bus that cannot be one is an error of the command line, from TALUS_BUS too', async (t) => {
  const bus = await Bus.open(t);
  for (const command of [['tap'], ['emit', 's', 't'], ['demo']]) {
    const named = await bus.run([...command, '--bus', 'nonsense']);
    assert.match(named.err, /^talus \w+: cannot \w+ on ">?nonsense": the endpoint is malformed; .*\n$/);
    assert.equal(named.status, 2);
    const found = await bus.run(command, { env: { TALUS_BUS: 'nonsense' } });
    assert.match(found.err, /^talus \w+: cannot \w+ on ">?nonsense" of TALUS_BUS: the endpoint is malformed; .*\n$/);
    assert.equal(found.status, 2);
  }
});

test('a payload over a bound is an error of the command line too', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap();
  const deep = `${'['.repeat(33)}${']'.repeat(33)}`;
  const bins = JSON.stringify(Array.from({ length: 11 }, () => ({ base64: '' })));
  for (const [json, message] of [
    [deep, /^talus emit: the payload is nested deeper than the bound\n$/],
    [bins, /^talus emit: the payload has more binary values than the bound\n$/],
    ['{"_placeholder":{"base64":""}}', /^talus emit: the payload has binary values and a map key named _placeholder\n$/],
  ]) {
    const { status, out, err } = await bus.emit('s', 't', json);
    assert.match(err, message);
    assert.deepEqual([status, out], [2, []]);
  }
  assert.equal((await tap.kill('SIGTERM')).status, 0);
});

test('help and version go to standard output', async (t) => {
  const bus = await Bus.open(t);
  const version = await bus.run(['--version']);
  assert.deepEqual([version.status, version.err], [0, '']);
  assert.match(version.out.join('\n'), /^talus \d+\.\d+\.\d+$/);
  const general = await bus.run(['--help']);
  assert.deepEqual((await bus.run(['help'])).out, general.out);
  assert.deepEqual((await bus.run(['-h'])).out, general.out);
  for (const name of ['tap', 'emit', 'demo']) {
    assert.ok(general.out.some((line) => line.startsWith(`  ${name} `)), name);
    const help = await bus.run([name, '--help']);
    assert.deepEqual([help.status, help.err], [0, '']);
    assert.equal(help.out[0].indexOf(`Usage: talus ${name} [OPTION]`), 0);
    assert.deepEqual((await bus.run(['help', name])).out, help.out);
    for (const line of [...help.out, ...general.out]) assert.ok([...line].length <= 80, line);
  }
});
