// SPDX-License-Identifier: MIT
// The chaos program's checker, held against logs with one thing wrong each: what it would overlook,
// the program would overlook.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Consumer } from './support/consumer.mjs';
import { Emitted } from './support/emitted.mjs';

function addOrigin(emitted, name) {
  const origin = emitted.addBroadcaster(name, undefined);
  origin.isOurs = true;
  return origin;
}

/**
 * An origin `o` with the events 1 to 9 of session s, but 5, which is of another one. With `others`
 * also an origin `p` with the events 1 to 4 of s, the third of which is emitted at 650 ms.
 */
function world(others) {
  const emitted = new Emitted();
  const origin = addOrigin(emitted, 'o');
  for (let seq = 1; seq <= 9; seq++) origin.add(seq, seq === 5 ? 'other' : 's', seq * 100);
  origin.last = 9;
  if (others) {
    const other = addOrigin(emitted, 'p');
    Object.assign(other, { last: 4 }, others);
    for (let seq = 1; seq <= other.last; seq++) other.add(seq, 's', seq * 200 + 50);
  }
  const problems = [];
  const consumer = new Consumer('c', emitted, (problem) => problems.push(problem), { isClient: true });
  return { origin, problems, consumer };
}

const events = (...seqs) => seqs.map((seq) => [1000, 'event', 's', `o.${seq}`, seq]);
const ofOther = (...seqs) => seqs.map((seq) => [1000, 'event', 's', `p.${seq}`, seq]);
const connect = (isRecovered = false) => [10, 'connect', 'id', isRecovered];
const cut = [1000, 'disconnect', 'transport close'];
const gap = (after, first, reason = 'history') => [1000, 'gap', 's', `o.${after}`, first ? `o.${first}` : '', reason];
/** Joined with the offset o.1. */
const join = [[10, 'ask', 's'], [10, 'joined', 's', 'o.1']];

/** Was in s up to o.3, came anew, and joined again at 600 ms with `since`. */
const resumed = (since = 'o.3', before = events(2, 3)) =>
  [connect(), ...join, ...before, cut, connect(), [590, 'ask', 's', since], [600, 'joined', 's', 'o.6']];
const goodbye = [1000, 'disconnect', 'goodbye'];
/** Was in s up to o.3, came anew after that gateway had ended, and joined again without since. */
const restarted = [connect(), ...join, ...events(2, 3), cut, connect(), [590, 'ask', 's'], [750, 'joined', 's', 'o.7']];
const later = [connect(), ...join, ...events(2, 3), [11, 'disconnect', 'transport close'], [-9000, 'connect', 'id', false], ...restarted.slice(-2)];
/** … asked in time, but was heard late. */
const late = [...restarted.slice(0, -1), [9000, 'joined', 's', 'o.7']];
/** … was answered late, so that the gateway counts from long before. */
const answered = [...restarted.slice(0, -3), [-9000, 'open'], ...restarted.slice(-3)];
/** … was in another session alone. */
const elsewhere = [connect(), [10, 'ask', 'other'], [20, 'joined', 'other', ''], [550, 'event', 'other', 'o.5', 5], cut, connect(), [690, 'ask', 's'], [750, 'joined', 's', 'o.7']];
/** … and named an event of another session of the same origin. */
const other = [[20, 'ask', 'other'], [30, 'joined', 'other', '']];
const named = [connect(), ...join, ...other, ...events(2, 3), [550, 'event', 'other', 'o.5', 5], cut, connect(), [590, 'ask', 's'], [600, 'joined', 's', '']];
/** … whose first join was lost, and whose leave was therefore refused. */
const refused = [...restarted.slice(0, -2), [700, 'ask', 's'], [710, 'disconnect', 'transport close'], connect(true), [720, 'leave', 's'], [730, 'error', 'not_joined', ''], [730, 'left', 's'], ...restarted.slice(-2)];
/** … whose join was answered while it was away, for long. */
const away = [...restarted.slice(0, -1), cut, [9000, 'connect', 'id', true], [9010, 'ask', 's'], [9020, 'joined', 's', 'o.7']];
const unproven = [1000, 'gap', 's', '', '', 'history'];

