// SPDX-License-Identifier: MIT
// Checks one consumer's log (a client, the tap, the subscriber) against what was emitted: of each
// session and origin every event once and in order, or a gap that names just what is missing.
//
// A log is lines, each an array [MILLISECONDS, KIND, …]:
//   connect ID RECOVERED | disconnect REASON        clients alone
//   ask SESSION | joined SESSION OFFSET | leave SESSION | left SESSION
//   event SESSION ID N                              N: the payload's number; null: there is none
//   gap SESSION AFTER FIRST REASON
//   error CODE MESSAGE
// What comes between a disconnect and the next connect is what was missed, which the official
// client gives out before it says that it is connected.
//
// A session's events are owed from its offset on; of the offset's origin that is exact. Of other
// origins, and where there is no offset, what was emitted after the consumer had heard `joined` is
// owed, and whatever comes is to be without holes from its first event on.

// A broadcaster over tcp that is killed sooner than one who is stopped goes on, and connects anew,
// may never have met the consumer, and nothing could tell of it (in a bus directory its files do).
const UNMET_MS = 12_000;
const CLOCK_MS = 2; // by how much the two sides' readings of one clock may differ
const EVERYBODY = '';
const EVERYTHING = '*';

const parse = (id) => {
  const dot = id.indexOf('.');
  return [id.slice(0, dot), Number(id.slice(dot + 1))];
};

class Position {
  constructor(upTo) {
    this.upTo = upTo; // everything up to that number is accounted for
    this.received = 0;
    this.isOver = false; // a gap without end was told
    this.gap = null; // the last one told, as text, until an event comes
  }
}

class Seat {
  constructor(state, since) {
    this.state = state; // 'asked', 'joined', 'leaving'
    this.since = since; // ms, when `joined` was heard
    this.wasRecovered = false; // an answer may have been lost on the way
    this.positions = new Map(); // by origin
  }
}

export class Consumer {
  /** `report(problem)` takes an object with what was expected and what came. */
  constructor(name, emitted, report, { isClient = false } = {}) {
    Object.assign(this, { name, emitted, report, isClient });
    this.seats = new Map();
    this.isConnected = !isClient;
    this.wasConnected = false;
    this.held = []; // lines between disconnect and connect
    this.counts = { deliveries: 0, gaps: {}, told: 0, empty: 0, recoveries: 0, anew: 0 };
  }

  problem(what, session, origin, expected, came) {
    this.report({ consumer: this.name, session, origin, what, expected, came });
  }

  take(line) {
    const [time, kind, ...rest] = line;
    if (this.isClient && !this.isConnected && kind !== 'connect') {
      // The official client says `disconnect` also where an attempt to come back fails.
      if (kind !== 'disconnect') this.held.push(line);
      return;
    }
    this[kind](time, ...rest);
  }

  connect(time, id, isRecovered) {
    const held = this.held.splice(0);
    this.isConnected = true;
    if (isRecovered) {
      this.counts.recoveries++;
      for (const seat of this.seats.values()) seat.wasRecovered = true;
    } else {
      if (this.wasConnected) this.counts.anew++;
      this.seats.clear();
      this.seats.set(EVERYBODY, new Seat('joined', time));
    }
    this.wasConnected = true;
    for (const line of held) {
      if (!isRecovered && (line[1] === 'event' || line[1] === 'gap'))
        this.problem('comes before a connection that is not recovered', line[2], '', 'nothing', line);
      else if (isRecovered) this.take(line);
    }
  }

  disconnect() {
    this.isConnected = false;
  }

  ask(_, session) {
    const seat = this.seats.get(session);
    if (!seat) this.seats.set(session, new Seat('asked', Infinity));
    else if (seat.state === 'leaving') seat.state = 'joined';
  }

  joined(time, session, offset) {
    let seat = this.seats.get(session);
    if (!seat) return this.problem('joined unasked', session, '', 'nothing', offset);
    if (seat.state === 'asked') {
      seat.since = time;
      seat.state = 'joined';
    }
    if (offset === '') return;
    const [name, seq] = parse(offset);
    const position = seat.positions.get(name);
    if (!position) {
      seat.positions.set(name, new Position(seq));
      return;
    }
    const missing = position.isOver ? [] : this.emitted.origin(name).between(session, position.upTo, seq);
    if (missing.length) this.problem('an offset ahead of what came', session, name, missing, offset);
  }

  leave(_, session) {
    const seat = this.seats.get(session);
    if (seat) seat.state = 'leaving';
  }

  left(_, session) {
    this.seats.delete(session);
  }

  error() {}

