// SPDX-License-Identifier: MIT
// Checks one consumer's log (a client, the tap, the subscriber) against what was emitted: of each
// session and origin every event once and in order, or a gap that names just what is missing.
//
// A log is lines, each an array [MILLISECONDS, KIND, …]:
//   open | connect ID RECOVERED | disconnect REASON clients alone; open: CONNECT is sent
//   ask SESSION [SINCE] | joined SESSION OFFSET | leave SESSION | left SESSION
//   event SESSION ID N                              N: the payload's number; null: there is none
//   gap SESSION AFTER FIRST REASON                  FIRST "": without end; AFTER, too: unproven
//   error CODE MESSAGE
// What comes between a disconnect and the next connect is what was missed, which the official
// client gives out before it says that it is connected.
//
// A client that begins anew names, in its CONNECT, the last event that it got (its offset, which the
// official client sends by itself). Where it then soon joins a session without SINCE, for the first
// time on that connection and before it has left any, it is as if it had named that event: what it
// missed is owed there, too, also if it is recovered in between. Later it depends on the gateway;
// then it may come. Where it has left a session on that connection, or came anew without having got
// anything, an unproven gap may answer its joins.
//
// A session's events are owed from its offset on; of the offset's origin that is exact. Of other
// origins, and where there is no offset, what was emitted after the consumer had heard `joined` is
// owed, and whatever comes is to be without holes from its first event on.
//
// Who was in a session before and joins it with SINCE, the newest event that it had there, goes on
// where it was, the presence of gateways aside: everything after it is owed, of SINCE's origin
// exactly; of the others, too, unless an unproven gap comes before all else, which is told only
// where others have sent. Since one event id does not say what it has of the others, these events
// may come again, once and in order; so may those of SINCE's origin where a gap without end says
// that the gateway does not know it. What a gateway cannot know of is not owed of them: of an
// origin that was gone before the join, and of the gateways, whose lives this program does not
// follow.

import { GapAccounts } from './gaps.mjs';

// A broadcaster over tcp that is killed sooner than one who is stopped goes on, and connects anew,
// may never have met the consumer, and nothing could tell of it (in a bus directory its files do).
// One that ends in good order waits for nobody who did not reach it: it may not have met the consumer
// either, if its life was that short, and the connection to it was cut or silent in that time.
const UNMET_MS = 12_000;
const NAMED_MS = 4_000; // less than the shortest --recovery-window: so long a CONNECT's offset counts
const REPAIR_MS = 20_000; // the longest until a loss is told: the time-outs of the bus, and of the plan's stops of a gateway
const CLOCK_MS = 2; // by how much the two sides' readings of one clock may differ
const EVERYBODY = '';
const EVERYTHING = '*';

const parse = (id) => {
  const dot = id.indexOf('.');
  return [id.slice(0, dot), Number(id.slice(dot + 1))];
};

class Position {
  constructor(upTo, received = 0) {
    this.upTo = upTo; // everything up to that number is accounted for
    this.received = received;
    this.resumedAt = received;
    this.isOver = false; // a gap without end was told
    this.mayGoOn = false; // … to one who had joined with `since`: it is about the past
    this.again = -1; // the newest event that came a second time; -1: none may
    this.gap = null; // the last one told, as text, until an event comes
    this.gaps = []; // [after, before] of all that were told …
    this.toldAt = ''; // … and when the first of them was, and after which event
  }

  /** Which of these numbers have come, and may not come again, as far as no gap has named them. */
  had(numbers) {
    const mayAgain = this.again >= 0 ? this.upTo : 0;
    return numbers.filter((seq) => seq > mayAgain && seq <= this.received && !this.gaps.some(([after, before]) => after < seq && seq < before));
  }

  /** For a membership that goes on where this one's was. */
  carried() {
    const position = new Position(this.isOver ? Infinity : this.upTo);
    position.again = 0;
    return position;
  }
}

