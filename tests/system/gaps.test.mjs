// SPDX-License-Identifier: MIT
// The accounts of the gaps, held against logs whose gaps were needed, or not: each needless one is
// told apart by its cause, and a cause that is beyond its bound is a problem.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Consumer } from './support/consumer.mjs';
import { Emitted } from './support/emitted.mjs';
import { CAUSES, GapAccounts } from './support/gaps.mjs';

/** Events of s at 100 … 900 ms: o.1 to o.9, but o.5, which is of another session; `o` is as `fate` says. */
function account(lines, fate = {}) {
  const emitted = new Emitted();
  const origin = Object.assign(emitted.addBroadcaster('o', undefined), { isOurs: true, last: 9, fate: 'killed' }, fate);
  for (let seq = 1; seq <= 9; seq++) origin.add(seq, seq === 5 ? 'other' : 's', seq * 100);
  for (let seq = 1; seq <= 2; seq++) emitted.hear(`gateway.${seq}`, 's');
  Object.assign(emitted.addBroadcaster('p', undefined), { isOurs: true }).add(1, 's', 100);
  const accounts = new GapAccounts();
  const problems = [];
  const consumer = new Consumer('c', emitted, (problem) => problems.push(problem), { isClient: true, accounts });
  for (const line of lines) consumer.take(line);
  const counts = Object.fromEntries([...accounts.lines()].map(([cause, count]) => [cause, count]));
  return { needed: accounts.needed, counts, beyond: [...accounts.problems()].map(({ what }) => what), problems: problems.map(({ what }) => what) };
}

const connect = [10, 'connect', 'id', false];
const cut = [1000, 'disconnect', 'transport close'];
const join = (session, at, offset) => [[10, 'ask', session], [at, 'joined', session, offset]];
const events = (...seqs) => seqs.map((seq) => [1000, 'event', 's', `o.${seq}`, seq]);
const gap = (session, after, first, reason = 'origin_lost') => [1000, 'gap', session, after, first, reason];
const resumed = [connect, ...join('s', 10, 'o.1'), ...events(2, 3), cut, connect, [590, 'ask', 's', 'o.3'], [600, 'joined', 's', 'o.6']];

const NEEDED = {
  'of just what is missing': [connect, ...join('s', 10, 'o.1'), ...events(2, 3), gap('s', 'o.3', 'o.7')],
  'of what is missing, and more': [connect, ...join('s', 10, 'o.1'), ...events(2, 3), gap('s', 'o.3', '')],
  'of an origin that was not heard of': [connect, ...join('s', 350, ''), gap('s', 'o.0', '')],
  'of a refused event': [connect, ...join('s', 10, 'o.3'), gap('s', 'o.3', 'o.6', 'refused')],
  'after since': [...resumed, gap('s', 'o.3', '')],
};

for (const [name, lines] of Object.entries(NEEDED))
  test(`a gap ${name}: needed`, () => assert.deepEqual(account(lines), { needed: 1, counts: {}, beyond: [], problems: [] }));

const all = [connect, ...join('s', 10, 'o.1'), ...events(2, 3, 4, 6, 7, 8, 9)];
const NEEDLESS = {
  'idle gateway': [[connect, ...join('s', 10, ''), gap('s', 'silent.0', '')]],
  stranger: [[connect, ...join('quiet', 10, ''), gap('quiet', 'o.0', '')]],
  'short life': [[...all, gap('s', 'o.9', '')], { isShort: true, fate: 'ended' }],
  'origin_lost on ipc': [[...all, gap('s', 'o.9', '')]],
  history: [[connect, ...join('s', 10, 'o.1'), ...events(2, 3, 4), gap('s', 'o.4', 'o.6', 'history'), ...events(6)], { fate: 'alive' }],
};

for (const [cause, [lines, fate]] of Object.entries(NEEDLESS))
  test(`a gap told to one that missed nothing (${cause}): beyond the bound`, () =>
    assert.deepEqual(account(lines, fate), { needed: 0, counts: { [cause]: 1 }, beyond: [`needless gaps: ${cause}`], problems: [] }));