  seatOf(session, what, came) {
    const seat = this.seats.get(EVERYTHING) ?? this.seats.get(session);
    if (!seat) this.problem(`${what} of a session that it is not in`, session, '', 'nothing', came);
    else if (this.isClient && seat.state === 'asked' && !seat.wasRecovered)
      this.problem(`${what} before it had joined`, session, '', 'joined', came);
    return seat;
  }

  /** In whose order it is judged. */
  scope(session) {
    return this.seats.has(EVERYTHING) ? EVERYTHING : session;
  }

  event(_, session, id, n) {
    const [name, seq] = parse(id);
    const origin = this.emitted.origin(name);
    const scope = this.scope(session);
    this.counts.deliveries++;
    const seat = this.seatOf(session, 'an event', id);
    if (!seat) return;
    if (!this.isEmitted(origin, seq, session, n)) return this.problem('was never emitted', session, name, 'nothing', [id, n]);
    let position = seat.positions.get(name);
    if (!position) {
      const missing = origin.since(scope, seat.since + CLOCK_MS, seq - 1);
      if (missing.length) this.problem('events after the join are missing', session, name, missing, id);
      seat.positions.set(name, (position = new Position(0)));
    } else {
      this.judge(origin, scope, position, seq, id);
    }
    position.upTo = Math.max(position.upTo, seq);
    position.received = Math.max(position.received, seq);
    position.gap = null;
  }

  judge(origin, scope, position, seq, id) {
    const say = (what, expected) => this.problem(what, scope, origin.name, expected, id);
    if (position.isOver) return say('comes after a gap that said that nothing would', position.gap);
    if (seq <= position.received) return say('comes twice, or out of order', `after ${position.received}`);
    if (seq <= position.upTo) return say('had been told missing, or is older than the join', `after ${position.upTo}`);
    if (origin.next(scope, position.upTo) < seq) say('events are missing', origin.between(scope, position.upTo, seq - 1));
  }

  /** A broadcaster that was killed may have been about to note its last event. */
  isEmitted(origin, seq, session, n) {
    if (!origin.numbers.has(seq) && origin.fate === 'killed' && seq === origin.last + 1) origin.add(seq, session, 0);
    return origin.numbers.get(seq) === session && (n === null || n === seq);
  }

  gap(_, session, after, first, reason) {
    const [name, lower] = parse(after);
    const origin = this.emitted.origin(name);
    const seat = this.seatOf(session, 'a gap', after);
    if (!seat) return;
    const text = `${after} ${first} ${reason}`;
    const upper = first === '' ? Infinity : parse(first)[1];
    let position = seat.positions.get(name);
    if (position?.gap === text && seat.wasRecovered) return; // a gap has no id that would be an offset: it may come again
    this.counts.gaps[reason] = (this.counts.gaps[reason] ?? 0) + 1;
    const before = position ? origin.between(session, position.upTo, lower) : origin.since(session, seat.since + CLOCK_MS, lower);
    if (before.length) this.problem('events before a gap are missing', session, name, before, text);
    if (position && position.received > lower && origin.next(session, lower) <= position.received)
      this.problem('a gap names what came', session, name, `after ${position.received}`, text);
    const told = origin.between(session, Math.max(lower, position?.upTo ?? 0), upper - 1).length;
    this.counts.told += told;
    if (!told) this.counts.empty++;
    if (!position) seat.positions.set(name, (position = new Position(0)));
    position.gap = text;
    if (first === '') position.isOver = true;
    else position.upTo = Math.max(position.upTo, upper - 1);
  }

  /** What is still to come once nothing is emitted any more: problems, none if it has all. */
  *owed() {
    if (!this.isConnected) yield { what: 'did not come back', session: '', origin: '', expected: 'a connection', came: 'none' };
    for (const [session, seat] of this.seats) {
      if (seat.state !== 'joined') {
        yield { what: `is ${seat.state}`, session, origin: '', expected: 'an answer', came: 'none' };
        continue;
      }
      for (const origin of this.emitted.origins.values()) {
        const missing = this.missing(origin, session, seat);
        if (missing.length)
          yield { what: `the newest events are missing (${origin.fate})`, session, origin: origin.name, expected: missing, came: seat.positions.get(origin.name) ?? 'nothing' };
      }
    }
  }

  missing(origin, session, seat) {
    const position = seat.positions.get(origin.name);
    if (position) return position.isOver ? [] : origin.between(session, position.upTo);
    if (origin.isRemote && origin.fate === 'killed' && origin.life < UNMET_MS) return [];
    return origin.since(session, seat.since + CLOCK_MS); // of a gateway, nobody knows when
  }
}