class Membership {
  constructor(state, since) {
    this.state = state; // 'asked', 'joined', 'leaving'
    this.since = since; // ms, when `joined` was heard
    this.wasRecovered = false; // an answer may have been lost on the way
    this.positions = new Map(); // by origin
    this.newest = ''; // id of the last event that came
    this.resumed = ''; // the origin of `since`, if it was joined so
    this.heldSince = since; // ms; of the other origins: when the membership that it goes on from was taken
    this.isProven = false; // no unproven gap was told
    this.unproven = ''; // the one that was told, as text
    this.isAnswering = false; // `joined` was heard, and no event yet
    this.isImplied = false; // … by the offset of its CONNECT, which may be of another session
    this.isUnsure = false; // … as one that was here before, whose offset says nothing
  }

  /** One that goes on from `past` after the event `id`, which is its newest. */
  static after(past, id) {
    const membership = new Membership('asked', Infinity);
    const [name, seq] = parse(id);
    Object.assign(membership, { newest: id, resumed: name, isProven: true, heldSince: past.owedSince });
    for (const [origin, position] of past.positions) if (origin !== name) membership.positions.set(origin, position.carried());
    membership.positions.set(name, new Position(seq, seq));
    return membership;
  }

  /**
   * One that is joined after the CONNECT named an event; `past`, if it was in the session before. An event of
   * another session (not `isHere`) says nothing of this one: the gateway cannot know what was had before it.
   */
  static implied(past, id, isHere) {
    const membership = new Membership('asked', Infinity);
    const [name, seq] = parse(id);
    Object.assign(membership, { resumed: name, isProven: past !== undefined, heldSince: past?.owedSince ?? Infinity, isImplied: true, named: id, newest: past?.newest ?? '' });
    for (const [origin, position] of past?.positions ?? []) {
      const isExact = origin === name && isHere && !position.isOver;
      const next = isExact ? new Position(position.upTo, position.received) : position.carried();
      if (origin === name && !isHere) next.upTo = Math.max(next.upTo, seq);
      membership.positions.set(origin, next);
    }
    return membership;
  }

  /** The same where the gateway may have heard of the join too late to heed what the CONNECT named. */
  asLate() {
    return Object.assign(Membership.implied(undefined, this.named, false), { wasRecovered: this.wasRecovered });
  }

  /** From when on the events of origins that were not heard of are owed. */
  get owedSince() {
    return this.isProven ? this.heldSince : this.since;
  }
}

export class Consumer {
  /** `report(problem)` takes an object with what was expected and what came; `accounts` its gaps. */
  constructor(name, emitted, report, { isClient = false, accounts = new GapAccounts() } = {}) {
    Object.assign(this, { name, emitted, report, isClient, accounts });
    this.memberships = new Map();
    this.past = new Map(); // session -> the last membership there in which an event came
    this.isConnected = !isClient;
    this.wasConnected = false;
    this.held = []; // lines between disconnect and connect
    this.offset = ''; // of the last event that came
    this.openedAt = undefined; // when the last CONNECT was sent
    this.named = ''; // in the CONNECT of this connection, which began anew
    this.isUnsure = false; // whether what it has may be unknown
    this.heard = new Set(); // `ORIGIN SESSION`, where anything of it came or was told
    this.joinedSince = new Set(); // the sessions that were joined since then
    this.leaving = null; // the last leave, until it is answered: what was so before
    this.counts = { implied: 0, deliveries: 0, gaps: {}, told: 0, empty: 0, recoveries: 0, anew: 0, resumed: 0, unproven: 0, again: 0 };
  }

  problem(what, session, origin, expected, came) {
    this.report({ consumer: this.name, session, origin, what, expected, came });
  }

  take(line) {
    const [time, kind, ...rest] = line;
    if (this.isClient && !this.isConnected && kind !== 'connect' && kind !== 'open') {
      // The official client says `disconnect` also where an attempt to come back fails.
      if (kind !== 'disconnect') this.held.push(line);
      return;
    }
    this[kind](time, ...rest);
  }

  open(time) {
    this.openedAt = time;
  }

