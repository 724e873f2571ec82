// SPDX-License-Identifier: MIT
// What will be broken, and when: made from the seed before anything runs, so a run is repeatable in
// its decisions. What a step finds already broken, it passes over.

import { Random } from './random.mjs';

const FAULT_MS = 700; // mean time between two faults
const MOVE_MS = 120; // … between two clients that join or leave

const FAULTS = {
  'kill broadcaster': 4,
  'end broadcaster': 1,
  'kill gateway': 2,
  'end gateway': 1,
  'stop gateway': 3,
  'stop clients': 3,
  'stall clients': 1,
  'cut clients': 5,
  'delay clients': 3,
  'shut out clients': 2,
  'cut bus': 3,
  'kill tap': 1,
  'kill subscriber': 1,
};

/** What a fault does to whom: `{at, what, …}`, times in ms. */
function fault(random, at, size) {
  const what = random.weighted(FAULTS);
  const step = { at, what };
  if (/broadcaster/.test(what)) step.which = random.integer(0, size.broadcasters - 1);
  else if (/gateway|cut clients|delay|shut/.test(what)) step.which = random.integer(0, size.gateways - 1);
  else if (what === 'stop clients') step.which = random.integer(0, size.hosts - 1);
  else step.which = 0;
  if (/^(kill|end)/.test(what)) step.away = random.integer(200, 3000);
  if (what === 'stall clients') Object.assign(step, { which: random.integer(0, size.broadcasters - 1), away: random.integer(2000, 5000) });
  if (/^stop/.test(what)) step.away = random.integer(300, 6000);
  if (what === 'cut clients') step.share = random.pick([0.1, 0.3, 1]);
  if (what === 'cut bus') step.away = random.integer(0, 2500);
  if (what === 'shut out clients') step.away = random.integer(300, 4000);
  if (what === 'delay clients') Object.assign(step, { away: random.integer(500, 4000), delay: random.integer(20, 900) });
  return step;
}

/** A client that joins or leaves a session (whichever it can), or says goodbye and comes anew. */
function move(random, at, size) {
  return {
    at,
    what: random.next() < 0.05 ? 'say goodbye' : 'move',
    client: random.integer(0, size.clients - 1),
    session: random.integer(0, size.sessions - 1),
  };
}

/** `size`: how many of each there are: broadcasters, gateways, hosts, clients, sessions. */
export function makePlan(seed, seconds, size) {
  const steps = [];
  const random = new Random(seed);
  for (let at = random.wait(FAULT_MS); at < seconds * 1000; at += random.wait(FAULT_MS)) steps.push(fault(random, at, size));
  for (let at = random.wait(MOVE_MS); at < seconds * 1000; at += random.wait(MOVE_MS)) steps.push(move(random, at, size));
  return steps.sort((a, b) => a.at - b.at);
}
