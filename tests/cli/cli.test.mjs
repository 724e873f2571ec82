// SPDX-License-Identifier: MIT
// What `talus emit` sends, `talus tap` prints: the real program, end to end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus, PATIENTLY } from './support/talus.mjs';

const node = { session_id: 's-1', node_id: 'node-7' };
const link = { session_id: 's-1', parent_id: 'node-7', child_id: 'node-8' };
const command = { session_id: 's-1', command_id: 'mira-0001' };
const TYPED = {
  'node-created': { ...node, parent_id: null, blueprint_type_id: 'filter.blur', name: 'Blur 7' },
  'node-deleted': node,
  'node-updated': node,
  'node-linked': link,
  'node-unlinked': link,
  'property-changed': {
    ...node,
    property_name: 'note',
    old_value: null,
    new_value: { list: [1, -2, 0.5, true, 'für 猫'], deep: { empty: {} } },
  },
  'property-deleted': { ...node, property_name: 'note' },
  'command-executing': { ...command, command_type: 'SetProperty' },
  'command-executed': { ...command, success: false, error: 'it would close a cycle' },
  undo: command,
  redo: command,
  'session-connected': { session_id: 's-1', client_id: 'c-1' },
  'session-disconnected': { session_id: 's-1', client_id: 'c-1' },
  external_template_update: { session_id: 's-1', template_id: 't@2' },
};

const parsed = (lines) => lines.map((line) => JSON.parse(line));
const types = (lines) => parsed(lines).map(({ type }) => type);

test('every typed event reaches a tap in JSON, with exactly its fields', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--format', 'json', '--count', '14');
  const ids = [];
  const before = Date.now() * 1000;
  for (const [type, data] of Object.entries(TYPED)) {
    const { status, out, err } = await bus.emit('s-1', type, JSON.stringify(data));
    assert.deepEqual({ status, err }, { status: 0, err: '' });
    assert.equal(out.length, 1);
    ids.push(out[0]);
  }
  const { status, out } = await tap.end();
  assert.equal(status, 0);
  const events = parsed(out);
  assert.deepEqual(
    events.map(({ type, data }) => [type, data]),
    Object.entries(TYPED),
  );
  for (const [index, event] of events.entries()) {
    assert.deepEqual(Object.keys(event), ['origin', 'seq', 'prev', 'ts', 'session', 'type', 'data']);
    assert.equal(`${event.origin}.${event.seq}`, ids[index]);
    assert.deepEqual([event.seq, event.prev, event.session], [1, 0, 's-1']);
    assert.ok(event.ts >= before && event.ts <= Date.now() * 1000 + 999);
  }
});

test('every typed event reaches a tap as one pretty line', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--count', '14');
  for (const [type, data] of Object.entries(TYPED)) {
    const { status, out } = await bus.emit('s-1', type, JSON.stringify(data));
    assert.equal(status, 0);
    const { session_id, ...rest } = data;
    const line = (await tap.lines(Object.keys(TYPED).indexOf(type) + 1)).at(-1);
    const [, time, session, seenType, id, payload] = line.match(/^(\S+) (\S+) +(\S+) +(\S+) +(.*)$/);
    assert.match(time, /^\d\d:\d\d:\d\d\.\d\d\d$/);
    assert.deepEqual([session, seenType, id], [session_id, type, out[0]]);
    assert.equal(payload, JSON.stringify(rest));
  }
  assert.equal((await tap.end()).status, 0);
});

test('lines of standard input become events in order, and --count ends the tap', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--session', 'burst', '--format', 'json', '--count', '2000');
  const lines = Array.from({ length: 2500 }, (_, index) => JSON.stringify({ index }));
  const { status, out, err } = await bus.emitLines(['burst', 'imported'], lines);
  assert.deepEqual({ status, err }, { status: 0, err: '' });
  assert.equal(new Set(out).size, 2500);
  const ended = await tap.end();
  assert.equal(ended.status, 0);
  const events = parsed(ended.out);
  assert.equal(events.length, 2000);
  for (const [index, event] of events.entries()) {
    assert.equal(event.data.index, index);
    assert.deepEqual([event.seq, event.prev], [index + 1, index]);
    assert.equal(`${event.origin}.${event.seq}`, out[index]);
  }
});

