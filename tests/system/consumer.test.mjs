// SPDX-License-Identifier: MIT
// The chaos program's checker, held against logs with one thing wrong each: what it would overlook,
// the program would overlook.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Consumer } from './support/consumer.mjs';
import { Emitted } from './support/emitted.mjs';

/** An origin `o` with the events 1 to 9 of session s, but 5, which is of another one. */
function world() {
  const emitted = new Emitted();
  const origin = emitted.addBroadcaster('o', undefined);
  origin.isOurs = true;
  for (let seq = 1; seq <= 9; seq++) origin.add(seq, seq === 5 ? 'other' : 's', seq * 100);
  origin.last = 9;
  const problems = [];
  const consumer = new Consumer('c', emitted, (problem) => problems.push(problem), { isClient: true });
  return { origin, problems, consumer };
}

const events = (...seqs) => seqs.map((seq) => [1000, 'event', 's', `o.${seq}`, seq]);
const connect = (isRecovered = false) => [10, 'connect', 'id', isRecovered];
const cut = [1000, 'disconnect', 'transport close'];
const gap = (after, first, reason = 'history') => [1000, 'gap', 's', `o.${after}`, first ? `o.${first}` : '', reason];
/** Joined with the offset o.1. */
const join = [[10, 'ask', 's'], [10, 'joined', 's', 'o.1']];

/** What the checker says of a log, in the end also of what is owed. */
function verdict(lines, { fate } = {}) {
  const { origin, problems, consumer } = world();
  if (fate) origin.fate = fate;
  for (const line of lines) consumer.take(line);
  return [...problems, ...consumer.owed()].map(({ what }) => what);
}

const GOOD = {
  'all events': [connect(), ...join, ...events(2, 3, 4, 6, 7, 8, 9)],
  'a gap of just what is missing': [connect(), ...join, ...events(2, 3), gap(3, 8), ...events(8, 9)],
  'a gap whose end is of another session': [connect(), ...join, ...events(2, 3), gap(3, 5), ...events(6, 7, 8, 9)],
  'a lost origin': [connect(), ...join, ...events(2, 3), gap(3, 0, 'origin_lost')],
  'a recovery': [connect(), ...join, ...events(2, 3), cut, ...events(4, 6), connect(true), ...events(7, 8, 9)],
  'a failed attempt to come back': [connect(), ...join, ...events(2, 3), cut, cut, ...events(4, 6), connect(true), ...events(7, 8, 9)],
  'a gap told again by a recovery': [connect(), ...join, ...events(2), gap(2, 7), cut, gap(2, 7), connect(true), ...events(7, 8, 9)],
  'a new start': [connect(), ...join, ...events(2, 3), cut, connect(), ['', 'ask', 's'], [10, 'joined', 's', 'o.7'], ...events(8, 9)],
  'a session that was left': [connect(), ...join, ...events(2, 3), [1, 'leave', 's'], ...events(4), [1, 'left', 's']],
};

const BAD = {
  'a lost event': [[connect(), ...join, ...events(2, 4, 6, 7, 8, 9)], /events are missing/],
  'the first event lost': [[connect(), ...join, ...events(3, 4, 6, 7, 8, 9)], /events are missing/],
  'the last event lost': [[connect(), ...join, ...events(2, 3, 4, 6, 7, 8)], /newest events are missing/],
  'an event twice': [[connect(), ...join, ...events(2, 3, 3, 4, 6, 7, 8, 9)], /twice/],
  'two events exchanged': [[connect(), ...join, ...events(2, 4, 3, 6, 7, 8, 9)], /events are missing/],
  'an event before the offset': [[connect(), ...join, ...events(1, 2, 3, 4, 6, 7, 8, 9)], /older than the join/],
  'an event of another session': [[connect(), ...join, ...events(2, 3, 4, 5, 6, 7, 8, 9)], /never emitted/],
  'another payload': [[connect(), ...join, [1, 'event', 's', 'o.2', 3], ...events(3, 4, 6, 7, 8, 9)], /never emitted/],
  'an event that nobody emitted': [[connect(), ...join, ...events(2, 3, 4, 6, 7, 8, 9, 11)], /never emitted/],
  'a gap that begins too late': [[connect(), ...join, ...events(2), gap(4, 8), ...events(8, 9)], /before a gap are missing/],
  'a gap that ends too early': [[connect(), ...join, ...events(2), gap(2, 4), ...events(8, 9)], /events are missing/],
  'a gap that names what came': [[connect(), ...join, ...events(2, 3), gap(2, 7), ...events(7, 8, 9)], /names what came/],
  'an event that a gap named': [[connect(), ...join, ...events(2), gap(2, 7), ...events(6, 7, 8, 9)], /told missing/],
  'an event after the last gap': [[connect(), ...join, ...events(2), gap(2, 0, 'origin_lost'), ...events(3)], /nothing would/],
  'a killed origin without a gap': [[connect(), ...join, ...events(2, 3)], /newest events are missing/],
  'a recovery with a hole': [[connect(), ...join, ...events(2, 3), cut, ...events(6), connect(true), ...events(7, 8, 9)], /events are missing/],
  'a recovery with one twice': [[connect(), ...join, ...events(2, 3), cut, ...events(3, 4, 6), connect(true), ...events(7, 8, 9)], /twice/],
  'missed events without a recovery': [[connect(), ...join, cut, ...events(2), connect()], /not recovered/],
  'an event before joined': [[connect(), join[0], ...events(2), join[1]], /before it had joined/],
  'a client that stays away': [[connect(), ...join, ...events(2, 3, 4, 6, 7, 8, 9), cut], /did not come back/],
  'a join without an answer': [[connect(), join[0]], /is asked/],
  'events after a join without an offset': [[connect(), join[0], [550, 'joined', 's', ''], ...events(8, 9)], /after the join are missing/],
};

for (const [name, lines] of Object.entries(GOOD)) test(`${name}: in order`, () => assert.deepEqual(verdict(lines), []));
for (const [name, [lines, expected]] of Object.entries(BAD))
  test(`${name}: told`, () => assert.match(verdict(lines, { fate: 'killed' }).join('; '), expected));