const ALLOWED = {
  'origin_lost on tcp': [[...all, gap('s', 'o.9', '')], { isRemote: true }],
  'presence of a gateway': [[connect, ...join('s', 10, ''), gap('s', 'gateway.2', '')]],
  'since its origin is gone': [[...resumed, ...events(4, 6, 7, 8, 9), cut, connect, [950, 'ask', 's', 'o.9'], [960, 'joined', 's', ''], gap('s', 'o.9', '')]],
  'join whose answer was lost': [[connect, [50, 'ask', 's'], cut, [1000, 'connect', 'id', true], gap('s', 'o.0', 'o.10')]],
  'lost before the join': [[connect, ...join('s', 950, ''), gap('s', 'o.0', 'o.10')]],
  'met after the join': [[connect, ...join('s', 30_000, ''), gap('s', 'o.0', 'o.8', 'history')], { fate: 'alive', isRemote: true }],
  'offset of a CONNECT': [[...all, cut, connect, ...join('other', 950, ''), gap('other', 'o.9', '')]],
  unproven: [[connect, ...join('s', 150, 'o.1'), ...events(2, 3, 4, 6, 7, 8, 9), cut, connect, [950, 'ask', 's', 'o.9'], [960, 'joined', 's', ''], [961, 'gap', 's', '', '', 'history']], { fate: 'alive' }],
};

test('a gap that tells how much a gateway had sent that nobody heard: counted as its presence', () => {
  const { counts, beyond } = account([connect, ...join('s', 10, ''), gap('s', 'silent.0', 'silent.8')]);
  assert.deepEqual([counts, beyond], [{ 'presence of a gateway': 1 }, []]);
});

for (const [cause, [lines, fate]] of Object.entries(ALLOWED))
  test(`a gap told to one that missed nothing (${cause}): counted`, () =>
    assert.deepEqual(account(lines, fate), { needed: 0, counts: { [cause]: 1 }, beyond: [], problems: [] }));

test('a gap told after a recovery, to one whose answer to its join was lost: counted as that', () => {
  const { counts, beyond } = account([connect, [500, 'ask', 's'], cut, [1000, 'connect', 'id', true], [1000, 'ask', 's'], gap('s', 'o.0', 'o.10')], { isShort: true, fate: 'ended' });
  assert.deepEqual([counts, beyond], [{ 'join whose answer was lost': 1 }, []]);
});

test('the loss of an origin over tcp told twice: beyond the bound', () => {
  const { counts, beyond } = account([...all, gap('s', 'o.9', ''), gap('s', 'o.9', '')], { isRemote: true });
  assert.deepEqual([counts, beyond], [{ 'origin_lost on tcp': 2 }, ['needless gaps: origin_lost on tcp']]);
});

test('a loss told twice where the answer to the join was lost: beyond the bound', () => {
  const { counts, beyond } = account([connect, [50, 'ask', 's'], cut, [1000, 'connect', 'id', true], gap('s', 'o.0', 'o.10'), gap('s', 'o.3', 'o.10')]);
  assert.deepEqual([counts, beyond], [{ 'join whose answer was lost': 2 }, ['needless gaps: join whose answer was lost']]);
});

test('a gap for somebody who joined long after all of it: needless', () =>
  assert.deepEqual(account([connect, ...join('s', 30_000, ''), gap('s', 'o.0', '')]).counts, { 'origin_lost on ipc': 1 }));

test('a gap of an origin that fell silent long ago, and died shortly before the join: counted', () => {
  const told = (died) => account([connect, ...join('s', 30_000, ''), gap('s', 'o.0', 'o.10')], { died });
  assert.deepEqual([told(29_000).counts, told(29_000).beyond], [{ 'lost before the join': 1 }, []]);
  assert.deepEqual(told(9000).beyond, ['needless gaps: origin_lost on ipc']);
  assert.deepEqual(told(31_000).beyond, ['needless gaps: origin_lost on ipc']);
});

test('a join whose answer was lost, and that the client gave up meanwhile: counted as that', () => {
  const left = [[50, 'ask', 's'], cut, [1000, 'connect', 'id', true], [1000, 'leave', 's']];
  assert.deepEqual(account([connect, ...left, gap('s', 'o.0', 'o.10')]).counts, { 'join whose answer was lost': 1 });
});

test('an answer to an offset that is a gap without end, and at once what the origin had sent: two causes', () => {
  const told = account([...all, cut, connect, ...join('other', 950, ''), gap('other', 'o.4', ''), gap('other', 'o.0', 'o.9')], { died: 940 });
  assert.deepEqual([told.counts, told.beyond], [{ 'offset of a CONNECT': 1, 'lost before the join': 1 }, []]);
});