/** What the checker says of a log, in the end also of what is owed. */
function verdict(lines, { fate, others } = {}) {
  const { origin, problems, consumer } = world(others);
  if (fate) origin.fate = fate;
  for (const line of lines) consumer.take(line);
  return [...problems, ...consumer.owed()].map(({ what }) => what);
}

const GOOD = {
  'all events': [connect(), ...join, ...events(2, 3, 4, 6, 7, 8, 9)],
  'a gap of just what is missing': [connect(), ...join, ...events(2, 3), gap(3, 8), ...events(8, 9)],
  'a gap whose end is of another session': [connect(), ...join, ...events(2, 3), gap(3, 5), ...events(6, 7, 8, 9)],
  'a lost origin': [connect(), ...join, ...events(2, 3), gap(3, 0, 'origin_lost')],
  'a killed origin, and just what is missing of it': [connect(), ...join, ...events(2, 3), gap(3, 10, 'origin_lost')],
  'a recovery': [connect(), ...join, ...events(2, 3), cut, ...events(4, 6), connect(true), ...events(7, 8, 9)],
  'a failed attempt to come back': [connect(), ...join, ...events(2, 3), cut, cut, ...events(4, 6), connect(true), ...events(7, 8, 9)],
  'a gap told again by a recovery': [connect(), ...join, ...events(2), gap(2, 7), cut, gap(2, 7), connect(true), ...events(7, 8, 9)],
  'a new start of one that had got nothing': [connect(), ...join, cut, connect(), [600, 'ask', 's'], [750, 'joined', 's', 'o.7'], ...events(8, 9)],
  'a new start of one that has forgotten all': [connect(), ...join, ...events(2, 3), goodbye, connect(), [600, 'ask', 's'], [750, 'joined', 's', 'o.7'], ...events(8, 9)],
  'a new start with an offset': [...restarted, ...events(4, 6, 7, 8, 9)],
  'a new start with an offset, and its gap': [...restarted, gap(3, 7), ...events(7, 8, 9)],
  'a new start with an offset that nobody can answer': [...restarted, gap(3, 0), unproven, ...events(8, 9)],
  'a new start with an offset of another session': [...elsewhere, unproven, ...events(8, 9)],
  'a new start with an offset, in a session that it was not in': [...elsewhere, ...events(6, 7, 8, 9)],
  'a new start with an offset, and a recovery before its join': [...restarted.slice(0, -2), cut, connect(true), ...restarted.slice(-2), ...events(4, 6, 7, 8, 9)],
  'a new start with an offset that no longer counts': [...later, ...events(8, 9)],
  'a new start with an offset that counts for longer': [...later, ...events(4, 6, 7, 8, 9)],
  'a new start with an offset that no longer counts when the join is heard': [...late, ...events(8, 9)],
  'a new start with an offset that counts when the join is heard late': [...late, ...events(4, 6, 7, 8, 9)],
  'a new start with an offset that no longer counts, as its CONNECT was answered late': [...answered, ...events(8, 9)],
  'a new start with an offset of another session of the origin': [...named, ...events(6, 7, 8, 9)],
  'a new start with an offset of another session of the origin, which is met later': [...named, ...events(1, 2, 3, 4, 6, 7, 8, 9)],
  'a new start with an offset of another session of the origin, and its gap': [...named, gap(5, 7), ...events(7, 8, 9)],
  'a new start with an offset after a leave that was refused': [...refused, ...events(4, 6, 7, 8, 9)],
  'a new start with an offset, whose join was answered while it was away': [...away, ...events(8, 9)],
  'a new start with an offset, after leaving another session': [connect(), ...join, ...events(2, 3), cut, connect(), [580, 'leave', 'other'], [590, 'ask', 's'], [750, 'joined', 's', 'o.7'], ...events(8, 9)],
  'a new start with an offset, and a gap after leaving another session': [connect(), ...join, ...events(2, 3), cut, connect(), [580, 'leave', 'other'], [590, 'ask', 's'], [750, 'joined', 's', 'o.7'], unproven, ...events(8, 9)],
  'a new start of one that had got nothing, and its gap': [connect(), cut, connect(), [590, 'ask', 's'], [750, 'joined', 's', 'o.7'], unproven, ...events(8, 9)],
  'a new start with an offset, in a session joined again': [...restarted, ...events(4, 6, 7), [700, 'leave', 's'], [710, 'left', 's'], [770, 'ask', 's'], [780, 'joined', 's', 'o.7'], ...events(8, 9)],
  'a session that was left': [connect(), ...join, ...events(2, 3), [1, 'leave', 's'], ...events(4), [1, 'left', 's']],
  'a join with since': [...resumed(), ...events(4, 6, 7, 8, 9)],
  'a join with since, and its gap': [...resumed(), gap(3, 7), ...events(7, 8, 9)],
  'a join with since that nobody can answer': [...resumed(), gap(3, 0), unproven, ...events(7, 8, 9)],
  'a join with since whose origin is met later': [...resumed(), gap(3, 0), unproven, ...events(2, 3, 7, 8, 9)],
  'a gap told again after what followed it': [...resumed(), gap(3, 7), ...events(7, 8), gap(4, 7), ...events(9)],
  'a join with since whose origin is met later, and has forgotten': [...resumed(), gap(3, 0), unproven, gap(0, 7), ...events(7, 8, 9)],
  'a join with since after another': [...resumed(), ...events(4, 6), cut, connect(), ['', 'ask', 's', 'o.6'], [900, 'joined', 's', 'o.8'], ...events(7, 8, 9)],
  'a join with since after leaving': [connect(), ...join, ...events(2, 3), [1, 'leave', 's'], [1, 'left', 's'], [590, 'ask', 's', 'o.3'], [600, 'joined', 's', ''], ...events(4, 6, 7, 8, 9)],
  'a join with since whose answer was lost': [...resumed().slice(0, -1), cut, connect(true), ...events(4), [1, 'ask', 's', 'o.3'], [700, 'joined', 's', 'o.7'], ...events(6, 7, 8, 9)],
};

