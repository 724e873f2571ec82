// SPDX-License-Identifier: MIT
// `talus bench gateway` with the real gateway: what it counts is what there was.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Bus, binaries, lineOf } from './support/talus.mjs';

const tests = process.env.TALUS_TESTS_DIR ?? path.join(binaries, '../tests');

/** A server that says where it listens. Gives its URL and process. */
async function serve(t, bus, program, ...args) {
  const child = spawn(program, args, {
    env: { ...process.env, TALUS_BUS: bus.endpoint },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill();
    await ended;
  });
  const [, url] = await lineOf(child, /listening on (\S+)$/);
  return { url, child };
}

function gateway(t, bus) {
  return serve(t, bus, path.join(binaries, 'talus-gateway'), '--listen', '127.0.0.1:0',
    '--presence', 'never', '--log-level', 'warning');
}

/** A bare core whose events pass through `change`, which maps their lines. Gives its URL and where to emit. */
async function changedCore(t, bus, change) {
  const control = path.join(bus.directory, 'control');
  const { url } = await serve(t, bus, path.join(tests, 'bare_core'), control);
  const core = connect(control);
  const server = createServer((emitter) => {
    const lines = createInterface({ input: emitter });
    lines.on('line', (line) => core.write(change(line).map((each) => `${each}\n`).join('')));
    emitter.on('error', () => {});
  });
  const address = path.join(bus.directory, 'changed');
  await new Promise((resolve) => server.listen(address, resolve));
  t.after(() => {
    core.destroy();
    server.close();
  });
  return { url, to: `unix:${address}` };
}

async function bench(bus, url, ...args) {
  const run = await bus.run(['bench', 'gateway', '--url', url, '--json', ...args]);
  return { ...run, result: run.out.length ? JSON.parse(run.out[0]) : undefined };
}

function expectWhole({ status, err, result }, perEvent) {
  assert.deepEqual({ status, err }, { status: 0, err: '' });
  const { emitted, delivered, lost, out_of_order, clients_gone } = result;
  assert.ok(emitted > 0);
  assert.deepEqual({ lost, out_of_order, clients_gone }, { lost: 0, out_of_order: 0, clients_gone: 0 });
  if (perEvent) assert.equal(delivered, emitted * perEvent);
}

for (const transport of ['websocket', 'polling']) {
  test(`every client of a room gets every event over ${transport}`, async (t) => {
    const bus = await Bus.open(t);
    const { url, child } = await gateway(t, bus);
    const run = await bench(bus, url, '--transport', transport, '--clients', '7', '--rate', '200',
      '--seconds', '0.5', '--warmup', '0.1');
    expectWhole(run, 7);
    const { result } = run;
    assert.equal(result.transport, transport);
    assert.equal(result.server_pid, child.pid);
    assert.ok(result.server_cpu_us_per_delivery > 0);
    const { p50, p90, p99, max, count } = result.latency_ms;
    assert.ok(count > 0 && p50 > 0 && p50 <= p90 && p90 <= p99 && p99 <= max);
    assert.equal(result.histogram.at(-1)[1], count);
  });

  test(`rooms get their own events, flat out, over ${transport}`, async (t) => {
    const bus = await Bus.open(t);
    const { url } = await gateway(t, bus);
    const run = await bench(bus, url, '--transport', transport, '--clients', '10', '--rooms', '4',
      '--rate', 'max', '--burst', '6', '--size', '3000', '--seconds', '0.5', '--warmup', '0');
    expectWhole(run);
    // 10 clients in 4 rooms: 3, 3, 2 and 2 of them.
    const { emitted, delivered } = run.result;
    const rest = emitted % 4;
    assert.equal(delivered, Math.floor(emitted / 4) * 10 + [0, 3, 6, 8][rest]);
  });
}

test('the bare core delivers as the gateway does', async (t) => {
  const bus = await Bus.open(t);
  const { url, to } = await changedCore(t, bus, (line) => [line]);
  expectWhole(await bench(bus, url, '--emit-to', to, '--clients', '6', '--rooms', '3', '--rate', '300',
    '--seconds', '0.3', '--warmup', '0'), undefined);
});

test('what is lost on the way is told', async (t) => {
  const bus = await Bus.open(t);
  let count = 0;
  let lost = 0;
  const { url, to } = await changedCore(t, bus, (line) => {
    if (++count % 10 !== 4) return [line];
    lost++;
    return [];
  });
  const { status, err, result } = await bench(bus, url, '--emit-to', to, '--clients', '3', '--rate', '200',
    '--seconds', '0.3', '--warmup', '0');
  assert.equal(status, 1);
  assert.ok(lost > 0);
  assert.equal(result.emitted, count);
  assert.deepEqual([result.lost, result.out_of_order], [3 * lost, 0]);
  assert.equal(result.delivered, 3 * (count - lost));
  assert.match(err, new RegExp(`${3 * lost} deliveries are missing and 0 came out of order`));
});

test('what comes out of order, or twice, is told', async (t) => {
  const bus = await Bus.open(t);
  const held = [];
  let count = 0;
  const { url, to } = await changedCore(t, bus, (line) => {
    count++;
    if (count === 5) held.push(line); // comes behind the sixth
    if (count === 5) return [];
    return count === 6 ? [line, ...held] : count === 9 ? [line, line] : [line];
  });
  const { status, result } = await bench(bus, url, '--emit-to', to, '--clients', '2', '--rate', '100',
    '--seconds', '0.3', '--warmup', '0');
  assert.equal(status, 1);
  assert.equal(result.out_of_order, 2 * 2);
  assert.equal(result.lost, 2); // the fifth, when the sixth came
});