test('all of one that was met after it had counted as gone: two causes', () => {
  const late = [[30_000, 'gap', 's', 'o.9', '', 'origin_lost'], [30_001, 'gap', 's', 'o.0', 'o.3', 'history']];
  const again = [connect, ...join('s', 30_000, '')];
  assert.deepEqual(account([...all, cut, ...again, ...late], { fate: 'alive', isRemote: true }).counts, { 'offset of a CONNECT': 1, 'met after the join': 1 });
});

test('an answer to an offset, and the loss of that origin later: two causes; at once: beyond the bound', () => {
  const told = (at) => account([...all, cut, connect, ...join('other', 950, ''), gap('other', 'o.4', 'o.9'), [at, 'gap', 'other', 'o.8', '', 'origin_lost']], { isRemote: true });
  assert.deepEqual(told(6000).counts, { 'offset of a CONNECT': 1, 'origin_lost on tcp': 1 });
  assert.deepEqual(told(1000).beyond, ['needless gaps: offset of a CONNECT']);
  const between = account([...all, cut, connect, ...join('other', 950, ''), gap('other', 'o.4', 'o.9'), [1000, 'event', 'other', 'o.5', 5], gap('other', 'o.8', '')], { isRemote: true });
  assert.deepEqual(between.beyond, []);
});

test('all of it told again to one that had joined long before: beyond the bound', () => {
  const twice = [connect, ...join('s', 30_000, ''), gap('s', 'o.0', 'o.8', 'history'), gap('s', 'o.0', 'o.6', 'history')];
  assert.deepEqual(account(twice, { fate: 'alive', isRemote: true }).beyond, ['needless gaps: met after the join']);
  assert.deepEqual(account(twice, { fate: 'alive' }).beyond, ['needless gaps: history']);
});

test('an unproven gap where the other sent while one was away: needed', () =>
  assert.equal(account([connect, ...join('s', 50, ''), ...events(1), cut, connect, [590, 'ask', 's', 'o.1'], [600, 'joined', 's', 'o.6'], [601, 'gap', 's', '', '', 'history']]).needed, 1));

const unproven = [961, 'gap', 's', '', '', 'history'];
const [allowedUnproven] = ALLOWED.unproven;

test('an unproven gap told twice to one join: beyond the bound', () => {
  const { counts, beyond } = account([...allowedUnproven, unproven], { fate: 'alive' });
  assert.deepEqual([counts, beyond], [{ unproven: 2 }, ['needless gaps: unproven']]);
});

test('an unproven gap told again by a recovery: counted once', () => {
  const { counts, beyond } = account([...allowedUnproven, cut, unproven, [1000, 'connect', 'id', true]], { fate: 'alive' });
  assert.deepEqual([counts, beyond], [{ unproven: 1 }, []]);
});

test('an unproven gap in a session where one alone has sent: beyond the bound', () => {
  const joined = [[950, 'ask', 'other', 'o.5'], [960, 'joined', 'other', ''], [961, 'gap', 'other', '', '', 'history']];
  const { counts, beyond } = account([connect, ...join('other', 10, ''), [500, 'event', 'other', 'o.5', 5], cut, connect, ...joined], { fate: 'alive' });
  assert.deepEqual([counts, beyond], [{ unproven: 1 }, ['needless gaps: unproven']]);
});

test('an unproven gap after an offset of another session, where one has sent: counted', () => {
  const joined = [[950, 'ask', 'other'], [960, 'joined', 'other', ''], [961, 'gap', 'other', '', '', 'history']];
  const { counts, beyond } = account([...all, cut, [940, 'connect', 'id', false], ...joined], { fate: 'alive' });
  assert.deepEqual([counts, beyond], [{ unproven: 1 }, []]);
});

test('an unproven gap after an offset of another session, where nobody has sent: beyond the bound', () => {
  const joined = [[950, 'ask', 'quiet'], [960, 'joined', 'quiet', ''], [961, 'gap', 'quiet', '', '', 'history']];
  const { counts, beyond } = account([...all, cut, [940, 'connect', 'id', false], ...joined], { fate: 'alive' });
  assert.deepEqual([counts, beyond], [{ unproven: 1 }, ['needless gaps: unproven']]);
});

test('every bound has its reason', () => {
  for (const { why } of Object.values(CAUSES)) assert.ok(why.length > 10);
});
