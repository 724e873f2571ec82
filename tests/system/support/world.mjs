// SPDX-License-Identifier: MIT
// Everything that runs in a chaos run: a bus, broadcasters on it and beside it over tcp, gateways
// behind proxies, clients in several processes, a tap, a subscriber. Beside the sessions that all
// are in and all emit to there is one for each gateway's clients alone, which one broadcaster
// emits to (solo-…), and one of those who now and then read nothing (wide). It starts them, and does to
// them what the plan says. Each process is known by its own id; what ends comes back by itself.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { TRANSPORTS } from '../../e2e/support/client.mjs';
import { within } from '../../e2e/support/deadline.mjs';
import { binDir, newBus, Program, startGateway, testsDir } from '../../e2e/support/program.mjs';
import { Consumer } from './consumer.mjs';
import { Emitted } from './emitted.mjs';
import { Log, TapLog } from './log.mjs';
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
const WIDE = 'wide';
const BURST = `burst 200 16000 ${WIDE}\n`;
const ON_TCP = 3; // broadcasters from this one on are reached over tcp, through a proxy
const GATEWAY_ARGS = ['--ping-interval', '1000', '--ping-timeout', '2000', '--log-level', 'info'];

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const SIZE = { broadcasters: HISTORIES.length, gateways: WORKERS.length, sessions: 8, hosts: 7 };
const HOMELY_ONE_IN = 4; // official clients: one stays at its gateway
const FORKS = SIZE.hosts - 1; // the last host is the light clients' process

export class World {
  /** `options`: folder, seed, clients and light (their numbers), rate (events a second in all). */
  constructor(options, report) {
    Object.assign(this, options);
    this.report = report;
    this.random = new Random(options.seed ^ 0x5eed);
    this.emitted = new Emitted();
    this.logs = [];
    this.counts = { kills: 0, ends: 0, stops: 0, stalls: 0, cuts: 0, healed: 0, replayed: 0, restarts: 0 };
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
    await Promise.all([...this.broadcasters.map((each) => this.startBroadcaster(each)), ...this.gateways.map((each) => this.startGateway(each))]);
    this.tap = { life: 0 };
    this.subscriber = { life: 0 };
    await Promise.all([this.startTap(), this.startSubscriber()]);
    this.startHosts();
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
    broadcaster.program = program;
    const [, origin, at] = await program.line(/^ready (\S+) (\S+)$/);
    broadcaster.origin = this.emitted.addBroadcaster(origin, file);
    broadcaster.origin.isRemote = index >= ON_TCP;
    broadcaster.born = performance.now();
    if (this.busProxies[index]) this.busProxies[index].target = Number(at.match(/:(\d+)$/)[1]);
  }

  async startGateway(gateway) {
    gateway.life++;
    const args = ['--workers', String(gateway.workers), ...GATEWAY_ARGS, ...RECOVERY[gateway.index], ...CLIENT_QUEUES[gateway.index]];
    for (const endpoint of this.endpoints) args.push('--bus', endpoint);
    gateway.program = await startGateway(this.bus, args);
    gateway.proxy.target = gateway.program.port;
    this.lightClients?.write(`gateway ${gateway.index} ${gateway.program.port}\n`);
  }

  async startTap() {
    const name = `tap-${++this.tap.life}`;
    const args = ['tap', '--format', 'json', ...this.endpoints.flatMap((endpoint) => ['--bus', endpoint])];
    const program = new Program(path.join(binDir, 'talus'), args, this.bus.env);
    this.tap.program = program;
    this.tap.log = new TapLog(program, new Consumer(name, this.emitted, this.report), this.path(`${name}.log`));
    this.logs.push(this.tap.log);
    await within(this.tap.log.isLive, 'live tap');
  }

  async startSubscriber() {
    const name = `subscriber-${++this.subscriber.life}`;
    const sessions = ['-', WIDE, ...SOLOS.filter((name) => name !== '-'), ...Array.from({ length: SIZE.sessions }, (_, i) => `s-${i}`)];
    const file = this.path(`${name}.log`);
    const program = new Program(path.join(testsDir, 'chaos_subscriber'), [this.endpoints.join(','), file, ...sessions], this.bus.env);
    this.subscriber.program = program;
    this.subscriber.log = new Log(file, new Consumer(name, this.emitted, this.report));
    this.logs.push(this.subscriber.log);
    await program.line(/^ready/);
  }

