// SPDX-License-Identifier: MIT
// Everything that runs in a chaos run: a bus, broadcasters on it and beside it over tcp, gateways
// behind proxies, clients in several processes, a tap, a subscriber. Beside the sessions that all
// are in and all emit to there is one for each gateway's clients alone, which one broadcaster
// emits to (solo-…), one of those who now and then read nothing (wide), one of the subscriber that
// stands still (narrow), and those of a crowd that comes back all at once (q-…). Each process is
// watched; one that ends by itself comes back, and is reported. support/breaking.mjs does to them what
// the plan says.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { TRANSPORTS } from '../../e2e/support/client.mjs';
import { within } from '../../e2e/support/deadline.mjs';
import { binDir, newBus, Program, startGateway, testsDir } from '../../e2e/support/program.mjs';
import { Consumer } from './consumer.mjs';
import { Emitted } from './emitted.mjs';
import { GapAccounts } from './gaps.mjs';
import { judgeAll, Log, readAll, TapLog } from './log.mjs';
import { Processes } from './processes.mjs';
import { Proxy } from './proxy.mjs';
import { Random } from './random.mjs';

const HOST = path.join(path.dirname(new URL(import.meta.url).pathname), '../client_host.mjs');
const WORKERS = [1, 2];
// Of each gateway: clients come back too late for the one, and for too much to the other.
const RECOVERY = [['--recovery-window', '5000'], ['--recovery-bytes', '100000']];
const CLIENT_QUEUES = [[], ['--client-queue-bytes', '65536']];
const HISTORIES = [1000, 1000, 2, 1000, 1000]; // of each broadcaster; one forgets soon
const QUEUES = [0, 0, 0, 0, 8]; // events that the emit queue takes; 0: the default
const SOLOS = ['solo-0', '-', '-', 'solo-1', '-']; // the session that a broadcaster has for itself
export const WIDE = 'wide';
const QUIET_SESSIONS = 4;
export const NARROW = 'narrow'; // the session of the subscriber that stands still, which falls behind there
const SUBSCRIBERS = [0, 20]; // messages that wait for each; 0: the default
const ON_TCP = 3; // broadcasters from this one on are reached over tcp, through a proxy
const GATEWAY_ARGS = ['--ping-interval', '1000', '--ping-timeout', '2000', '--log-level', 'info'];

export const SIZE = { broadcasters: HISTORIES.length, gateways: WORKERS.length, sessions: 8, hosts: 7 };
const HOMELY_ONE_IN = 4; // official clients: one stays at its gateway
const FORKS = SIZE.hosts - 1; // the last host is the light clients' process

export class World {
  /** `options`: folder, seed, clients and light (their numbers), rate (events a second in all). */
  constructor(options, report) {
    Object.assign(this, options);
    this.report = report;
    this.processes = new Processes(report);
    this.accounts = new GapAccounts();
    this.random = new Random(options.seed ^ 0x5eed);
    this.emitted = new Emitted();
    this.logs = [];
    this.counts = { kills: 0, ends: 0, stops: 0, stalls: 0, cuts: 0, silences: 0, healed: 0, replayed: 0, shortLives: 0, floods: 0, flooded: 0 };
    this.shortLives = 0; // that there are now
    this.floods = 0; // … likewise
    this.metrics = {};
    this.isOver = false;
    this.returning = new Set(); // what is on its way back
  }

  // ---- Beginning

  async start() {
    this.bus = await newBus();
    this.busProxies = [];
    for (let i = ON_TCP; i < SIZE.broadcasters; i++) this.busProxies[i] = await Proxy.start();
    this.endpoints = [this.bus.endpoint, ...this.busProxies.filter(Boolean).map(({ port }) => `>tcp://127.0.0.1:${port}`)];
    this.broadcasters = HISTORIES.map((history, index) => ({ index, history, life: 0 }));
    this.gateways = WORKERS.map((workers, index) => ({ index, workers, life: 0 }));
    for (const gateway of this.gateways) gateway.proxy = await Proxy.start();
    this.idle = { index: 'idle', workers: 1, life: 0 }; // nobody comes to it
    await Promise.all([...this.broadcasters.map((each) => this.startBroadcaster(each)), ...[...this.gateways, this.idle].map((each) => this.startGateway(each))]);
    this.tap = { life: 0 };
    this.subscribers = SUBSCRIBERS.map((messages, index) => ({ index, messages, life: 0 }));
    await Promise.all([this.startTap(), ...this.subscribers.map((each) => this.startSubscriber(each))]);
    await this.startHosts();
  }