  connect(time, id, isRecovered) {
    const held = this.held.splice(0);
    this.isConnected = true;
    if (isRecovered) {
      this.counts.recoveries++;
      for (const [session, membership] of this.memberships) {
        membership.wasRecovered = true;
        if (membership.state === 'asked') this.heedTime(session, time);
      }
    } else {
      if (this.wasConnected) this.counts.anew++;
      this.named = this.offset;
      this.isUnsure = this.wasConnected && !this.offset;
      this.namedUntil = (this.openedAt ?? time) + NAMED_MS; // the gateway counts from the CONNECT, not from its answer
      this.joinedSince.clear();
      for (const session of [...this.memberships.keys()]) this.rise(session);
      this.memberships.set(EVERYBODY, new Membership('joined', time));
    }
    this.wasConnected = true;
    for (const line of held) {
      if (!isRecovered && (line[1] === 'event' || line[1] === 'gap'))
        this.problem('comes before a connection that is not recovered', line[2], '', 'nothing', line);
      else if (isRecovered) this.take(line);
    }
  }

  disconnect(_, reason) {
    this.isConnected = false;
    if (reason === 'goodbye') this.offset = ''; // of a light client, which forgets all
  }

  /** Gives up a membership; who joins again may name the newest event that came. */
  rise(session) {
    const membership = this.memberships.get(session);
    if (membership?.newest) this.past.set(session, membership);
    this.memberships.delete(session);
  }

  ask(time, session, since = '') {
    const membership = this.memberships.get(session);
    const past = this.past.get(session);
    if (membership) {
      if (membership.state === 'leaving') membership.state = 'joined';
    } else if (since && past?.newest !== since) {
      this.problem('asks for what comes after an event that is not its newest', session, '', past?.newest, since);
    } else {
      this.memberships.set(session, this.newMembership(past, since, session, time));
    }
  }

  newMembership(past, since, session, time) {
    const isFirst = !this.joinedSince.has(session);
    this.joinedSince.add(session);
    if (!since && !(this.named && isFirst)) return Object.assign(new Membership('asked', Infinity), { isUnsure: this.isUnsure });
    const isInTime = time <= this.namedUntil;
    const membership = since ? Membership.after(past, since) : Membership.implied(isInTime ? past : undefined, this.named, this.isOf(session, this.named));
    if (!this.emitted.origin(membership.resumed).isOurs) membership.positions.delete(membership.resumed); // presence of before is not owed
    return membership;
  }

  /** A join of which nothing was heard before that time may have come when the CONNECT's offset no longer counted. */
  heedTime(session, time) {
    const membership = this.memberships.get(session);
    if (membership.isImplied && time > this.namedUntil) this.memberships.set(session, membership.asLate());
  }

  joined(time, session, offset) {
    const asked = this.memberships.get(session);
    if (!asked) return this.problem('joined unasked', session, '', 'nothing', offset);
    if (asked.state === 'asked' && !asked.wasRecovered) this.heedTime(session, time);
    const membership = this.memberships.get(session);
    if (membership.state === 'asked') {
      membership.since = time;
      membership.state = 'joined';
      membership.isAnswering = true;
      if (membership.resumed && (membership.isProven || !membership.isImplied)) {
        this.counts[membership.isImplied ? 'implied' : 'resumed']++;
        for (const name of [...membership.positions.keys()]) if (name !== membership.resumed && !this.isHeld(membership, this.emitted.origin(name))) membership.positions.delete(name);
        return; // what was missed is still to come
      }
    }
    if (offset === '') return;
    const [name, seq] = parse(offset);
    this.heard.add(`${name} ${session}`);
    const position = membership.positions.get(name);
    if (!position) {
      membership.positions.set(name, new Position(seq));
      if (membership.isImplied) membership.positions.get(name).again = 0; // some from before may come
      return;
    }
    const missing = position.isOver ? [] : this.emitted.origin(name).between(session, position.upTo, seq);
    if (missing.length) this.problem('an offset ahead of what came', session, name, missing, offset);
  }

