// SPDX-License-Identifier: MIT
// A gateway whose accounts are looked at, and clients by hand that fail to read as it is needed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { within } from './deadline.mjs';
import { Polling } from './echo.mjs';
import { emitted, newBus, Program, startGateway, startService, binDir } from './program.mjs';
import { HANDSHAKE, text, Wire } from './wire.mjs';

const DEADLINE_MS = Number(process.env.TALUS_TEST_DEADLINE_MS ?? 60_000);
const LOOK_EVERY_MS = 20; // a busy machine is not to be kept busy by looking

/** What an event of a session is to a client's log; the rest are answers. */
export const isCopy = ([type]) => !['joined', 'left', 'pong', 'error'].includes(type);

export class Account {
  /** A bus with a gateway and a service on it. `socket`: the gateway listens on a Unix socket. */
  static async open(args = [], { socket = false } = {}) {
    const account = new Account();
    account.bus = await newBus();
    if (socket) {
      account.socket = `${account.bus.path}.sock`;
      account.gateway = new Program(`${binDir}/talus-gateway`, ['--listen', `unix:${account.socket}`, ...args], account.bus.env);
      await account.gateway.line(/^talus-gateway listening on /);
    } else {
      account.gateway = await startGateway(account.bus, args);
      account.gateway.path = '/socket.io/';
    }
    account.service = startService(account.bus);
    await account.service.line(/^ready/);
    return account;
  }

  async close() {
    await this.service?.stop();
    await this.gateway?.stop();
    await this.bus?.remove();
    assert.doesNotMatch(this.gateway?.errors ?? '', /more than it was owed/);
  }

  async metrics() {
    const { port } = this.gateway;
    const where = this.socket ? { socketPath: this.socket } : { host: '127.0.0.1', port };
    const request = http.get({ ...where, path: '/metrics', agent: false });
    const [response] = await within(once(request, 'response'), 'metrics');
    return (await response.toArray()).join('');
  }

  async metric(name) {
    return Number((await this.metrics()).match(new RegExp(`^${name} (\\d+)`, 'm'))[1]);
  }

  /** Looks until what `look` gives is accepted. */
  async until(look, accept, what) {
    const end = Date.now() + DEADLINE_MS;
    for (;;) {
      const value = await look();
      if (accept(value)) return value;
      assert.ok(Date.now() < end, `${what}: ${JSON.stringify(value)}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  metricIs(name, accept) {
    return this.until(() => this.metric(name), accept, name);
  }

  /** `{published, delivered, recovered, resent, dropped: {REASON: n}}`; reasons of 0 are left out. */
  async deliveries() {
    const all = { dropped: {} };
    for (const [, name, reason, value] of (await this.metrics()).matchAll(
      /^talus_deliveries_(\w+)_total(?:\{reason="(\w+)"\})? (\d+)$/gm,
    )) {
      if (!reason) all[name] = Number(value);
      else if (value !== '0') all.dropped[reason] = Number(value);
    }
    return all;
  }

  /** The accounts once they are even. */
  balanced() {
    return this.until(() => this.deliveries(), (all) => all.published === accounted(all), 'accounts are not even');
  }

  /** The same once so much is published. */
  balancedAt(published) {
    return this.until(
      () => this.deliveries(),
      (all) => all.published === published && all.published === accounted(all),
      `accounts are not even at ${published}`,
    );
  }

  /** Emits one event, and waits until the gateway has it; gives its id. */
  async emit(session, type, n) {
    const events = await this.metric('talus_bus_events_total');
    const id = await emitted(this.service, `emit ${session} ${type} ${n}`);
    await this.metricIs('talus_bus_events_total', (value) => value > events);
    return id;
  }

  /** Emits `count` events "tick" at once, and waits until the gateway has them. */
  async flood(session, count) {
    const from = this.service.lines.length;
    const events = await this.metric('talus_bus_events_total');
    this.service.write(`flood ${session} ${count} 0\n`);
    await this.service.line(/^flooded/, from);
    await this.metricIs('talus_bus_events_total', (value) => value >= events + count);
  }

  /** Does what has a client cut off, and waits until it may come back. */
  async departing(cut) {
    const before = await this.metric('talus_departed_clients');
    await cut();
    await this.metricIs('talus_departed_clients', (value) => value > before);
  }
}

export const droppedIn = (all) => Object.values(all.dropped).reduce((sum, n) => sum + n, 0);

export const accounted = (all) => all.delivered + all.recovered + droppedIn(all);

/** The events in Socket.IO packets of the namespace /graph: `[[type, data, id], …]`. */
export const eventsIn = (packets) =>
  packets.filter((packet) => packet.startsWith('42/graph,')).map((packet) => JSON.parse(packet.slice(packet.indexOf('['))));

/** A client that polls when it is told, in a session; `pid` is its secret. */
export async function poller(account, session, auth) {
  const polling = await Polling.open(account.gateway);
  await polling.post(`40/graph,${auth ? JSON.stringify(auth) : ''}`);
  polling.events = [];
  polling.take = async () => {
    const packets = await polling.packets();
    polling.events.push(...eventsIn(packets).filter(isCopy));
    return packets;
  };
  const until = async (start) => {
    for (;;) {
      const packet = (await polling.take()).find((each) => each.startsWith(start));
      if (packet) return packet;
    }
  };
  const connect = await until('40/graph,');
  Object.assign(polling, JSON.parse(connect.slice(connect.indexOf('{'))), { engine: polling.sid });
  polling.cut = () => account.departing(() => polling.post('1'));
  if (!session) return polling;
  await polling.post(`42/graph,["join_session",{"session_id":"${session}"}]`);
  await until('42/graph,["joined"');
  return polling;
}

/** A WebSocket client by hand: it reads frames when it is told. */
export class Reader {
  static async open(account, auth) {
    const reader = new Reader();
    reader.account = account;
    reader.wire = new Wire(net.connect(account.socket ?? { host: '127.0.0.1', port: account.gateway.port }));
    await within(once(reader.wire.socket, 'connect'), 'connection');
    reader.events = [];
    reader.wire.request('GET', '/socket.io/?EIO=4&transport=websocket', { headers: HANDSHAKE });
    assert.equal((await reader.wire.response()).status, 101);
    await reader.wire.text();
    reader.wire.write(text(`40/graph,${auth ? JSON.stringify(auth) : ''}`));
    const connect = await reader.until((packet) => packet.startsWith('40/graph,'));
    Object.assign(reader, JSON.parse(connect.slice(connect.indexOf('{'))));
    return reader;
  }

  async join(session, since) {
    this.wire.write(text(`42/graph,["join_session",${JSON.stringify({ session_id: session, since })}]`));
    return this.until((packet) => packet.startsWith('42/graph,["joined"'));
  }

  /** Takes packets up to one that is accepted, which it gives. */
  async until(accept) {
    for (;;) {
      const packet = await this.wire.text();
      this.events.push(...eventsIn([packet]).filter(isCopy));
      if (accept(packet)) return packet;
    }
  }

  /** Reads until it has so many events. */
  async read(count) {
    while (this.events.length < count) await this.until(() => true);
  }

  /** Takes nothing more off the connection. */
  stop() {
    this.wire.socket.pause();
  }

  cut() {
    return this.account.departing(() => this.wire.close());
  }
}