test('bad lines are named by number, the others go out, and the exit status is 1', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--format', 'json', '--count', '4');
  const deep = `${'['.repeat(40)}${']'.repeat(40)}`;
  const long = `"${'x'.repeat(1_000_000)}"`;
  const input = [
    '{"n":1}', '{"n":', '', '  ', '{"n":5}', deep, '18446744073709551615', long, '7', 'x'.repeat(9 << 20),
  ];
  const { status, out, err } = await bus.run(['emit', ...PATIENTLY, 's', 't', '-'], {
    input: `${input.join('\n')}\n"the last has no line end"`,
  });
  assert.equal(status, 1);
  assert.equal(out.length, 4);
  const errors = err.trimEnd().split('\n');
  assert.match(errors[0], /^talus emit: line 2: not usable JSON: .*end of file/);
  assert.match(errors[1], /^talus emit: line 6: the payload is nested deeper than the bound$/);
  assert.match(errors[2], /^talus emit: line 7: not usable JSON: .*9223372036854775807/);
  assert.match(errors[3], /^talus emit: line 8: .*(more than 1000000 bytes|larger than the bound)/);
  assert.match(errors[4], /^talus emit: line 10: longer than 8388608 bytes$/);
  assert.equal(errors.length, 5);
  const events = parsed((await tap.end()).out);
  assert.deepEqual(events.map(({ data }) => data), [{ n: 1 }, { n: 5 }, 7, 'the last has no line end']);
  assert.deepEqual(events.map(({ seq }) => seq), [1, 2, 3, 4]);
});

test('without JSON the payload is an empty map, and any JSON value is a payload', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--format', 'json', '--count', '4');
  await bus.emit('s', 't');
  await bus.emit('--', 's', 't', '-5');
  await bus.emit('s', 't', '[0.5,9223372036854775807]');
  await bus.emit('s', 't', ' null ');
  const { out } = await tap.end();
  assert.deepEqual(out.map((line) => line.match(/"data":(.*)}$/)[1]), [
    '{}', '-5', '[0.5,9223372036854775807]', 'null',
  ]);
});

test('binary values survive from tap to emit to tap', async (t) => {
  const bus = await Bus.open(t);
  const first = await bus.tap('--session', 'a', '--format', 'json', '--count', '1');
  const second = await bus.tap('--session', 'b', '--format', 'json', '--count', '1');
  const data = { picture: { base64: Buffer.from([0, 1, 254, 255]).toString('base64') }, x: 1 };
  await bus.emit('a', 't', JSON.stringify(data));
  const seen = JSON.parse((await first.end()).out[0]).data;
  assert.deepEqual(seen, data);
  await bus.emit('b', 't', JSON.stringify(seen));
  assert.deepEqual(JSON.parse((await second.end()).out[0]).data, data);
});

test('--session and --type choose what is printed', async (t) => {
  const bus = await Bus.open(t);
  const taps = {
    all: await bus.tap('--format', 'json'),
    one: await bus.tap('--format', 'json', '--session', 'a'),
    two: await bus.tap('--format', 'json', '--session', 'a', '--session', 'b'),
    everybody: await bus.tap('--format', 'json', '--session', ''),
    nodes: await bus.tap('--format', 'json', '--type', 'node-*', '--type', 'done'),
    both: await bus.tap('--format', 'json', '--session', 'a', '--type', 'node-?eleted'),
  };
  // "ab" shows that a session is no prefix; a last event tells each tap that all has come.
  for (const [session, type] of [
    ['a', 'node-created'], ['ab', 'node-created'], ['b', 'undo'], ['', 'notice'], ['a', 'node-deleted'],
  ])
    assert.equal((await bus.emit(session, type, '{}')).status, 0);
  const seen = async (tap, count) => (await tap.lines(count)).map((line) => {
    const { session, type } = JSON.parse(line);
    return `${session}/${type}`;
  });
  assert.deepEqual((await seen(taps.all, 5)).sort(),
    ['/notice', 'a/node-created', 'a/node-deleted', 'ab/node-created', 'b/undo']);
  assert.deepEqual((await seen(taps.one, 2)).sort(), ['a/node-created', 'a/node-deleted']);
  assert.deepEqual((await seen(taps.two, 3)).sort(), ['a/node-created', 'a/node-deleted', 'b/undo']);
  assert.deepEqual(await seen(taps.everybody, 1), ['/notice']);
  assert.deepEqual((await seen(taps.nodes, 3)).sort(),
    ['a/node-created', 'a/node-deleted', 'ab/node-created']);
  assert.deepEqual(await seen(taps.both, 1), ['a/node-deleted']);
  for (const [name, tap] of Object.entries(taps)) {
    const { status, out } = await tap.kill('SIGTERM');
    assert.equal(status, 0, name);
    assert.equal(out.length, { all: 5, one: 2, two: 3, everybody: 1, nodes: 3, both: 1 }[name], name);
  }
});

