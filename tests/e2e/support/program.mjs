// SPDX-License-Identifier: MIT
// Starts the project's programs, reads their lines, and ends them.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { within } from './deadline.mjs';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../../..');
export const binDir = process.env.TALUS_BIN_DIR ?? path.join(root, 'build/bin');
export const testsDir = process.env.TALUS_TESTS_DIR ?? path.join(root, 'build/tests');
export const pageDir = path.join(root, 'clients/web/dist');

export class Program {
  /** Starts `file`; `env` is added to the environment. */
  constructor(file, args = [], env = {}) {
    this.name = path.basename(file);
    this.lines = [];
    this.errors = '';
    this.child = spawn(file, args, { env: { ...process.env, ...env } });
    this.exit = once(this.child, 'exit').then(([code, signal]) => ({ code, signal }));
    this.closed = once(this.child, 'close');
    this.child.stdin.on('error', () => {}); // the program may end before it has read everything
    this.child.stderr.on('data', (data) => (this.errors += data));
    this.waiters = new Set();
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.lines.push(line);
      for (const check of [...this.waiters]) check();
    });
  }

  get pid() {
    return this.child.pid;
  }

  /** Waits for a line that matches, from the first one on; gives its match. */
  async line(pattern, from = 0) {
    let check;
    const found = new Promise((resolve) => {
      check = () => {
        for (const line of this.lines.slice(from)) {
          const match = line.match(pattern);
          if (match) return resolve(match);
        }
      };
    });
    this.waiters.add(check);
    check();
    const ended = this.closed.then(() => {
      check();
      throw new Error(`${this.name} ended without a line like ${pattern}\n${this.errors}`);
    });
    ended.catch(() => {});
    try {
      return await within(Promise.race([found, ended]), `line ${pattern} of ${this.name}`);
    } finally {
      this.waiters.delete(check);
    }
  }

  /** Waits until standard error has something that matches. */
  async saying(pattern) {
    const { stderr } = this.child;
    let look;
    const found = new Promise((resolve, reject) => {
      look = () => pattern.test(this.errors) && resolve();
      stderr.on('data', look);
      this.closed.then(() => reject(new Error(`${this.name} ended without saying ${pattern}\n${this.errors}`)));
    });
    look();
    await within(found, `${pattern} said by ${this.name}`).finally(() => stderr.off('data', look));
  }

  write(text) {
    this.child.stdin.write(text);
  }

  /** Stops it (SIGSTOP) and waits until it stands still: its threads go on until one of them has run and taken the signal. */
  async freeze() {
    this.child.kill('SIGSTOP');
    const stand = async () => {
      while (!(await standsStill(this.pid))) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    await within(stand(), `standstill of ${this.name}`);
  }

  thaw() {
    this.child.kill('SIGCONT');
  }

  /** Passes so much time, in which the program may not end. */
  async livesOn(ms) {
    let timer;
    const over = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
    const ended = this.exit.then(({ code, signal }) => {
      throw new Error(`${this.name} ended (${signal ?? code})\n${this.errors}`);
    });
    ended.catch(() => {});
    await Promise.race([over, ended]).finally(() => clearTimeout(timer));
  }

  /** Sends a signal and waits for the end; gives `{code, signal}`. */
  async stop(signal = 'SIGTERM') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    const result = await within(this.exit, `end of ${this.name}`);
    await this.closed;
    if (/Sanitizer|runtime error:/.test(this.errors)) throw new Error(`${this.name}:\n${this.errors}`);
    return result;
  }
}

/** Whether all threads of a process have stopped. */
async function standsStill(pid) {
  const threads = await readdir(`/proc/${pid}/task`);
  const stats = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
  return stats.every((stat) => stat.slice(stat.lastIndexOf(')') + 2).startsWith('T'));
}

/** A bus directory of the test's own: `{env, path, remove}`. */
export async function newBus() {
  const folder = await mkdtemp(path.join(tmpdir(), 'talus-'));
  const bus = path.join(folder, 'bus');
  return {
    path: bus,
    endpoint: `ipc://${bus}/*`,
    env: { TALUS_BUS: `ipc://${bus}/*` },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A gateway on a free port: a Program with `url` and `port`. */
export async function startGateway(bus, args = []) {
  const where = args.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  const program = new Program(path.join(binDir, 'talus-gateway'), [...where, ...args], bus.env);
  const [, url] = await program.line(/^talus-gateway listening on (http:\/\/\S+)$/);
  program.url = url;
  program.port = Number(new URL(url).port);
  return program;
}

/** A C service that emits what it is told (tests/e2e/service.c). */
export function startService(bus) {
  return new Program(path.join(testsDir, 'e2e_service'), [], bus.env);
}

/** Has such a service emit what the line says, and gives the event's id. */
export async function emitted(service, line) {
  const from = service.lines.length;
  service.write(`${line}\n`);
  return (await service.line(/^id (.*)/, from))[1];
}

/** What most tests need: a bus, a gateway on it, and a service that emits what it is told to. */
export async function startAll({ gateway = [] } = {}) {
  const all = {};
  try {
    all.bus = await newBus();
    all.gateway = await startGateway(all.bus, gateway);
    all.service = startService(all.bus);
    await all.service.line(/^ready/);
    return all;
  } catch (error) {
    await stopAll(all);
    throw error;
  }
}

/** Ends them; those that are not there are passed over. */
export async function stopAll({ bus, gateway, service }) {
  await service?.stop();
  await gateway?.stop();
  await bus?.remove();
}

/** Runs `talus` to its end. */
export async function talus(bus, args, input) {
  const program = new Program(path.join(binDir, 'talus'), args, bus.env);
  program.child.stdin.end(input ?? '');
  const { code } = await within(program.exit, `end of talus ${args[0]}`);
  await program.closed;
  return { code, lines: program.lines, errors: program.errors };
}