  leave(_, session) {
    this.leaving = { session, named: this.named, isUnsure: this.isUnsure };
    this.named = '';
    this.isUnsure = true;
    const membership = this.memberships.get(session);
    if (membership) membership.state = 'leaving';
  }

  left(_, session) {
    this.leaving = null;
    this.rise(session);
  }

  /** Whether a membership that goes on from one before it is owed what the origin sent in between. */
  isHeld(membership, origin) {
    return membership.isProven && origin.isOurs && !(origin.died < membership.since);
  }

  /** The session's events of an origin that has no position there, up to a number. */
  owedAnew(origin, scope, membership, upTo = Infinity) {
    const from = this.isHeld(membership, origin) && origin.name !== membership.resumed ? membership.owedSince : membership.since;
    return origin.since(scope, from + CLOCK_MS, upTo); // of a gateway's, nobody knows when
  }

  error(_, code) {
    const { leaving } = this;
    if (code !== 'not_joined' || !leaving) return;
    Object.assign(this, { named: leaving.named, isUnsure: leaving.isUnsure, leaving: null }); // it is as if it had not asked
    this.joinedSince.delete(leaving.session);
  }

  membershipOf(session, what, came) {
    const membership = this.memberships.get(EVERYTHING) ?? this.memberships.get(session);
    if (!membership) this.problem(`${what} of a session that it is not in`, session, '', 'nothing', came);
    else if (this.isClient && membership.state === 'asked' && !membership.wasRecovered)
      this.problem(`${what} before it had joined`, session, '', 'joined', came);
    return membership;
  }

  /** In whose order it is judged. */
  scope(session) {
    return this.memberships.has(EVERYTHING) ? EVERYTHING : session;
  }

  event(_, session, id, n) {
    const [name, seq] = parse(id);
    const origin = this.emitted.origin(name);
    const scope = this.scope(session);
    this.heard.add(`${name} ${session}`);
    this.counts.deliveries++;
    const membership = this.membershipOf(session, 'an event', id);
    if (!membership) return;
    membership.newest = id;
    this.offset = id;
    membership.isAnswering = false;
    if (!this.isEmitted(origin, seq, session, n)) return this.problem('was never emitted', session, name, 'nothing', [id, n]);
    let position = membership.positions.get(name);
    if (!position) {
      const missing = this.owedAnew(origin, scope, membership, seq - 1);
      if (missing.length) this.problem('events after the join are missing', session, name, missing, id);
      membership.positions.set(name, (position = new Position(0)));
    } else if (position.isOver && position.mayGoOn && !(position.again >= 0 && seq <= position.upTo)) {
      const missing = this.unheard(origin, scope, membership, seq - 1);
      if (missing.length) this.problem('events after the join are missing', session, name, missing, id);
      position.isOver = false;
      position.again = -1;
    } else {
      this.judge(origin, scope, position, seq, id);
    }
    position.upTo = Math.max(position.upTo, seq);
    position.received = Math.max(position.received, seq);
    position.gap = null;
  }

  judge(origin, scope, position, seq, id) {
    const say = (what, expected) => this.problem(what, scope, origin.name, expected, id);
    if (position.again >= 0 && seq <= position.upTo) {
      if (seq <= position.again) say('comes twice again, or out of order', `after ${position.again}`);
      position.again = seq;
      this.counts.again++;
      return;
    }
    position.again = -1;
    if (position.isOver) return say('comes after a gap that said that nothing would', position.gap);
    if (seq <= position.received) return say('comes twice, or out of order', `after ${position.received}`);
    if (seq <= position.upTo) return say('had been told missing, or is older than the join', `after ${position.upTo}`);
    if (origin.next(scope, position.upTo) < seq) say('events are missing', origin.between(scope, position.upTo, seq - 1));
  }

  /** A broadcaster that was killed may have been about to note its last event. */
  isEmitted(origin, seq, session, n) {
    if (!origin.numbers.has(seq) && origin.fate === 'killed' && seq === origin.last + 1) origin.add(seq, session, 0, n);
    const event = origin.numbers.get(seq);
    return event?.session === session && (n === null || n === event.n);
  }