test('--skip travels with the event and is shown', async (t) => {
  const bus = await Bus.open(t);
  const json = await bus.tap('--format', 'json', '--count', '1');
  const pretty = await bus.tap('--count', '1');
  await bus.emit('--skip', 'client-1', 's', 't', '1');
  const event = JSON.parse((await json.end()).out[0]);
  assert.deepEqual(Object.keys(event),
    ['origin', 'seq', 'prev', 'ts', 'session', 'type', 'skip', 'data']);
  assert.equal(event.skip, 'client-1');
  assert.match((await pretty.end()).out[0], / skip=client-1 1$/);
});

test('--timeout ends the tap: with 0 unless --count was not reached', async (t) => {
  const bus = await Bus.open(t);
  const plain = await bus.run(['tap', '--timeout', '0.05']);
  assert.deepEqual([plain.status, plain.out], [0, []]);
  const counted = await bus.run(['tap', '--timeout', '0.05', '--count', '2']);
  assert.equal(counted.status, 1);
  assert.match(counted.err, /^talus tap: the time ran out after 0 of 2 events$/m);
});

test('control characters of a payload never reach the output', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--count', '1');
  await bus.emit('s', 't', '"\\u001b[2J\\u009b31m\\u202e\\u007f\\n"');
  const { out } = await tap.end();
  assert.match(out[0], / "\\u001b\[2J\\u009b31m\\u202e\\u007f\\n"$/);
});