  path(name) {
    return path.join(this.folder, name);
  }

  async startBroadcaster(broadcaster) {
    const { index, history } = broadcaster;
    const life = ++broadcaster.life;
    const file = this.path(`broadcaster-${index}-${life}.emitted`);
    const endpoint = index < ON_TCP ? '-' : '@tcp://127.0.0.1:*';
    const program = new Program(
      path.join(testsDir, 'chaos_broadcaster'),
      [endpoint, file, this.seed * 1000 + index * 100 + life, this.rate / SIZE.broadcasters, history, QUEUES[index], SOLOS[index], SIZE.sessions].map(String),
      this.bus.env,
    );
    broadcaster.program = this.processes.watch(program, `broadcaster ${index}`, () => {
      Object.assign(broadcaster.origin ?? {}, { fate: 'killed', died: Date.now() });
      return this.revive(broadcaster, () => this.startBroadcaster(broadcaster));
    });
    const [, origin, at] = await program.line(/^ready (\S+) (\S+)$/);
    broadcaster.origin = this.emitted.addBroadcaster(origin, file);
    broadcaster.origin.isRemote = index >= ON_TCP;
    broadcaster.origin.wasCut = this.busProxies[index]?.isBroken ?? false;
    broadcaster.born = performance.now();
    if (this.busProxies[index]) this.busProxies[index].target = Number(at.match(/:(\d+)$/)[1]);
  }

  async startGateway(gateway) {
    gateway.life++;
    const { index } = gateway;
    const args = ['--workers', String(gateway.workers), ...GATEWAY_ARGS, ...(RECOVERY[index] ?? []), ...(CLIENT_QUEUES[index] ?? [])];
    for (const endpoint of this.endpoints) args.push('--bus', endpoint);
    gateway.program = await startGateway(this.bus, args);
    this.processes.watch(gateway.program, `gateway ${index}`, () => this.revive(gateway, () => this.startGateway(gateway)));
    if (!gateway.proxy) return;
    gateway.proxy.target = gateway.program.port;
    this.lightClients?.write(`gateway ${gateway.index} ${gateway.program.port}\n`);
  }

  async startTap() {
    const name = `tap-${++this.tap.life}`;
    const args = ['tap', '--format', 'json', ...this.endpoints.flatMap((endpoint) => ['--bus', endpoint])];
    const program = new Program(path.join(binDir, 'talus'), args, this.bus.env);
    this.tap.program = this.processes.watch(program, 'tap', () => {
      this.tap.log.isEnded = true;
      return this.revive(this.tap, () => this.startTap());
    });
    this.tap.log = new TapLog(program, this.newConsumer(name), this.path(`${name}.log`));
    this.logs.push(this.tap.log);
    await within(this.tap.log.isLive, 'live tap');
  }

  newConsumer(name, isClient = false) {
    return new Consumer(name, this.emitted, this.report, { isClient, accounts: this.accounts });
  }

  async startSubscriber(subscriber) {
    const name = `subscriber-${subscriber.index}-${++subscriber.life}`;
    const sessions = ['-', subscriber.messages ? NARROW : WIDE, ...SOLOS.filter((name) => name !== '-'), ...Array.from({ length: SIZE.sessions }, (_, i) => `s-${i}`)];
    const file = this.path(`${name}.log`);
    const program = new Program(path.join(testsDir, 'chaos_subscriber'), [this.endpoints.join(','), file, subscriber.messages, ...sessions].map(String), this.bus.env);
    subscriber.program = this.processes.watch(program, `subscriber ${subscriber.index}`, () => {
      subscriber.log.isEnded = true;
      return this.revive(subscriber, () => this.startSubscriber(subscriber));
    });
    subscriber.log = new Log(file, this.newConsumer(name));
    this.logs.push(subscriber.log);
    await program.line(/^ready/);
  }