  startHosts() {
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
    for (const host of this.hosts) host.child = fork(HOST, [JSON.stringify({ folder: this.folder, clients: host.clients })]);
    if (this.light > 0) this.startLightClients();
  }

  startLightClients() {
    const ports = this.gateways.map(({ proxy }) => proxy.port);
    const program = new Program(path.join(testsDir, 'chaos_light_clients'), [this.folder, this.light, SIZE.sessions, ...ports].map(String));
    for (let i = 0; i < this.light; i++) this.followClient(`light-${i}`);
    this.hosts[FORKS] = { index: FORKS, program, child: program.child };
    this.lightClients = program;
    for (const { index, program: { port } } of this.gateways) program.write(`gateway ${index} ${port}\n`);
  }

  followClient(name) {
    this.logs.push(new Log(this.path(`${name}.log`), new Consumer(name, this.emitted, this.report, { isClient: true })));
  }

  // ---- Breaking

  /** Does one step of the plan; what takes time goes on by itself. */
  apply(step) {
    const done = this[STEPS[step.what]](step);
    if (done) this.returns(done);
  }

  returns(promise) {
    this.returning.add(promise);
    promise.finally(() => this.returning.delete(promise)).catch((error) => (this.failure ??= error));
  }

  async endBroadcaster({ what, which, away }) {
    const broadcaster = this.broadcasters[which];
    if (broadcaster.isAway) return;
    broadcaster.isAway = true;
    const isKilled = what === 'kill broadcaster';
    this.counts[isKilled ? 'kills' : 'ends']++;
    broadcaster.origin.fate = isKilled ? 'killed' : 'ended';
    broadcaster.origin.life = performance.now() - broadcaster.born;
    broadcaster.origin.died = Date.now();
    if (!isKilled) broadcaster.program.child.stdin.end();
    await (isKilled ? broadcaster.program.stop('SIGKILL') : within(broadcaster.program.exit, 'end of a broadcaster'));
    await wait(away);
    await this.startBroadcaster(broadcaster);
    broadcaster.isAway = false;
  }

  async endGateway({ what, which, away }) {
    const gateway = this.gateways[which];
    if (gateway.isAway || gateway.isStopped) return;
    gateway.isAway = true;
    await this.sample(gateway);
    const isKilled = what === 'kill gateway';
    this.counts[isKilled ? 'kills' : 'ends']++;
    gateway.proxy.target = 0;
    const { code } = await gateway.program.stop(isKilled ? 'SIGKILL' : 'SIGTERM');
    if (!isKilled && code !== 0) throw new Error(`a gateway ended with ${code}:\n${gateway.program.errors}`);
    await wait(away);
    await this.startGateway(gateway);
    gateway.isAway = false;
  }

  async stopGateway({ which, away }) {
    const gateway = this.gateways[which];
    if (gateway.isAway || gateway.isStopped) return;
    gateway.isStopped = true;
    await this.freeze(gateway.program.child, away);
    gateway.isStopped = false;
  }

  async stopClients({ which, away }) {
    const host = this.hosts[which];
    if (!host || host.isStopped) return;
    host.isStopped = true;
    await this.freeze(host.child, away);
    host.isStopped = false;
  }

  async freeze(child, away) {
    this.counts.stops++;
    child.kill('SIGSTOP');
    await wait(away);
    child.kill('SIGCONT');
  }

  /** Some read nothing while more comes than anybody keeps for them. */
  stallClients({ which, away }) {
    const { isAway, program } = this.broadcasters[which];
    if (isAway || !this.lightClients) return;
    this.counts.stalls++;
    this.lightClients.write(`stall ${away}\n`);
    program.write(BURST);
  }

  cutClients({ which, share }) {
    this.gateways[which].proxy.cut(share);
  }