test('colours come only when they are wanted', async (t) => {
  const bus = await Bus.open(t);
  const plain = await bus.tap('--count', '1');
  const coloured = await bus.tap('--count', '1', '--color', 'always');
  await bus.emit('s', 'command-executed', '{"success":false}');
  assert.doesNotMatch((await plain.end()).out[0], /\x1b/);
  assert.match((await coloured.end()).out[0], /\x1b\[31mcommand-executed\x1b\[0m/);
});

test('without a subscriber emit says so and ends with 1', async (t) => {
  const bus = await Bus.open(t);
  const { status, out, err } = await bus.run(['emit', '--wait-subscriber', '0.05', 's', 't']);
  assert.deepEqual([status, out], [1, []]);
  assert.equal(err, `talus emit: no subscriber came within 0.05 s on "${bus.endpoint}": start a gateway `
    + 'or "talus tap" there, or wait longer with --wait-subscriber SECONDS\n');
  assert.deepEqual(await bus.files(), []);
});

test('a tap that comes while emit waits gets the event', async (t) => {
  const bus = await Bus.open(t);
  const emitting = bus.emit('s', 't', '"waited"');
  const tap = bus.start(['tap', '--format', 'json', '--count', '1']);
  assert.equal(JSON.parse((await tap.end()).out[0]).data, 'waited');
  assert.equal((await emitting).status, 0);
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
  test(`${signal} ends a tap cleanly and leaves no files`, async (t) => {
    const bus = await Bus.open(t);
    const tap = await bus.tap();
    assert.notDeepEqual(await bus.files(), []);
    const { status, signal: killedBy } = await tap.kill(signal);
    assert.deepEqual([status, killedBy], [0, null]);
    assert.deepEqual(await bus.files(), []);
  });

test('a signal ends emit while it reads, or waits, and leaves no files', async (t) => {
  const bus = await Bus.open(t);
  const waiting = bus.start(['emit', ...PATIENTLY, 's', 't', '-']);
  const tap = await bus.tap('--format', 'json');
  waiting.child.stdin.write('1\n2\n');
  await waiting.lines(2);
  const ended = await waiting.kill('SIGTERM');
  assert.deepEqual([ended.status, ended.err],
    [1, 'talus emit: interrupted after 2 events\n']);
  assert.deepEqual(parsed(await tap.lines(2)).map(({ data }) => data), [1, 2]);
  await tap.kill('SIGTERM');
  assert.deepEqual(await bus.files(), []);
});

test('a tap whose reader goes away ends quietly, events or not', async (t) => {
  const bus = await Bus.open(t);
  const idle = await bus.tap();
  idle.child.stdout.destroy();
  const busy = await bus.tap('--format', 'json');
  const ended = await idle.end();
  assert.equal(ended.status, 0);
  assert.equal(ended.err.trimEnd().split('\n').length, 1);
  const emitting = bus.start(['emit', ...PATIENTLY, 's', 't', '-']);
  emitting.child.stdin.write('1\n');
  await busy.lines(1);
  busy.child.stdout.destroy();
  emitting.child.stdin.end('2\n3\n');
  const stopped = await busy.end();
  assert.equal(stopped.status, 0);
  assert.equal(stopped.err.trimEnd().split('\n').length, 1);
  assert.equal((await emitting.end()).status, 0);
});

test('a tap whose reader does not read still ends at a signal', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--format', 'json');
  tap.child.stdout.once('data', () => tap.child.stdout.pause());
  // Two megabytes: far more than a pipe holds, so that the tap waits for its reader.
  const lines = Array.from({ length: 40 }, () => JSON.stringify('x'.repeat(50_000)));
  assert.equal((await bus.emitLines(['s', 't'], lines)).status, 0);
  tap.child.kill('SIGTERM');
  assert.deepEqual(await tap.exit(), { status: 0, signal: null });
  assert.ok(tap.out.text.length < 1_000_000);
  assert.deepEqual(await bus.files(), []);
});

test('over tcp a tap that binds says its port, and emit connects', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--bus', '@tcp://127.0.0.1:*', '--format', 'json', '--count', '2');
  assert.match(tap.endpoint, /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
  for (const endpoint of [tap.endpoint, `>${tap.endpoint}`]) {
    const { status, out, err } = await bus.emit('--bus', endpoint, 's', 't', '{"over":"tcp"}');
    assert.deepEqual({ status, err }, { status: 0, err: '' });
    assert.equal(out.length, 1);
  }
  const { out } = await tap.end();
  assert.deepEqual(parsed(out).map(({ data }) => data.over), ['tcp', 'tcp']);
  assert.deepEqual(await bus.files(), []);
});

test('two taps get the same, and emit waits for both', async (t) => {
  const bus = await Bus.open(t);
  const taps = [await bus.tap('--format', 'json', '--count', '3'),
    await bus.tap('--format', 'json', '--count', '3')];
  await bus.emitLines(['s', 't'], ['1', '2', '3']);
  const [one, other] = await Promise.all(taps.map((tap) => tap.end()));
  assert.deepEqual(parsed(one.out).map(({ data }) => data), [1, 2, 3]);
  assert.deepEqual(one.out, other.out);
});

test('several buses are published and heard at once', async (t) => {
  const bus = await Bus.open(t);
  // Nobody waits for it beside the directory's: it is heard only where it was ready in time. It has
  // no --count, as one that ends by itself may be met by the signal on its last steps.
  const tcp = await bus.tap('--bus', '@tcp://127.0.0.1:*', '--format', 'json');
  const ipc = await bus.tap('--format', 'json', '--count', '1');
  const { status } = await bus.emit('--bus', bus.endpoint, '--bus', tcp.endpoint, 's', 't', '1');
  assert.equal(status, 0);
  assert.deepEqual(types((await ipc.end()).out), ['t']);
  assert.equal((await tcp.kill('SIGTERM')).status, 0);
});

test('a bus that cannot be is one clear line', async (t) => {
  const bus = await Bus.open(t);
  for (const [args, status, pattern] of [
    [['tap', '--bus', 'nonsense'], 2, /^talus tap: cannot listen on "nonsense": the endpoint is malformed; give /],
    [['emit', '--bus', 'nonsense', 's', 't'], 2, /^talus emit: cannot publish on ">nonsense": the endpoint is malformed; give /],
    [['tap', '--bus', `ipc://${bus.directory}/${'x'.repeat(120)}/*`], 2, /too long for a Unix socket; choose a shorter one/],
    [['tap', '--bus', 'ipc:///proc/nowhere/*'], 1, /^talus tap: cannot listen on "ipc:\/\/\/proc\/nowhere\/\*": /],
  ]) {
    const result = await bus.run(args);
    assert.equal(result.status, status, args.join(' '));
    assert.match(result.err, pattern);
    assert.equal(result.err.trimEnd().split('\n').length, 1);
    assert.deepEqual(result.out, []);
  }
});

test('a full disk is an error', async (t) => {
  const bus = await Bus.open(t);
  const { spawnSync } = await import('node:child_process');
  const { openSync, closeSync } = await import('node:fs');
  const full = openSync('/dev/full', 'w');
  const program = bus.start(['--version']).child.spawnfile;
  const result = spawnSync(program, ['--help'], { stdio: ['ignore', full, 'pipe'] });
  closeSync(full);
  assert.equal(result.status, 1);
  assert.match(String(result.stderr), /^talus: cannot write to standard output: No space left/);
});