  async startHosts() {
    const settings = Object.keys(TRANSPORTS);
    this.hosts = Array.from({ length: FORKS }, (_, index) => ({ index, clients: [] }));
    this.members = Array.from({ length: this.clients }, (_, i) => {
      const host = this.hosts[i % FORKS];
      const gateways = [...this.gateways];
      const [gateway] = this.random.next() < 0.5 ? gateways : gateways.reverse();
      const isHomely = i % HOMELY_ONE_IN === 0;
      const transport = settings[host.index % settings.length];
      const name = `client-${i}-${transport.split(' ')[0]}-gateway-${gateway.index}`;
      const sessions = [`s-${this.random.integer(0, SIZE.sessions - 1)}`, `s-${this.random.integer(0, SIZE.sessions - 1)}`];
      if (isHomely) sessions[0] = `solo-${gateway.index}`;
      const urls = (isHomely ? [gateway] : gateways).map(({ proxy }) => `http://127.0.0.1:${proxy.port}`);
      host.clients.push({ name, urls, transport, sessions, seed: this.random.integer(1, 2 ** 31) });
      this.followClient(name);
      return { name, host };
    });
    for (const host of this.hosts) this.startHost(host);
    if (this.light > 0) this.startLightClients();
    if (this.crowd > 0) await this.startCrowd();
  }

  startHost(host) {
    host.child = fork(HOST, [JSON.stringify({ folder: this.folder, clients: host.clients })]);
    const exit = once(host.child, 'exit').then(([code, signal]) => ({ code, signal }));
    host.watched = this.processes.watch({ name: 'clients', child: host.child, exit }, `clients ${host.index}`, () => {
      throw new Error('official clients have ended'); // what they knew is lost
    });
  }

  startLightClients() {
    const ports = this.gateways.map(({ proxy }) => proxy.port);
    const program = this.newLightClients([this.folder, this.light, SIZE.sessions, 'mixed', ...ports]);
    for (let i = 0; i < this.light; i++) this.followClient(`light-${i}`);
    this.hosts[FORKS] = { index: FORKS, program, child: program.child };
    this.lightClients = program;
    for (const { index, program: { port } } of this.gateways) program.write(`gateway ${index} ${port}\n`);
  }

  newLightClients(args) {
    const program = new Program(path.join(testsDir, 'chaos_light_clients'), args.map(String));
    return this.processes.watch(program, 'clients light', () => {
      throw new Error('light clients have ended');
    });
  }

  /** Many at one gateway, in sessions where little happens: they come back all at once. */
  async startCrowd() {
    await mkdir(this.path('crowd'));
    const program = this.newLightClients([this.path('crowd'), this.crowd, QUIET_SESSIONS, 'crowd', this.gateways[0].proxy.port]);
    for (let i = 0; i < this.crowd; i++) this.followClient(`crowd-${i}`, path.join('crowd', `light-${i}.log`));
    this.hosts.push({ index: FORKS + 1, program, child: program.child });
  }

  followClient(name, file = `${name}.log`) {
    this.logs.push(new Log(this.path(file), this.newConsumer(name, true)));
  }

  // ---- Coming back

  returns(promise) {
    this.returning.add(promise);
    promise.finally(() => this.returning.delete(promise)).catch((error) => (this.failure ??= error));
  }

  /** Brings back what ended by itself, which has been reported. */
  async revive(thing, start) {
    if (thing.isAway || this.isOver) return;
    thing.isAway = true;
    if (thing.proxy) thing.proxy.target = 0;
    const back = start().finally(() => (thing.isAway = false));
    this.returns(back);
    await back;
  }

  // ---- Settling and ending

