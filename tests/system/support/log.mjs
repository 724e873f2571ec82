// SPDX-License-Identifier: MIT
// The logs of the consumers: read as they grow, and judged line by line.

import { createWriteStream } from 'node:fs';
import readline from 'node:readline';
import { Follower } from './emitted.mjs';

const SLICE = 500; // lines that are taken at once

/** A log that its consumer's process writes, in the form that support/consumer.mjs tells. */
export class Log {
  constructor(file, consumer) {
    this.consumer = consumer;
    this.follower = new Follower(file);
    this.lines = [];
    this.marked = 0; // lines that are to be judged
    this.isEnded = false; // killed for good: it is owed nothing
  }

  *read() {
    let taken = 0;
    for (const line of this.follower.lines()) {
      this.lines.push(JSON.parse(line));
      if (++taken % SLICE === 0) yield;
    }
  }

  /** What comes later is not judged this time. */
  mark() {
    this.marked = this.lines.length;
  }

  *hear(emitted) {
    for (let at = 0; at < this.marked; at++) {
      const [, kind, session, id] = this.lines[at];
      if (kind === 'event') emitted.hear(id, session);
      if (at % SLICE === SLICE - 1) yield;
    }
  }

  *judge() {
    const lines = this.lines.splice(0, this.marked);
    this.marked = 0;
    for (const [at, line] of lines.entries()) {
      this.consumer.take(line);
      if (at % SLICE === SLICE - 1) yield;
    }
  }

  *owed() {
    if (!this.isEnded) yield* this.consumer.owed();
  }
}

// What is done with all logs yields between two slices, so that the caller's process can do something else.

export function* readAll(logs) {
  for (const log of logs) {
    yield* log.read();
    yield;
  }
}

/** Judges what has come in all logs by now. What was emitted is read after that is marked: it has all of it. */
export function* judgeAll(logs, emitted) {
  for (const log of logs) log.mark();
  emitted.read();
  for (const log of logs) {
    yield* log.hear(emitted);
    yield;
  }
  for (const log of logs) {
    yield* log.judge();
    yield;
  }
}

/** Takes all slices at once. */
export function whole(slices) {
  for (const _ of slices);
}

/** The tap's output, which is also kept as a file. It is in "*", live from what it says on. */
export class TapLog extends Log {
  constructor(program, consumer, file) {
    super(file, consumer);
    const copy = createWriteStream(file);
    this.lines.push([0, 'ask', '*']);
    readline.createInterface({ input: program.child.stdout }).on('line', (line) => {
      copy.write(`${line}\n`);
      const parsed = this.parse(line);
      if (!parsed) return;
      const { type, session, origin, seq, data, after, first, reason } = parsed;
      if (type === 'gap') this.lines.push([0, 'gap', session, after, first, reason]);
      else this.lines.push([0, 'event', session, `${origin}.${seq}`, data.n ?? null]);
    });
    this.isLive = program.saying(/listening on/).then(() => this.lines.push([Date.now(), 'joined', '*', '']));
  }

  /** Of one that is killed the last line may be a part. */
  parse(line) {
    try {
      return JSON.parse(line);
    } catch (error) {
      if (this.isEnded) return null;
      throw error;
    }
  }

  *read() {}
}
