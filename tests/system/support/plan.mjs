// SPDX-License-Identifier: MIT
// What will be broken, and when: made from the seed before anything runs, so a run is repeatable in
// its decisions. What a step finds already broken, it passes over.

import { Random } from './random.mjs';

const FAULT_MS = 600; // mean time between two faults, where nothing else is asked for
const MOVE_MS = 120; // … between two clients that join or leave

/** The kinds of fault: how often each is among them, and what it does to whom. */
export const FAULTS = {
  'kill broadcaster': [4, (random, size) => ({ which: broadcaster(random, size), away: random.integer(200, 3000) })],
  'end broadcaster': [1, (random, size) => ({ which: broadcaster(random, size), away: random.integer(200, 3000) })],
  'short broadcasters': [3, (random) => ({ count: random.integer(1, 8), events: random.pick([0, 1, 1, 3, 20]), end: random.pick(['end', 'kill']) })],
  'kill gateway': [2, (random, size) => ({ which: gateway(random, size), away: random.integer(200, 3000) })],
  'end gateway': [1, (random, size) => ({ which: gateway(random, size), away: random.integer(200, 3000) })],
  'kill idle gateway': [2, (random) => ({ which: 'idle', away: random.integer(0, 1000) })],
  'return at once': [1, (random) => ({ which: 0, away: random.integer(0, 500) })],
  'stop gateway': [3, (random, size) => ({ which: gateway(random, size), away: random.integer(300, 6000) })],
  'stop clients': [3, (random, size) => ({ which: random.integer(0, size.hosts - 1), away: random.integer(300, 6000) })],
  'stall clients': [1, (random, size) => ({ which: broadcaster(random, size), away: random.integer(2000, 5000) })],
  'cut clients': [5, (random, size) => ({ which: gateway(random, size), share: random.pick([0.1, 0.3, 1]) })],
  'lose clients': [3, (random, size) => ({ which: gateway(random, size), share: random.pick([0.1, 0.3, 1]), near: random.pick(['cut', 'hold']), away: random.integer(1000, 8000) })],
  'delay clients': [3, (random, size) => ({ which: gateway(random, size), away: random.integer(500, 4000), delay: random.integer(20, 900) })],
  'shut out clients': [2, (random, size) => ({ which: gateway(random, size), away: random.integer(300, 4000) })],
  'cut bus': [3, (random) => ({ which: 0, away: random.integer(0, 2500) })],
  'silence bus': [2, (random) => ({ which: 0, away: random.integer(300, 4000), how: random.pick(['cut', 'go on']) })],
  'stand subscriber': [3, (random, size) => ({ which: broadcaster(random, size), how: random.pick(['stand', 'stand', 'stop']), away: random.integer(1500, 5000) })],
  flood: [0.6, (random) => ({ receiver: random.pick(['tap', 'tap', 'subscriber', 'gateway']), by: random.pick(['kill', 'cut']) })],
  'kill tap': [1, (random) => ({ which: 0, away: random.integer(200, 3000) })],
  'kill subscriber': [1, (random) => ({ which: random.integer(0, 1), away: random.integer(200, 3000) })],
};

const broadcaster = (random, size) => random.integer(0, size.broadcasters - 1);
const gateway = (random, size) => random.integer(0, size.gateways - 1);

/** A client that joins or leaves a session (whichever it can), or says goodbye and comes anew. */
function move(random, at, size) {
  return {
    at,
    what: random.next() < 0.05 ? 'say goodbye' : 'move',
    client: random.integer(0, size.clients - 1),
    session: random.integer(0, size.sessions - 1),
  };
}

/**
 * `size`: how many of each there are: broadcasters, gateways, hosts, clients, sessions. `only`: the
 * kinds of fault; none: all; `every`: ms between two of them, on average. Clients join and leave with
 * all of them.
 */
export function makePlan(seed, seconds, size, { only = [], every = FAULT_MS } = {}) {
  for (const kind of only) if (!FAULTS[kind]) throw new Error(`"${kind}" is none of: ${Object.keys(FAULTS).join(', ')}`);
  const kinds = only.length ? only : Object.keys(FAULTS);
  const weights = Object.fromEntries(kinds.map((kind) => [kind, FAULTS[kind][0]]));
  const steps = [];
  const random = new Random(seed);
  for (let at = random.wait(every); at < seconds * 1000; at += random.wait(every)) {
    const what = random.weighted(weights);
    steps.push({ at, what, ...FAULTS[what][1](random, size) });
  }
  for (let at = random.wait(MOVE_MS); size.clients > 0 && at < seconds * 1000; at += random.wait(MOVE_MS)) steps.push(move(random, at, size));
  return steps.sort((a, b) => a.at - b.at);
}