  gap(time, session, after, first, reason) {
    const membership = this.membershipOf(session, 'a gap', after);
    if (!membership) return;
    if (after === '') return this.unproven(session, membership, first, reason);
    const [name, lower] = parse(after);
    this.heard.add(`${name} ${session}`);
    const origin = this.emitted.origin(name);
    const text = `${after} ${first} ${reason}`;
    const upper = first === '' ? Infinity : parse(first)[1];
    let position = membership.positions.get(name);
    if (position?.gap === text && membership.wasRecovered) return; // a gap has no id that would be an offset: it may come again
    this.counts.gaps[reason] = (this.counts.gaps[reason] ?? 0) + 1;
    const isFirst = !position?.gaps.length || position.toldAt === `${time} ${membership.newest}`; // an answer is told at once
    const isAnswer = isFirst && !position?.isOver && membership.resumed !== '' && name === membership.resumed && position?.received === position?.resumedAt;
    const account = (missing) => this.accounts.take({ consumer: this.name, session, origin, reason, text, missing, membership, isAnswer, isImplied: membership.isImplied, isOlder: missing === 0 && this.wasLostBefore(origin, session, membership, lower, upper, time) });
    if (position?.isOver && first === '') {
      this.counts.empty++; // that it is lost has been told
      account(0);
      return;
    }
    account(this.unheard(origin, session, membership, upper - 1).filter((seq) => seq > lower).length);
    const before = this.unheard(origin, session, membership, lower);
    if (before.length) this.problem('events before a gap are missing', session, name, before, text);
    const had = position ? position.had(origin.between(session, lower, upper - 1)) : [];
    if (had.length) this.problem('a gap names what came', session, name, `nothing of ${had}`, text);
    const told = origin.between(session, Math.max(lower, position?.upTo ?? 0), upper - 1).length;
    this.counts.told += told;
    if (!told) this.counts.empty++;
    if (!position) membership.positions.set(name, (position = new Position(0)));
    position.gap = text;
    if (!position.gaps.length) position.toldAt = `${time} ${membership.newest}`;
    position.gaps.push([lower, upper]);
    if (first === '') {
      position.isOver = true;
      position.upTo = Math.max(position.upTo, lower);
      position.mayGoOn = name === membership.resumed && position.received === position.resumedAt;
      if (position.mayGoOn) position.again = 0;
    } else {
      position.upTo = Math.max(position.upTo, upper - 1);
    }
  }

  /**
   * Whether a gap names what was emitted before its consumer came, and may have been asked for still:
   * either shortly before, or by an origin that died shortly before. Where the answer to its join was
   * lost and it was recovered, it is not known when it came, only that it was before `time`.
   */
  wasLostBefore(origin, session, membership, lower, upper, time) {
    const from = Math.max(lower, membership.positions.get(origin.name)?.upTo ?? 0);
    const came = membership.since === Infinity && membership.wasRecovered ? time : membership.since;
    const isFreshlyDead = came - REPAIR_MS < origin.died && origin.died <= came;
    return origin.since(session, isFreshlyDead ? 0 : came - REPAIR_MS, upper - 1).some((seq) => seq > from);
  }

  /** What others than `since`'s origin sent may be missing. */
  unproven(session, membership, first, reason) {
    const text = `unproven ${first} ${reason}`;
    if (membership.unproven === text && membership.wasRecovered && membership.isAnswering) return; // like any gap, it may come again
    if (membership.isUnsure && membership.isAnswering) {
      Object.assign(membership, { isUnsure: false, unproven: text }); // once
      this.accounts.take({ consumer: this.name, session, origin: null, reason, text, missing: 0, membership, isUnsure: true });
      return;
    }
    if (!membership.resumed || !membership.isAnswering) return this.problem('an unproven gap that answers no join', session, '', 'nothing', text);
    const isOther = membership.isImplied && !this.isOf(session, membership.named); // it says nothing of this one
    if (!isOther && !membership.positions.get(membership.resumed)?.isOver && !this.hasOthers(session, membership))
      this.problem('an unproven gap where one origin alone had sent', session, membership.resumed, 'nothing', text);
    this.counts.unproven++;
    this.accounts.take({ consumer: this.name, session, origin: null, reason, text, missing: this.unheardOfOthers(session, membership), membership: this.haveSeveralSent(session, membership, isOther) ? membership : null });
    Object.assign(membership, { isProven: false, unproven: text });
    for (const name of [...membership.positions.keys()]) if (name !== membership.resumed || isOther) membership.positions.delete(name);
  }