  /** Waits until all that was broken is back, and nothing is emitted any more. */
  async settle() {
    for (const { program } of this.hosts) program?.write('settle\n');
    while (this.returning.size > 0) await within(Promise.all(this.returning), 'return of what was broken', 120_000);
    if (this.failure) throw this.failure;
    for (const { program } of this.broadcasters) {
      program.write('pause\n');
      const [, , replayed] = await program.line(/^paused (\d+) (\d+)$/);
      this.counts.replayed += Number(replayed);
    }
  }

  /** Reads what has come in all logs and judges it. */
  async check() {
    await Promise.all(this.hosts.map((host) => this.flush(host)));
    const logs = [...this.logs];
    await this.inSlices(readAll(logs));
    await this.inSlices(judgeAll(logs, this.emitted));
  }

  /** What is still owed to the consumers: problems, none if they have all. */
  async owed() {
    const owed = [];
    for (const log of [...this.logs]) {
      for (const problem of log.owed()) owed.push({ consumer: log.consumer.name, ...problem });
      await new Promise(setImmediate);
    }
    return owed;
  }

  /** The proxies of this process go on between two slices. */
  async inSlices(slices) {
    for (const _ of slices) await new Promise(setImmediate);
  }

  async flush({ child, program }) {
    if (program) {
      const from = program.lines.length;
      program.write('flush\n');
      return program.line(/^flushed/, from);
    }
    const token = Math.random();
    const isDone = new Promise((resolve) => {
      const on = (message) => message.token === token && (child.off('message', on), resolve());
      child.on('message', on);
    });
    child.send({ what: 'flush', token });
    await within(isDone, 'flush of the logs', 60_000);
  }

  /** A problem for the gateways if they count other clients than there are, such as some that have gone. */
  async *ghosts() {
    const expected = this.clients + this.light + this.crowd;
    let count = 0;
    for (const gateway of this.gateways) count += Number((await this.readMetrics(gateway)).match(/^talus_sockets (\d+)$/m)?.[1]);
    if (count !== expected) yield { consumer: 'the gateways', session: '', origin: '', what: 'count clients that are not there', expected, came: count };
  }

  /** Adds a gateway's counters to the sums. */
  async sample(gateway) {
    const text = await this.readMetrics(gateway);
    for (const [, name, value] of text.matchAll(/^(talus_\w+_total)\S* (\d+)$/gm)) this.metrics[name] = (this.metrics[name] ?? 0) + Number(value);
  }

  /** Their text; '' of one that has ended. */
  async readMetrics({ program }) {
    const fetched = (async () => (await fetch(`${program.url}/metrics`)).text())();
    return within(fetched, 'metrics', 10_000).catch((error) => {
      if (program.child.exitCode !== null || program.child.signalCode !== null) return ''; // that is a problem of its own
      throw error;
    });
  }

  /** Ends everything, also what is left of a run that failed; gives the errors of that. */
  async stop() {
    const errors = [];
    const end = (promise) => promise.catch((error) => errors.push(error));
    const endProgram = (program, ending) => {
      program?.child.kill('SIGCONT');
      return program && end(this.processes.end(program, ending));
    };
    this.isOver = true;
    for (const { watched, program } of this.hosts ?? []) await endProgram(watched ?? program, 'SIGKILL');
    for (const { program } of [...(this.gateways ?? []), this.idle ?? {}]) await endProgram(program, 'SIGTERM');
    for (const subscriber of this.subscribers ?? []) await end(this.endSubscriber(subscriber));
    await endProgram(this.tap?.program, 'SIGTERM');
    for (const { program } of this.broadcasters ?? []) await endProgram(program, 'SIGKILL');
    for (const proxy of [...(this.busProxies ?? []), ...(this.gateways ?? []).map((each) => each.proxy)]) {
      if (!proxy) continue;
      this.counts.cuts += proxy.cuts;
      this.counts.silences += proxy.silences;
      await end(proxy.stop());
    }
    if (this.bus) await end(this.bus.remove());
    return errors;
  }

  async endSubscriber({ program }) {
    if (!program) return;
    program.child.kill('SIGCONT');
    await this.processes.end(program, 'end');
    const [, healed] = await program.line(/^healed (\d+)/);
    this.counts.healed += Number(healed);
  }
}
