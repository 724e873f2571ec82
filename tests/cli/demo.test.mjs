// SPDX-License-Identifier: MIT
// `talus demo`: the same seed plays the same events, all types come, and it ends cleanly.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus, PATIENTLY } from './support/talus.mjs';

const COUNT = 1000;

/** Plays the demo to a tap; gives the events and the demo's own end. */
async function play(bus, seed, ...args) {
  const tap = await bus.tap('--format', 'json', '--count', String(COUNT));
  const demo = await bus.run(['demo', ...PATIENTLY, '--seed', String(seed), '--rate', '5000',
    '--count', String(COUNT), ...args]);
  const { status, out, err } = await tap.end();
  assert.equal(status, 0, err);
  return { demo, events: out.map((line) => JSON.parse(line)) };
}

const story = (events) => events.map(({ type, data }) => [type, data]);

test('a seed plays one story, another seed another', async (t) => {
  const bus = await Bus.open(t);
  const first = await play(bus, 7);
  assert.equal(first.demo.status, 0);
  assert.match(first.demo.err, /^talus demo: playing session "demo" on \S+ with --seed 7; Ctrl-C ends it$/m);
  assert.match(first.demo.err, /^talus demo: 1000 events were emitted$/m);
  assert.deepEqual(first.events.map(({ seq }) => seq), Array.from({ length: COUNT }, (_, i) => i + 1));
  assert.ok(first.events.every(({ session, data }) => session === 'demo' && data.session_id === 'demo'));
  const second = await play(bus, 7);
  assert.deepEqual(story(second.events), story(first.events));
  const other = await play(bus, 8);
  assert.notDeepEqual(story(other.events), story(first.events));
});

test('all fourteen types come, with failures and pictures, in the session that was asked for', async (t) => {
  const bus = await Bus.open(t);
  const { events } = await play(bus, 1, '--session', 'stage');
  const fields = {};
  for (const { session, type, data } of events) {
    assert.equal(session, 'stage');
    assert.equal(data.session_id, 'stage');
    fields[type] = Object.keys(data).slice(1).join(' ');
  }
  assert.deepEqual(fields, {
    'node-created': 'node_id parent_id blueprint_type_id name',
    'node-deleted': 'node_id',
    'node-updated': 'node_id',
    'node-linked': 'parent_id child_id',
    'node-unlinked': 'parent_id child_id',
    'property-changed': 'node_id property_name old_value new_value',
    'property-deleted': 'node_id property_name',
    'command-executing': 'command_id command_type',
    'command-executed': 'command_id success error',
    undo: 'command_id',
    redo: 'command_id',
    'session-connected': 'client_id',
    'session-disconnected': 'client_id',
    external_template_update: 'template_id',
  });
  const executed = events.filter(({ type }) => type === 'command-executed').map(({ data }) => data);
  assert.ok(executed.some(({ success, error }) => !success && typeof error === 'string'));
  assert.ok(executed.every(({ success, error }) => success === (error === null)));
  const picture = events.find(({ data }) => data.new_value?.base64);
  assert.equal(Buffer.from(picture.data.new_value.base64, 'base64').toString('latin1', 0, 2), 'BM');
});

test('without --seed it tells the one it chose', async (t) => {
  const bus = await Bus.open(t);
  const tap = await bus.tap('--format', 'json', '--count', '50');
  const chosen = await bus.run(['demo', ...PATIENTLY, '--rate', '5000', '--count', '50']);
  const events = (await tap.end()).out.map((line) => JSON.parse(line));
  assert.equal(events.length, 50);
  const [, seed] = chosen.err.match(/--seed (\d+)/);
  const again = await play(bus, seed);
  assert.deepEqual(story(again.events.slice(0, 50)), story(events));
});

for (const signal of ['SIGTERM', 'SIGINT'])
  test(`${signal} ends the demo cleanly and leaves no files`, async (t) => {
    const bus = await Bus.open(t);
    const demo = bus.start(['demo', '--rate', '200']);
    await demo.errorLine(/^talus demo: playing session "demo"/);
    // The tap comes later than the demo: any order will do.
    const tap = await bus.tap('--format', 'json');
    await tap.lines(20);
    const ended = await demo.kill(signal);
    assert.deepEqual([ended.status, ended.signal], [0, null]);
    assert.match(ended.err, /^talus demo: \d+ events were emitted$/m);
    await tap.kill('SIGTERM');
    assert.deepEqual(await bus.files(), []);
  });

test('it plays although nobody listens', async (t) => {
  const bus = await Bus.open(t);
  const { status, err } = await bus.run(['demo', '--wait-subscriber', '0', '--rate', '5000', '--count', '100']);
  assert.equal(status, 0, err);
  assert.deepEqual(await bus.files(), []);
});