  isOf(session, id) {
    const [name, seq] = parse(id);
    return this.emitted.origin(name).numbers.get(seq)?.session === session;
  }

  /** How many events of others than `since`'s origin are owed: what an unproven gap is about. */
  unheardOfOthers(session, membership) {
    let sum = 0;
    for (const origin of this.emitted.origins.values())
      if (origin.name !== membership.resumed) sum += origin.since(session, membership.heldSince + CLOCK_MS).filter((seq) => seq > (membership.positions.get(origin.name)?.upTo ?? 0)).length;
    return sum;
  }

  /** Whether a join with since, or the offset of its CONNECT, came where others than its origin have sent: gateways, too. */
  haveSeveralSent(session, membership, isOther) {
    let count = isOther ? 1 : 0; // the named event is of another session
    for (const origin of this.emitted.origins.values()) if (origin.first(session) <= membership.since + CLOCK_MS) count++;
    return count > 1;
  }

  hasOthers(session, membership) {
    for (const origin of this.emitted.origins.values()) {
      const first = origin.first(session);
      if (origin.isOurs && origin.name !== membership.resumed && first !== undefined && first <= membership.since + CLOCK_MS) return true;
    }
    return false;
  }

  /** What is still to come once nothing is emitted any more: problems, none if it has all. */
  *owed() {
    if (!this.isConnected) yield { what: 'did not come back', session: '', origin: '', expected: 'a connection', came: 'none' };
    for (const [session, membership] of this.memberships) {
      if (membership.state !== 'joined') {
        yield { what: `is ${membership.state}`, session, origin: '', expected: 'an answer', came: 'none' };
        continue;
      }
      for (const origin of this.emitted.origins.values()) {
        const missing = this.missing(origin, session, membership);
        if (missing.length)
          yield { what: `the newest events are missing (${origin.fate})`, session, origin: origin.name, expected: missing, came: membership.positions.get(origin.name) ?? 'nothing' };
      }
    }
  }

  missing(origin, session, membership) {
    const position = membership.positions.get(origin.name);
    const isMet = position && position.again < 0;
    if (!isMet && origin.isRemote && this.mayBeUnmet(origin, session, membership, position)) return [];
    // The client may have come to just that gateway, which tells its own presence without ids.
    if (membership.resumed === origin.name && !origin.isOurs) return [];
    if (position?.isOver && !(position.mayGoOn && origin.fate === 'alive')) return [];
    return this.unheard(origin, session, membership);
  }

  /** Whether a broadcaster over tcp may be gone before the consumer, or the gateway where it joined, met it. */
  mayBeUnmet(origin, session, membership, position) {
    if (origin.life >= UNMET_MS) {
      const isCarried = position && origin.fate === 'killed'; // from another gateway, maybe, than that of this join
      return isCarried && origin.died - membership.since < UNMET_MS;
    }
    return origin.fate === 'killed' || (origin.fate === 'ended' && origin.wasCut && !this.heard.has(`${origin.name} ${session}`));
  }

  /** The session's events of the origin, up to a number, that are owed and were neither heard nor told missing. */
  unheard(origin, session, membership, upTo = Infinity) {
    const position = membership.positions.get(origin.name);
    if (!position) return this.owedAnew(origin, session, membership, upTo);
    if (!position.isOver) return origin.between(session, position.upTo, upTo);
    return this.owedAnew(origin, session, membership, upTo).filter((each) => each > position.upTo);
  }
}
