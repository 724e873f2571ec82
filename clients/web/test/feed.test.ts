// SPDX-License-Identifier: MIT
//
// The list behind the page: its bound, the pause, and events that come twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { toBusEvent } from '../src/model/event.ts';
import { Feed } from '../src/model/feed.ts';
import { Ring } from '../src/model/ring.ts';
import { SeenIds } from '../src/model/seen.ts';

const ORIGIN = 'k3v9q2mx';

function fill(feed: Feed, from: number, to: number): void {
  for (let seq = from; seq <= to; seq += 1) {
    feed.addEvent(toBusEvent('node-updated', [{ node_id: 'n' }, `${ORIGIN}.${seq}`]), seq);
  }
}

function sequences(feed: Feed): Array<string | null> {
  return [...feed.kept].map((entry) => (entry.what === 'event' ? entry.event.seq : entry.what));
}

test('Ring keeps the newest and gives back the oldest', () => {
  const ring = new Ring<number>(3);
  assert.deepEqual([1, 2, 3, 4, 5].map((item) => ring.push(item)), [
    undefined,
    undefined,
    undefined,
    1,
    2,
  ]);
  assert.deepEqual([...ring], [3, 4, 5]);
  assert.equal(ring.at(3), undefined);
  ring.clear();
  assert.deepEqual([...ring], []);
  assert.throws(() => new Ring(0), RangeError);
});

test('SeenIds forgets only the oldest', () => {
  const seen = new SeenIds(2);
  assert.deepEqual(['a', 'b', 'a', 'c', 'b', 'a'].map((id) => seen.add(id)), [
    true,
    true,
    false,
    true,
    false,
    true,
  ]);
});

test('Feed lets the oldest go and counts them', () => {
  const feed = new Feed(3);
  fill(feed, 1, 5);
  assert.deepEqual(sequences(feed), ['3', '4', '5']);
  assert.equal(feed.letGo, 2);
  assert.equal(feed.received, 5);
  assert.equal(feed.counts.node, 5);
});

test('Feed shows an event once, however often it comes', () => {
  const feed = new Feed(3);
  fill(feed, 1, 2);
  fill(feed, 1, 3);
  assert.deepEqual(sequences(feed), ['1', '2', '3']);
  assert.equal(feed.received, 3);
});

test('Feed does not take presence for doubles', () => {
  const feed = new Feed();
  const presence = toBusEvent('session-connected', [{ client_id: 'c' }]);
  assert.equal(feed.addEvent(presence, 0), true);
  assert.equal(feed.addEvent(presence, 1), true);
  assert.equal(feed.fromBus, 0);
});

test('Feed holds what comes during a pause, in order, under the same limit', () => {
  const feed = new Feed(3);
  fill(feed, 1, 2);
  feed.pause();
  fill(feed, 3, 6);
  assert.deepEqual(sequences(feed), ['1', '2']);
  assert.equal(feed.held, 3);
  assert.equal(feed.letGo, 1);
  feed.resume();
  assert.deepEqual(sequences(feed), ['4', '5', '6']);
  assert.equal(feed.held, 0);
  assert.equal(feed.letGo, 3);
  const keys = [...feed.kept].map((entry) => entry.key);
  assert.deepEqual(keys, [...keys].sort((a, b) => a - b));
});

test('Feed keeps gaps in their place and counts only events', () => {
  const feed = new Feed(2);
  fill(feed, 1, 1);
  feed.add({ what: 'gap', gap: { after: `${ORIGIN}.1`, first: '', reason: 'history' } }, 2);
  fill(feed, 5, 5);
  assert.deepEqual(sequences(feed), ['gap', '5']);
  fill(feed, 6, 6);
  assert.equal(feed.letGo, 1);
});

test('Feed.clear empties the list but still knows the ids; restart forgets them', () => {
  const feed = new Feed();
  fill(feed, 1, 3);
  const { epoch } = feed;
  feed.clear();
  assert.notEqual(feed.epoch, epoch);
  fill(feed, 3, 4);
  assert.deepEqual(sequences(feed), ['4']);
  feed.restart();
  fill(feed, 3, 4);
  assert.deepEqual(sequences(feed), ['3', '4']);
});
