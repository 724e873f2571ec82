// SPDX-License-Identifier: MIT
// Does to a world what the plan says. What takes time goes on by itself; a step that finds its victim
// already broken does nothing.

import path from 'node:path';
import { within } from '../../e2e/support/deadline.mjs';
import { Program, testsDir } from '../../e2e/support/program.mjs';
import { Flood } from './flood.mjs';
import { NARROW, SIZE, WIDE, World } from './world.mjs';

const BURST = `burst 200 16000 ${WIDE}\n`;
const NARROW_BURST = `burst 300 10 ${NARROW}\n`;
const STAND_MS = 300; // a burst has come until then
const FLOODS_MAX = 1; // at once: each is some 100,000 events
const SHORT_LIVES_MAX = 16; // at once

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class BreakableWorld extends World {
  /** Does one step of the plan; what takes time goes on by itself. */
  apply(step) {
    const done = this[STEPS[step.what]](step);
    if (done) this.returns(done);
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
    await this.processes.end(broadcaster.program, isKilled ? 'SIGKILL' : 'end');
    await wait(away);
    await this.startBroadcaster(broadcaster);
    broadcaster.isAway = false;
  }

  async endGateway({ what, which, away }) {
    const gateway = this.gateways[which] ?? this.idle;
    if (gateway.isAway || gateway.isStopped) return;
    gateway.isAway = true;
    await this.sample(gateway);
    const isKilled = what !== 'end gateway';
    this.counts[isKilled ? 'kills' : 'ends']++;
    if (gateway.proxy) gateway.proxy.target = 0;
    await this.processes.end(gateway.program, isKilled ? 'SIGKILL' : 'SIGTERM');
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

  /** The subscriber with the low high-water mark stands while a broadcaster sends more, and is killed or cut. */
  async standSubscriber({ which, how, away }) {
    const subscriber = this.subscribers.find(({ messages }) => messages > 0);
    const broadcaster = this.broadcasters[which];
    if (subscriber.isAway || subscriber.isStanding || broadcaster.isAway) return;
    subscriber.isStanding = true;
    this.counts.stalls++;
    const end = wait(away);
    if (how === 'stand') subscriber.program.write(`stand ${away}\n`);
    else this.returns(this.freeze(subscriber.program.child, away));
    broadcaster.program.write(NARROW_BURST);
    await wait(STAND_MS);
    const proxy = this.busProxies[which];
    if (proxy) proxy.cut();
    else await this.endBroadcaster({ what: 'kill broadcaster', which, away: 200 });
    await end;
    subscriber.isStanding = false;
  }

  /** Broadcasters whose life is a few events. */
  async liveShortly({ count, events, end }) {
    const lives = Array.from({ length: Math.min(count, SHORT_LIVES_MAX - this.shortLives) }, () => this.liveOnce(events, end));
    await Promise.all(lives);
  }

  async liveOnce(events, end) {
    const number = ++this.counts.shortLives;
    this.shortLives++;
    const file = this.path(`short-${number}.emitted`);
    const args = ['-', file, this.seed * 1000 + number, 1, 1000, 0, '-', SIZE.sessions, events, end].map(String);
    const program = new Program(path.join(testsDir, 'chaos_broadcaster'), args, this.bus.env);
    program.ending = end === 'kill' ? 'SIGKILL' : 'end';
    this.processes.watch(program, `broadcaster short ${number}`);
    try {
      const [, name] = await program.line(/^ready (\S+) /);
      const origin = this.emitted.addBroadcaster(name, file);
      origin.isShort = true;
      await within(program.judged, 'end of a short life');
      Object.assign(origin, { fate: end === 'kill' ? 'killed' : 'ended', died: Date.now() });
    } finally {
      this.shortLives--;
    }
  }

  async flood(step) {
    if (this.floods >= FLOODS_MAX) return;
    this.floods++;
    this.counts.floods++;
    this.counts.flooded += await new Flood(this, step, this.counts.floods).run();
    this.floods--;
  }

  /** Of some clients the network vanishes: their gateway does not hear that they have gone. */
  async loseClients({ which, share, near, away }) {
    const goOn = this.gateways[which].proxy.silence(share, near);
    await wait(away);
    goOn('cut');
  }

  async silenceBus({ away, how }) {
    const proxy = this.random.pick(this.busProxies.filter(Boolean));
    const goOn = proxy.silence();
    this.noteBreak(proxy);
    await wait(away);
    goOn(how);
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

  /** Notes that the broadcaster behind a proxy cannot be reached; startBroadcaster does for one that comes while it lasts. */
  noteBreak(proxy) {
    const { origin } = this.broadcasters[this.busProxies.indexOf(proxy)];
    if (origin.fate === 'alive' && proxy.isBroken) origin.wasCut = true;
  }

  async cutBus({ away }) {
    const proxy = this.random.pick(this.busProxies.filter(Boolean));
    if (proxy.isShut) return;
    proxy.isShut = true;
    this.noteBreak(proxy);
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

  async killSubscriber({ which, away }) {
    const subscriber = this.subscribers[which];
    if (subscriber.isAway || subscriber.isStanding) return;
    subscriber.isAway = true;
    await this.killConsumer(subscriber, away);
    await this.startSubscriber(subscriber);
    subscriber.isAway = false;
  }

  async killConsumer(consumer, away) {
    this.counts.kills++;
    consumer.log.isEnded = true; // what was under way to it is not owed
    await this.processes.end(consumer.program, 'SIGKILL');
    await wait(away);
  }

  tellClient({ what, client, session }) {
    const { name, host } = this.members[client];
    host.child.send({ what, client: name, session: `s-${session}` });
  }
}

const STEPS = {
  'kill broadcaster': 'endBroadcaster',
  'end broadcaster': 'endBroadcaster',
  'short broadcasters': 'liveShortly',
  'kill gateway': 'endGateway',
  'end gateway': 'endGateway',
  'kill idle gateway': 'endGateway',
  'return at once': 'endGateway',
  'stop gateway': 'stopGateway',
  'stop clients': 'stopClients',
  'stall clients': 'stallClients',
  'cut clients': 'cutClients',
  'lose clients': 'loseClients',
  'delay clients': 'delayClients',
  'shut out clients': 'shutOutClients',
  'cut bus': 'cutBus',
  'silence bus': 'silenceBus',
  'stand subscriber': 'standSubscriber',
  flood: 'flood',
  'kill tap': 'killTap',
  'kill subscriber': 'killSubscriber',
  move: 'tellClient',
  'say goodbye': 'tellClient',
};
