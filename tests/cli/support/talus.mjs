// SPDX-License-Identifier: MIT
// Runs the program `talus` on a bus directory of the test's own. Every wait has a deadline and
// says what it waited for; everything started is ended when the test is over.

import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const DEADLINE_MS = Number(process.env.TALUS_TEST_DEADLINE_MS ?? 60_000);
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const binaries = process.env.TALUS_BIN_DIR ?? path.join(root, 'build/bin');
const program = path.join(binaries, 'talus');

/** Long enough for any machine; a wait that succeeds ends early. */
export const PATIENTLY = ['--wait-subscriber', '20'];

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what()} within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The lines of a stream, as they come. */
class Lines {
  #rest = '';
  #waiters = new Set();

  constructor(stream) {
    this.all = [];
    this.text = '';
    stream.setEncoding('utf8');
    stream.on('data', (data) => {
      this.text += data;
      const parts = (this.#rest + data).split('\n');
      this.#rest = parts.pop();
      this.all.push(...parts);
      for (const waiter of this.#waiters) waiter();
    });
  }

  /** Resolves with the match of the first line that matches; each line is tried once. */
  match(pattern) {
    let tried = 0;
    return this.until((all) => {
      for (; tried < all.length; tried++) {
        const match = all[tried].match(pattern);
        if (match) return match;
      }
    });
  }

  /** Resolves with `find(all)` once that is neither undefined nor null. */
  until(find) {
    return new Promise((resolve) => {
      const waiter = () => {
        const found = find(this.all) ?? undefined;
        if (found === undefined) return;
        this.#waiters.delete(waiter);
        resolve(found);
      };
      this.#waiters.add(waiter);
      waiter();
    });
  }
}

/** The match of the first line of a child's standard output that matches. */
export function lineOf(child, pattern) {
  return within(new Lines(child.stdout).match(pattern), () => `line ${pattern}`);
}

class Process {
  constructor(args, env, input) {
    this.name = `talus ${args.join(' ')}`;
    this.child = spawn(program, args, { env });
    this.out = new Lines(this.child.stdout);
    this.err = new Lines(this.child.stderr);
    this.closed = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (status, signal) => resolve({ status, signal }));
    });
    this.closed.catch(() => {});
    this.exited = new Promise((resolve) => {
      this.child.on('exit', (status, signal) => resolve({ status, signal }));
    });
    this.child.stdin.on('error', () => {}); // it may end before it has read everything
    if (input !== undefined) this.child.stdin.end(input);
  }

  #describe() {
    return `${this.name}\n${this.err.text}`;
  }

  #unlessEnded(promise) {
    const ended = this.closed.then(() => {
      throw new Error(`ended early: ${this.#describe()}`);
    });
    ended.catch(() => {});
    return Promise.race([promise, ended]);
  }

  /** The match of the first line on standard output that matches. */
  line(pattern) {
    return within(this.#unlessEnded(this.out.match(pattern)), () => `line ${pattern} from ${this.#describe()}`);
  }

  /** The same where much comes before it: the deadline begins anew with each line. */
  async lineAfterMany(pattern) {
    let match;
    const found = this.out.match(pattern).then((it) => (match = it));
    while (!match) {
      const count = this.out.all.length;
      const more = this.out.until((all) => (all.length > count ? true : undefined));
      await within(this.#unlessEnded(Promise.race([found, more])), () => `line ${pattern} from ${this.#describe()}`);
    }
    return match;
  }

  /** The match of the first line on standard error that matches. */
  errorLine(pattern) {
    return within(this.#unlessEnded(this.err.match(pattern)), () => `line ${pattern} from ${this.#describe()}`);
  }

  /** The first `count` lines on standard output. */
  lines(count) {
    const found = this.out.until((all) => (all.length >= count ? all.slice(0, count) : undefined));
    return within(this.#unlessEnded(found), () => `${count} lines from ${this.#describe()}`);
  }

  /** Waits for the end; gives the exit status, the signal, and both outputs. */
  async end() {
    const { status, signal } = await within(this.closed, () => `end of ${this.#describe()}`);
    return { status, signal, out: this.out.all, err: this.err.text };
  }

  /** Waits for the end of the process alone, though its outputs may not have been read. */
  exit() {
    return within(this.exited, () => `exit of ${this.#describe()}`);
  }

  async kill(signal) {
    this.child.kill(signal);
    return this.end();
  }

  /** Passes so much time, in which the process may not end, whether its outputs are read or not. */
  async livesOn(ms) {
    let timer;
    const over = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
    const ended = this.exited.then(({ status, signal }) => {
      throw new Error(`ended (${signal ?? status}): ${this.#describe()}`);
    });
    ended.catch(() => {});
    await Promise.race([over, ended]).finally(() => clearTimeout(timer));
  }
}

/** A bus of the test's own, with the programs on it. */
export class Bus {
  static async open(t) {
    const bus = new Bus();
    bus.directory = await mkdtemp(path.join(tmpdir(), 'talus-cli-'));
    bus.endpoint = `ipc://${bus.directory}/*`;
    bus.processes = [];
    t.after(() => bus.#close());
    return bus;
  }

  async #close() {
    for (const process of this.processes) {
      if (process.child.exitCode === null && process.child.signalCode === null)
        process.child.kill('SIGKILL');
      process.child.stdout.resume();
      await process.closed.catch(() => {});
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  start(args, { input, env = {} } = {}) {
    const { NO_COLOR, ...inherited } = process.env;
    const all = { ...inherited, TALUS_BUS: this.endpoint, TZ: 'UTC', ...env };
    const started = new Process(args, all, input);
    this.processes.push(started);
    return started;
  }

  run(args, options = {}) {
    return this.start(args, { input: '', ...options }).end();
  }

  /** A tap that is live. */
  async tap(...args) {
    const tap = this.start(['tap', ...args]);
    [, tap.endpoint] = await tap.errorLine(/listening on (\S+)$/);
    return tap;
  }

  /** Emits to all who live on the bus. */
  emit(...args) {
    return this.run(['emit', ...PATIENTLY, ...args]);
  }

  /** Emits each of `lines`, as from a pipe. */
  emitLines(args, lines) {
    return this.run(['emit', ...PATIENTLY, ...args, '-'], {
      input: lines.map((line) => `${line}\n`).join(''),
    });
  }

  /** What lies in the bus directory. */
  files() {
    return readdir(this.directory);
  }
}
