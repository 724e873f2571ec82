// SPDX-License-Identifier: MIT
// A subscriber of its own that falls behind by more than its receive high-water mark, whose publisher
// is then killed, or cut off over tcp. All of it is on a bus of its own, since 100,000 events and more
// are needed where the mark is the default. What came is judged like any other log.

import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { within } from '../../e2e/support/deadline.mjs';
import { binDir, newBus, Program, testsDir } from '../../e2e/support/program.mjs';
import { Consumer } from './consumer.mjs';
import { Emitted } from './emitted.mjs';
import { judgeAll, Log, readAll, TapLog, whole } from './log.mjs';
import { Proxy } from './proxy.mjs';

const EVENTS = { tap: 130_000, subscriber: 3_000, gateway: 250_000 };
const QUEUE = 400_000; // events; so that none is refused
const MARK = 100; // the subscriber's, messages
const SESSION = 's-0';
const STAND_MS = 3_000; // several of the bus's heartbeats
const SETTLE_MS = 90_000;
const LOOK_MS = 200;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Flood {
  /** `by`: 'kill' or 'cut' (over tcp); `receiver`: 'tap', 'subscriber' or 'gateway'. */
  constructor(world, { receiver, by }, number) {
    Object.assign(this, { world, receiver, by, number });
    this.name = `flood ${number} of a ${receiver}`;
    this.folder = world.path(`flood-${number}`);
    this.emitted = new Emitted();
    this.logs = [];
    this.programs = [];
  }

  /** Runs it to its end, and reports what is wrong with it; gives the number of events. */
  async run() {
    await mkdir(this.folder);
    this.bus = await newBus();
    try {
      await this.startBroadcaster();
      await this[`start_${this.receiver}`]();
      await this.stand();
      this.broadcaster.write(`burst ${EVENTS[this.receiver]} 0 ${SESSION}\npause\n`);
      await this.broadcaster.line(/^paused/);
      await this.breakOff();
      await this.goOn();
      await this.settle();
    } finally {
      await this.stop();
    }
    return this.emitted.count;
  }

  start(file, args, name) {
    const program = this.world.processes.watch(new Program(file, args.map(String), this.bus.env), `${name} of ${this.name}`);
    this.programs.push(program);
    return program;
  }

  async startBroadcaster() {
    const file = path.join(this.folder, 'emitted');
    const isRemote = this.by === 'cut';
    const args = [isRemote ? '@tcp://127.0.0.1:*' : '-', file, this.number, 1, 1000, QUEUE, '-', 1];
    this.broadcaster = this.start(path.join(testsDir, 'chaos_broadcaster'), args, 'broadcaster');
    const [, origin, at] = await this.broadcaster.line(/^ready (\S+) (\S+)$/);
    this.origin = this.emitted.addBroadcaster(origin, file);
    this.origin.isRemote = isRemote;
    this.endpoint = this.bus.endpoint;
    if (!isRemote) return;
    this.proxy = await Proxy.start(Number(at.match(/:(\d+)$/)[1]));
    this.endpoint = `>tcp://127.0.0.1:${this.proxy.port}`;
  }

  consumer(options) {
    const report = (problem) => this.world.report({ ...problem, consumer: `${this.name}: ${problem.consumer}` });
    return new Consumer(this.receiver, this.emitted, report, { ...options, accounts: this.world.accounts });
  }

  async start_tap() {
    this.program = this.start(path.join(binDir, 'talus'), ['tap', '--format', 'json', '--bus', this.endpoint], 'tap');
    this.logs = [new TapLog(this.program, this.consumer(), path.join(this.folder, 'tap.log'))];
    await within(this.logs[0].isLive, 'live tap');
  }

  async start_subscriber() {
    const file = path.join(this.folder, 'subscriber.log');
    this.program = this.start(path.join(testsDir, 'chaos_subscriber'), [this.endpoint, file, MARK, SESSION], 'subscriber');
    this.logs = [new Log(file, this.consumer())];
    await this.program.line(/^ready/);
  }

  /** With a light client, which is in the session. */
  async start_gateway() {
    this.program = this.start(path.join(binDir, 'talus-gateway'), ['--listen', '127.0.0.1:0', '--workers', 2, '--log-level', 'warning', '--bus', this.endpoint], 'gateway');
    const [, port] = await this.program.line(/^talus-gateway listening on http:\S+:(\d+)$/);
    this.clients = this.start(path.join(testsDir, 'chaos_light_clients'), [this.folder, 1, 1, 'mixed', port], 'clients');
    this.logs = [new Log(path.join(this.folder, 'light-0.log'), this.consumer({ isClient: true }))];
    await this.until(() => this.logs[0].lines.some(([, kind, session]) => kind === 'joined' && session === SESSION), 'joined client');
  }

  async stand() {
    if (this.receiver === 'tap') this.program.child.stdout.pause();
    else if (this.receiver === 'subscriber') this.program.write(`stand ${STAND_MS}\n`);
  }

  async breakOff() {
    if (this.by === 'cut') return this.proxy.cut();
    await this.world.processes.end(this.broadcaster, 'SIGKILL');
    Object.assign(this.origin, { fate: 'killed', died: Date.now() });
  }

  async goOn() {
    if (this.receiver !== 'gateway') await wait(STAND_MS);
    this.program.child.stdout.resume();
  }

  /** Waits until nothing is owed, and reports what is when the time is over. */
  async settle(ms = SETTLE_MS) {
    this.clients?.write('settle\n');
    let owed = [];
    const isDone = () => {
      whole(judgeAll(this.logs, this.emitted));
      owed = this.logs.flatMap((log) => [...log.owed()].map((each) => ({ consumer: this.name, ...each })));
      return owed.length === 0 || this.hasEnded;
    };
    await this.becomes(isDone, ms);
    if (!this.hasEnded) for (const problem of owed) this.world.report(problem);
  }

  /** It ended by itself, which is reported; nothing is owed to it then. */
  get hasEnded() {
    const { exitCode, signalCode } = this.program.child;
    return exitCode !== null || signalCode !== null;
  }

  async until(isSo, what, ms = 60_000) {
    if (!(await this.becomes(isSo, ms))) throw new Error(`${this.name}: no ${what} within ${ms} ms`);
  }

  /** Reads the logs until it is so, or the time is over; gives whether it is so. */
  async becomes(isSo, ms) {
    for (const end = performance.now() + ms; ; await wait(LOOK_MS)) {
      this.clients?.write('flush\n');
      whole(readAll(this.logs));
      this.program.lines.length = 0; // the log has them
      if (isSo()) return true;
      if (performance.now() > end) return false;
    }
  }

  async stop() {
    for (const program of this.programs) {
      program.child.stdout.resume();
      await this.world.processes.end(program, 'SIGKILL').catch((error) => (this.world.failure ??= error));
    }
    await this.proxy?.stop();
    await this.bus.remove();
    if (!this.world.keep) await rm(this.folder, { recursive: true, force: true });
  }
}