/** Two origins: the consumer had p.1 when it went. */
const had = [...events(2), ...ofOther(1), ...events(3)];
const rest = events(4, 6, 7, 8, 9);
const GOOD_WITH_OTHERS = {
  'both go on': [...resumed('o.3', had), ...rest, ...ofOther(2, 3, 4)],
  'one comes again': [...resumed('o.3', had), ...ofOther(1, 2), ...rest, ...ofOther(3, 4)],
  'nothing is proven of the other': [...resumed('o.3', had), unproven, ...rest, ...ofOther(3, 4)],
};

const BAD_WITH_OTHERS = {
  'the other has a hole': [[...resumed('o.3', had), ...rest, ...ofOther(3, 4)], /events are missing/],
  'the other is silent': [[...resumed('o.3', had), ...rest], /newest events are missing/],
  'the other was never heard of': [[...resumed(), ...rest, ...ofOther(2, 3, 4)], /after the join are missing/],
  'the other twice again': [[...resumed('o.3', had), ...ofOther(1, 1, 2), ...rest, ...ofOther(3, 4)], /twice again/],
  'one of the other twice': [[...resumed('o.3', had), ...rest, ...ofOther(2, 2, 3, 4)], /twice/],
  'nothing is proven, and one after the join is missing': [[...resumed('o.3', had), unproven, ...rest, ...ofOther(4)], /after the join are missing/],
  'nothing is proven of the other, and its own has a hole': [[...resumed('o.3', had), unproven, ...events(6, 7, 8, 9), ...ofOther(3, 4)], /events are missing/],
  'nothing is proven, but that comes late': [[...resumed('o.3', had), ...rest, unproven, ...ofOther(3, 4)], /answers no join/],
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
  'a first start, and an unproven gap': [[connect(), [590, 'ask', 's'], [750, 'joined', 's', 'o.7'], unproven, ...events(8, 9)], /answers no join/],
  'two unproven gaps after leaving': [[connect(), ...join, ...events(2, 3), cut, connect(), [580, 'leave', 'other'], [590, 'ask', 's'], [750, 'joined', 's', 'o.7'], unproven, unproven, ...events(8, 9)], /answers no join/],
  'an offset forgotten by a recovery': [[...restarted.slice(0, -2), cut, connect(true), ...restarted.slice(-2), ...events(8, 9)], /events are missing/],
  'a recovery with a hole': [[connect(), ...join, ...events(2, 3), cut, ...events(6), connect(true), ...events(7, 8, 9)], /events are missing/],
  'a recovery with one twice': [[connect(), ...join, ...events(2, 3), cut, ...events(3, 4, 6), connect(true), ...events(7, 8, 9)], /twice/],
  'missed events without a recovery': [[connect(), ...join, cut, ...events(2), connect()], /not recovered/],
  'an event before joined': [[connect(), join[0], ...events(2), join[1]], /before it had joined/],
  'a client that stays away': [[connect(), ...join, ...events(2, 3, 4, 6, 7, 8, 9), cut], /did not come back/],
  'a join without an answer': [[connect(), join[0]], /is asked/],
  'a since with a hole': [[...resumed(), ...events(6, 7, 8, 9)], /events are missing/],
  'a since without what was missed': [[...resumed(), ...events(7, 8, 9)], /events are missing/],
  'a since with nothing after it': [resumed(), /newest events are missing/],
  'a since with what it has': [[...resumed(), ...events(3, 4, 6, 7, 8, 9)], /twice/],
  'a since with one twice': [[...resumed(), ...events(4, 4, 6, 7, 8, 9)], /twice/],
  'a since whose gap ends too early': [[...resumed(), gap(3, 6), ...events(7, 8, 9)], /events are missing/],
  'a since whose gap begins too late': [[...resumed(), gap(4, 7), ...events(7, 8, 9)], /before a gap are missing/],
  'a since without an answer for what comes later': [[...resumed(), gap(3, 0), unproven, ...events(8, 9)], /after the join are missing/],
  'a since whose newest are missing': [[...resumed(), gap(3, 0), ...events(7, 8)], /newest events are missing/, 'alive'],
  'a since whose origin is met later, with one twice again': [[...resumed(), gap(3, 0), ...events(2, 3, 3, 7, 8, 9)], /twice again/],
  'a since whose origin is met later, with a hole': [[...resumed(), gap(3, 0), ...events(2, 3, 8, 9)], /after the join are missing/, 'alive'],
  'a since whose origin is lost, later': [[...resumed(), ...events(4, 6, 7), gap(7, 0), ...events(8, 9)], /nothing would/],
  'a since with a gap that names what came, and more': [[...resumed(), gap(3, 7), ...events(7, 8), gap(7, 0)], /names what came/],
  'a since with an unproven gap for nothing': [[...resumed(), unproven, ...events(4, 6, 7, 8, 9)], /one origin alone/],
  'a new start with an offset whose events do not follow': [[...restarted, ...events(8, 9)], /events are missing/],
  'a new start with an offset, with a hole': [[...restarted, ...events(4, 7, 8, 9)], /events are missing/],
  'a new start with an offset, with what it has': [[...restarted, ...events(3, 4, 6, 7, 8, 9)], /twice/],
  'a new start with an offset, with nothing after it': [restarted, /newest events are missing/],
  'a new start with an offset, whose gap ends too early': [[...restarted, gap(3, 6), ...events(7, 8, 9)], /events are missing/],
  'a new start with an offset of another session of the origin, with a hole': [[...named, ...events(7, 8, 9)], /events are missing/],
  'a new start with an offset after a leave that was refused, with a hole': [[...refused, ...events(6, 7, 8, 9)], /events are missing/],
  'a new start with an offset, whose join was answered while it was away, with a hole': [[...away, ...events(7, 9)], /missing/],
  'a new start with an offset of another session, with one twice': [[...elsewhere, ...events(6, 6, 7, 8, 9)], /twice again/],
  'a new start with an offset of another session, with a hole': [[...elsewhere, unproven, ...events(9)], /missing/],
  'a short life that ended in good order, whose last event is lost': [[connect(), ...join, ...events(2, 3, 4, 6, 7, 8)], /newest events are missing/, 'ended'],
  'a killed origin whose gap leaves out the last': [[connect(), ...join, ...events(2, 3), gap(3, 9, 'origin_lost')], /newest events are missing/],
  'an unproven gap without a since': [[connect(), ...join, unproven, ...events(2, 3, 4, 6, 7, 8, 9)], /answers no join/],
  'a since that it does not have': [[...resumed('o.4')], /not its newest/],
  'a since whose answer was lost, with a hole': [[...resumed().slice(0, -1), cut, connect(true), [1, 'ask', 's', 'o.3'], [700, 'joined', 's', 'o.7'], ...events(6, 7, 8, 9)], /events are missing/],
  'an event that was refused': [[connect(), ...join, [1, 'event', 's', 'o.2', 20], ...events(3)], /never emitted/],
  'events after a join without an offset': [[connect(), join[0], [550, 'joined', 's', ''], ...events(8, 9)], /after the join are missing/],
};

