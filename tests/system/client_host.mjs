// SPDX-License-Identifier: MIT
// Some of the chaos program's official clients, in a process of their own, so that it can be
// stopped: started by fork() with {folder, clients: [{name, urls, transport, sessions, seed}]} as
// its argument, it writes a log NAME.log for each (support/consumer.mjs says what is in it). A
// client whose url takes nobody moves to the next. One that lost its state, or comes back to a
// session, mostly joins with `since`. It takes messages:
//   {what: 'move', client, session}   joins the session, or leaves it
//   {what: 'say goodbye', client}     disconnects for good, and comes anew
//   {what: 'flush', token}            answered, with the same token, once all logs are written

import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { io, TRANSPORTS } from '../e2e/support/client.mjs';
import { Random } from './support/random.mjs';

const RETRY_MS = 200; // before a request that was refused is made again
const ANSWER_MS = 8000; // for an answer that was lost with its connection
const FAILURES_MAX = 3; // attempts to connect in a row, before it tries the next url
const SINCE_SHARE = 0.75; // of the joins that could name an event

class Client {
  constructor({ name, urls, transport, sessions, seed }, folder) {
    this.urls = urls;
    this.failures = 0;
    this.random = new Random(seed);
    this.log = createWriteStream(path.join(folder, `${name}.log`));
    this.wanted = new Set(sessions);
    this.joined = new Set();
    this.asked = new Map(); // session -> since; it may be in these: the answer has not come, or was lost
    this.newest = new Map(); // session -> id of the last event that came
    this.pending = null; // the request that is under way: {session, timer}
    this.socket = io(`${urls[0]}/graph`, {
      forceNew: true,
      reconnectionDelay: 100,
      reconnectionDelayMax: 1000,
      timeout: 4000,
      ...TRANSPORTS[transport],
    });
    this.socket.io.on('open', () => this.note('open'));
    this.socket.on('connect', () => this.onConnect());
    this.socket.on('connect_error', () => this.onFailure());
    this.socket.on('disconnect', (reason) => {
      this.note('disconnect', reason);
      this.socket.sendBuffer = []; // what it would say by itself when it is back, this class says
      this.settle();
    });
    this.socket.onAny((type, data, id) => this.onPacket(type, data, id));
  }

  note(...line) {
    this.log.write(`${JSON.stringify([Date.now(), ...line])}\n`);
  }

  onFailure() {
    if (++this.failures < FAILURES_MAX) return;
    this.failures = 0;
    this.urls.push(this.urls.shift());
    this.socket.io.uri = this.urls[0];
  }

  onConnect() {
    this.failures = 0;
    this.note('connect', this.socket.id, this.socket.recovered);
    if (!this.socket.recovered) {
      this.joined.clear();
      this.asked.clear();
    }
    this.settle();
    this.go();
  }

  onPacket(type, data, id) {
    if (type === 'joined') {
      this.note('joined', data.session_id, data.offset);
      this.joined.add(data.session_id);
      this.asked.delete(data.session_id);
      this.answered(data.session_id);
    } else if (type === 'left') {
      this.onLeft(data.session_id);
    } else if (type === 'gap') {
      this.note('gap', data.session_id, data.after, data.first, data.reason);
    } else if (type === 'error') {
      this.note('error', data.code, data.message);
      if (data.code === 'not_joined') this.onLeft(this.pending?.session);
      else setTimeout(() => this.retry(), RETRY_MS);
    } else if (id !== undefined) {
      this.note('event', data.session_id, id, data.n ?? null);
      this.newest.set(data.session_id, id);
    }
  }

  onLeft(session) {
    this.note('left', session);
    this.joined.delete(session);
    this.asked.delete(session);
    this.answered(session);
  }

  answered(session) {
    if (this.pending?.session !== session) return;
    this.settle();
    this.go();
  }

  settle() {
    clearTimeout(this.pending?.timer);
    this.pending = null;
  }

  retry() {
    this.settle();
    this.go();
  }

  /** Makes the next request, one at a time, until it is where it wants to be. */
  go() {
    if (this.pending || !this.socket.connected) return;
    const join = [...this.wanted].find((session) => !this.joined.has(session));
    const session = join ?? [...this.joined, ...this.asked.keys()].find((each) => !this.wanted.has(each));
    if (session === undefined) return;
    if (join && !this.asked.has(join)) this.asked.set(join, (this.random.next() < SINCE_SHARE && this.newest.get(join)) || '');
    const since = this.asked.get(join);
    if (join) this.note('ask', session, since);
    else this.note('leave', session);
    this.pending = { session, timer: setTimeout(() => this.retry(), ANSWER_MS) };
    this.socket.emit(join ? 'join_session' : 'leave_session', { session_id: session, ...(since && { since }) });
  }

  move(session) {
    if (!this.wanted.delete(session)) this.wanted.add(session);
    this.go();
  }

  sayGoodbye() {
    this.socket.disconnect();
    this.socket.connect();
  }

  flush() {
    return new Promise((resolve) => this.log.write('', resolve));
  }
}

const { folder, clients } = JSON.parse(process.argv[2]);
const all = new Map(clients.map((each) => [each.name, new Client(each, folder)]));

process.on('message', async ({ what, client, session, token }) => {
  if (what === 'move') all.get(client).move(session);
  else if (what === 'say goodbye') all.get(client).sayGoodbye();
  else if (what === 'flush') {
    await Promise.all([...all.values()].map((each) => each.flush()));
    process.send({ token });
  }
});
process.on('disconnect', () => process.exit());
if (!process.connected) process.exit();