  async delayClients({ which, away, delay }) {
    const { proxy } = this.gateways[which];
    proxy.delay = delay;
    await wait(away);
    proxy.delay = 0;
  }

  async shutOutClients({ which, away }) {
    const { proxy } = this.gateways[which];
    if (proxy.isShut) return;
    proxy.isShut = true;
    proxy.cut();
    await wait(away);
    proxy.isShut = false;
  }

  async cutBus({ away }) {
    const proxy = this.random.pick(this.busProxies.filter(Boolean));
    if (proxy.isShut) return;
    proxy.isShut = true;
    proxy.cut();
    await wait(away);
    proxy.isShut = false;
  }

  async killTap({ away }) {
    if (this.tap.isAway) return;
    this.tap.isAway = true;
    await this.killConsumer(this.tap, away);
    await this.startTap();
    this.tap.isAway = false;
  }

  async killSubscriber({ away }) {
    if (this.subscriber.isAway) return;
    this.subscriber.isAway = true;
    await this.killConsumer(this.subscriber, away);
    await this.startSubscriber();
    this.subscriber.isAway = false;
  }

  async killConsumer(consumer, away) {
    this.counts.kills++;
    consumer.log.isEnded = true; // what was under way to it is not owed
    await consumer.program.stop('SIGKILL');
    await wait(away);
  }

  tellClient({ what, client, session }) {
    const { name, host } = this.members[client];
    host.child.send({ what, client: name, session: `s-${session}` });
  }

  // ---- Settling and ending

  /** Waits until all that was broken is back, and nothing is emitted any more. */
  async settle() {
    this.lightClients?.write('settle\n');
    while (this.returning.size > 0) await within(Promise.all(this.returning), 'return of what was broken', 60_000);
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
    this.emitted.read();
    for (const log of this.logs) log.read();
    for (const log of this.logs) log.hear(this.emitted);
    for (const log of this.logs) log.judge();
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

  /** Adds a gateway's counters to the sums. */
  async sample(gateway) {
    const text = await within((async () => (await fetch(`${gateway.program.url}/metrics`)).text())(), 'metrics', 10_000);
    for (const [, name, value] of text.matchAll(/^(talus_\w+_total)\S* (\d+)$/gm)) this.metrics[name] = (this.metrics[name] ?? 0) + Number(value);
  }

  /** Ends everything, also what is left of a run that failed; gives the errors of that. */
  async stop() {
    const errors = [];
    const end = (promise) => promise.catch((error) => errors.push(error));
    for (const host of this.hosts ?? []) await end(this.endHost(host));
    for (const { program } of this.gateways ?? []) {
      program?.child.kill('SIGCONT');
      if (program) await end(program.stop());
    }
    await end(this.endSubscriber());
    if (this.tap?.program) await end(this.tap.program.stop());
    for (const { program } of this.broadcasters ?? []) if (program) await end(program.stop('SIGKILL'));
    for (const proxy of [...(this.busProxies ?? []), ...(this.gateways ?? []).map((each) => each.proxy)]) {
      if (!proxy) continue;
      this.counts.cuts += proxy.cuts;
      await end(proxy.stop());
    }
    if (this.bus) await end(this.bus.remove());
    return errors;
  }

  async endHost({ child }) {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await within(once(child, 'exit'), 'end of clients');
  }

  async endSubscriber() {
    const program = this.subscriber?.program;
    if (!program) return;
    program.child.stdin.end();
    this.counts.healed += Number((await program.line(/^healed (\d+)/))[1]);
    await program.stop();
  }
}

const STEPS = {
  'kill broadcaster': 'endBroadcaster',
  'end broadcaster': 'endBroadcaster',
  'kill gateway': 'endGateway',
  'end gateway': 'endGateway',
  'stop gateway': 'stopGateway',
  'stop clients': 'stopClients',
  'stall clients': 'stallClients',
  'cut clients': 'cutClients',
  'delay clients': 'delayClients',
  'shut out clients': 'shutOutClients',
  'cut bus': 'cutBus',
  'kill tap': 'killTap',
  'kill subscriber': 'killSubscriber',
  move: 'tellClient',
  'say goodbye': 'tellClient',
};