test('events larger than a read come whole', async (t) => {
  const bus = await Bus.open(t);
  const { url } = await gateway(t, bus);
  expectWhole(
    await bench(bus, url, '--clients', '2', '--rate', '20', '--size', '700000', '--seconds', '0.5',
      '--warmup', '0'),
    2,
  );
});

test('the table is for people', async (t) => {
  const bus = await Bus.open(t);
  const { url } = await gateway(t, bus);
  const { status, out } = await bus.run(['bench', 'gateway', '--url', url, '--clients', '2',
    '--seconds', '0.2', '--warmup', '0']);
  assert.equal(status, 0);
  assert.match(out[0], /^2 clients in 1 room over websocket, 100 events\/s, 200 bytes$/);
  for (const name of ['connected', 'emitted', 'delivered', 'order', 'latency', 'server CPU'])
    assert.ok(out.some((line) => line.startsWith(name)), name);
});

test('a gateway that ends during the run is told', async (t) => {
  const bus = await Bus.open(t);
  const { url, child } = await gateway(t, bus);
  const running = bus.start(['bench', 'gateway', '--url', url, '--clients', '3', '--seconds', '1',
    '--warmup', '0', '--json', '--session', 'doomed'], { input: '' });
  // The first event shows that the clients have joined.
  const tap = await bus.tap('--session', 'doomed-0', '--type', 'bench', '--count', '1');
  await tap.end();
  child.kill('SIGKILL');
  const { status, out, err } = await running.end();
  assert.equal(status, 1);
  assert.equal(out.length, 1, err);
  assert.equal(JSON.parse(out[0]).clients_gone, 3);
  assert.match(err, /3 clients were lost; client \d, while listening: /);
});

test('a server that is none is told', async (t) => {
  const bus = await Bus.open(t);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${server.address().port}`;
  const websocket = await bench(bus, url, '--clients', '2');
  assert.equal(websocket.status, 1);
  assert.match(websocket.err, /0 of 2 clients joined; client \d, while opening: no WebSocket: HTTP\/1.1 404 Not Found/);
  const polling = await bench(bus, url, '--clients', '2', '--transport', 'polling');
  assert.equal(polling.status, 1);
  assert.match(polling.err, /while opening: refused: HTTP\/1.1 404 Not Found/);
});

test('nobody listening is told', async (t) => {
  const bus = await Bus.open(t);
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  const { status, err } = await bench(bus, `http://127.0.0.1:${port}`, '--clients', '1');
  assert.equal(status, 1);
  assert.match(err, /0 of 1 clients joined; client 0, while connecting: Connection refused/);
});

test('the bus is measured over every transport, with both libraries', async (t) => {
  const bus = await Bus.open(t);
  const { status, out, err } = await bus.run(['bench', 'bus', '--seconds', '0.2', '--json']);
  assert.deepEqual({ status, err }, { status: 0, err: '' });
  const { emit, rows } = JSON.parse(out[0]);
  assert.ok(emit.alone_us > 0 && emit.subscribed_us > 0);
  assert.deepEqual(
    rows.map(({ transport, library }) => `${transport} ${library}`),
    ['inproc', 'ipc', 'tcp'].flatMap((transport) => [`${transport} libzmq`, `${transport} libtalus`]),
  );
  for (const row of rows) {
    const { sent, lost, out_of_order } = row;
    assert.deepEqual({ lost, out_of_order }, { lost: 0, out_of_order: 0 });
    assert.ok(sent > 0 && row.messages_per_second > 0 && row.sender_cpu_us > 0 && row.receiver_cpu_us > 0);
    assert.ok(row.p50_ms > 0 && row.p50_ms <= row.p90_ms && row.p90_ms <= row.p99_ms);
  }
});

test('a wrong command line is one line and status 2', async (t) => {
  const bus = await Bus.open(t);
  for (const [args, expected] of [
    [[], /takes gateway or bus/],
    [['gate'], /no bench "gate": there are gateway and bus/],
    [['gateway', '--url', 'ftp://x'], /--url takes http:\/\/HOST:PORT/],
    [['gateway', '--url', 'http://192.0.2.1:80'], /"192\.0\.2\.1" is another machine/],
    [['gateway', '--rate', 'fast'], /--rate takes events a second, from 0\.01 to 1000000, or max, not "fast"/],
    [['gateway', '--rate', 'nan'], /--rate takes/],
    [['gateway', '--clients', '2', '--rooms', '3'], /more --rooms than --clients/],
    [['gateway', '--burst', '5', '--window', '4'], /--window is smaller than --burst/],
    [['gateway', '--size', '27'], /--size takes a number of bytes from 28 to 900000/],
    [['bus', '--window', '60001'], /--window takes a number of messages from 1 to 60000/],
    [['gateway', '--transport', 'carrier'], /--transport takes websocket or polling/],
  ]) {
    const { status, out, err } = await bus.run(['bench', ...args]);
    assert.equal(status, 2, args.join(' '));
    assert.deepEqual(out, []);
    assert.match(err, expected);
    assert.equal(err.trimEnd().split('\n').length, 1);
  }
});