/** The other is reached over tcp, and nothing of it came after the join at 600 ms. */
const REMOTE = { isRemote: true, fate: 'killed', life: 20_000 };
const othersSilent = [...resumed('o.3', had), ...rest];
/** Nothing of the other came at all. */
const neverHeard = [connect(), ...join, ...events(2, 3, 4, 6, 7, 8, 9)];
/** … it was heard of before the session was left, and joined again at 600 ms. */
const heardBefore = [connect(), ...join, ...had, [1, 'leave', 's'], [1, 'left', 's'], [590, 'ask', 's'], [600, 'joined', 's', 'o.6'], ...events(7, 8, 9)];
const ENDED = { isRemote: true, fate: 'ended', wasCut: true, life: 1300, died: 1000 };

const UNMET = {
  'killed soon after a join with since': [othersSilent, { ...REMOTE, died: 12_500 }],
  'killed soon after its start': [neverHeard, { ...REMOTE, life: 11_900, died: 11_950 }],
  'ended while the connection was cut': [neverHeard, ENDED],
};

const MET = {
  'killed long after a join with since': [othersSilent, { ...REMOTE, died: 12_700 }],
  'killed soon after a join with since, in the bus directory': [othersSilent, { ...REMOTE, isRemote: false, died: 12_500 }],
  'ended after a join with since': [othersSilent, ENDED],
  'killed long after its start': [neverHeard, { ...REMOTE, died: 12_500 }],
  'ended without a cut': [neverHeard, { ...ENDED, wasCut: false }],
  'ended after a long life with a cut': [neverHeard, { ...ENDED, life: 12_100 }],
  'ended in the bus directory': [neverHeard, { ...ENDED, isRemote: false }],
  'ended after it was heard in the same membership': [[connect(), ...join, ...had, ...rest], ENDED],
  'ended after it was heard in a membership before': [heardBefore, ENDED],
  'cut, and alive': [neverHeard, { ...ENDED, fate: 'alive' }],
};

const GONE = { last: 2, fate: 'killed', died: 595 };

for (const [name, lines] of Object.entries(GOOD)) test(`${name}: in order`, () => assert.deepEqual(verdict(lines), []));
for (const [name, [lines, expected, fate = 'killed']] of Object.entries(BAD))
  test(`${name}: told`, () => assert.match(verdict(lines, { fate }).join('; '), expected));
for (const [name, lines] of Object.entries(GOOD_WITH_OTHERS))
  test(`${name}: in order`, () => assert.deepEqual(verdict(lines, { others: {} }), []));
for (const [name, [lines, expected]] of Object.entries(BAD_WITH_OTHERS))
  test(`${name}: told`, () => assert.match(verdict(lines, { others: {} }).join('; '), expected));
for (const [name, [lines, others]] of Object.entries(UNMET))
  test(`an origin ${name}: not owed`, () => assert.deepEqual(verdict(lines, { others }), []));
for (const [name, [lines, others]] of Object.entries(MET))
  test(`an origin ${name}: owed`, () => assert.match(verdict(lines, { others }).join('; '), /newest events are missing/));
test('an origin that was gone before the join is not owed', () =>
  assert.deepEqual(verdict([...resumed('o.3', had), ...rest], { others: GONE }), []));
