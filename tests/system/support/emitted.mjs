// SPDX-License-Identifier: MIT
// What was emitted: the reference that every consumer's log is checked against.
//
// A broadcaster's file has what talus_emit took, and what it refused, whose numbers are in no
// payload that may come. The gateways are broadcasters, too, and write no
// such file: of their presence what anybody heard is known, and checked against by the others.

import { openSync, closeSync, readSync, fstatSync } from 'node:fs';

/** Gives the whole lines that were added to a file since the last time. */
export class Follower {
  constructor(file) {
    this.file = file;
    this.at = 0;
    this.rest = Buffer.alloc(0);
  }

  lines() {
    let descriptor;
    try {
      descriptor = openSync(this.file, 'r');
    } catch (error) {
      if (error.code === 'ENOENT') return [];
      throw error;
    }
    const bytes = Buffer.alloc(fstatSync(descriptor).size - this.at);
    readSync(descriptor, bytes, 0, bytes.length, this.at);
    closeSync(descriptor);
    this.at += bytes.length;
    const all = Buffer.concat([this.rest, bytes]);
    const end = all.lastIndexOf(10) + 1;
    this.rest = all.subarray(end);
    return end ? all.toString('utf8', 0, end - 1).split('\n') : [];
  }
}

/** The first index whose value is above `limit`, in a list that ascends. */
function above(list, limit) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

const EVERYTHING = '*';

export class Origin {
  constructor(name, file) {
    this.name = name;
    this.isOurs = file !== undefined; // a broadcaster's, whose file says all
    this.follower = file && new Follower(file);
    this.last = 0; // in the file
    this.fate = 'alive'; // 'killed', 'ended'
    this.isShort = false; // it lives to emit some events at once
    this.isRemote = false; // over tcp: nothing but its connection tells that it was there
    this.wasCut = false; // … which was cut or silent at some time of its life
    this.life = Infinity; // ms, until it was killed or told to end
    this.died = Infinity; // ms since the epoch, when it was killed or told to end
    this.sessions = new Map(); // session -> {seqs, times in ms (0: not known)}
    this.numbers = new Map(); // seq -> {session, n: the payload's number}
    this.refused = 0; // emits that its full queue did not take: they are no events
  }

  add(seq, session, time, n = seq) {
    this.numbers.set(seq, { session, n });
    for (const name of [session, EVERYTHING]) {
      let list = this.sessions.get(name);
      if (!list) this.sessions.set(name, (list = { seqs: [], times: [] }));
      const at = above(list.seqs, seq);
      list.seqs.splice(at, 0, seq);
      list.times.splice(at, 0, time);
    }
  }

  read() {
    for (const line of this.follower?.lines() ?? []) {
      const [seq, session, time, n] = line.split(' ');
      if (seq === 'refused') {
        this.refused++;
        continue;
      }
      this.last = Number(seq);
      this.add(this.last, session === '-' ? '' : session, Number(time) / 1000, Number(n));
    }
  }

  /** The session's events after the number `after` and up to `upTo`. */
  between(session, after, upTo = Infinity) {
    const list = this.sessions.get(session);
    if (!list) return [];
    return list.seqs.slice(above(list.seqs, after), above(list.seqs, upTo));
  }

  /** Whether a session has events in that range; cheaper than listing them. */
  next(session, after) {
    const list = this.sessions.get(session);
    return list?.seqs[above(list.seqs, after)] ?? Infinity;
  }

  /** When the session's first event was emitted, in ms; 0: nobody knows; undefined: there is none. */
  first(session) {
    return this.sessions.get(session)?.times[0];
  }

  /** The session's events emitted after a time, in ms, with numbers up to `upTo`. */
  since(session, time, upTo = Infinity) {
    const list = this.sessions.get(session);
    const found = [];
    for (let i = list ? above(list.seqs, upTo) - 1 : -1; i >= 0 && list.times[i] > time; i--) found.push(list.seqs[i]);
    return found.reverse();
  }
}

export class Emitted {
  constructor() {
    this.origins = new Map();
  }

  addBroadcaster(name, file) {
    const origin = new Origin(name, file);
    this.origins.set(name, origin);
    return origin;
  }

  /** Reads what was added; of those that had ended before the last time, nothing was. */
  read() {
    for (const origin of this.origins.values()) {
      if (origin.isRead) continue;
      const isOver = origin.fate !== 'alive';
      origin.read();
      origin.isRead = isOver;
    }
  }

  /** The origin, which is a gateway's if nobody said otherwise. */
  origin(name) {
    let origin = this.origins.get(name);
    if (!origin) this.origins.set(name, (origin = new Origin(name)));
    return origin;
  }

  /** Notes what somebody heard of a gateway, before anything is checked. */
  hear(id, session) {
    const [name, seq] = id.split('.');
    const origin = this.origin(name);
    if (!origin.isOurs && !origin.numbers.has(Number(seq))) origin.add(Number(seq), session, 0);
  }

  get refused() {
    let sum = 0;
    for (const origin of this.origins.values()) sum += origin.refused;
    return sum;
  }

  get count() {
    let sum = 0;
    for (const origin of this.origins.values()) if (origin.isOurs) sum += origin.numbers.size;
    return sum;
  }
}
