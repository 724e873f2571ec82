// SPDX-License-Identifier: MIT
// The echo server, and sessions with it that speak the protocols by hand.

import assert from 'node:assert/strict';
import path from 'node:path';
import { WebSocket } from 'ws';
import { within } from './deadline.mjs';
import { binDir, Program } from './program.mjs';
import { HANDSHAKE, Wire } from './wire.mjs';

export const RS = '\x1e';
export const UNKNOWN_SID = { code: 1, message: 'Session ID unknown' };
export const BAD_REQUEST = { code: 3, message: 'Bad request' };

/** An echo server on a free port: a Program with `url`, `port` and the endpoint's `path`. */
async function startEcho(folder, args) {
  const program = new Program(path.join(binDir, 'talus-echo-server'), ['--listen', '127.0.0.1:0', ...args]);
  const [, url] = await program.line(/^talus-echo-server listening on (http:\/\/\S+)$/);
  program.url = url;
  program.port = Number(new URL(url).port);
  program.path = `/${folder}/`;
  return program;
}

/** Answers each Engine.IO message with itself. */
export const startEngine = (...args) => startEcho('engine.io', ['--engine-only', ...args]);
/** Serves the namespaces / and /custom. */
export const startSocketServer = (...args) => startEcho('socket.io', args);

export const target = (server, transport, sid) =>
  `${server.path}?EIO=4&transport=${transport}${sid === undefined ? '' : `&sid=${sid}`}`;

/** A session over polling. Each request has a connection of its own, unless fetch reuses one. */
export class Polling {
  static async open(server) {
    const response = await fetch(server.url + target(server, 'polling'));
    assert.equal(response.status, 200);
    const packet = await response.text();
    assert.equal(packet[0], '0');
    return new Polling(server, JSON.parse(packet.slice(1)).sid);
  }

  constructor(server, sid) {
    this.server = server;
    this.sid = sid;
    this.target = target(server, 'polling', sid);
    this.url = server.url + this.target;
  }

  /** Polls; gives `{status, text}`. */
  async poll(init) {
    const response = await within(fetch(this.url, init), 'answer to a poll');
    return { status: response.status, text: await response.text() };
  }

  /** Polls, and gives the packets. */
  async packets() {
    const { status, text } = await this.poll();
    assert.equal(status, 200, text);
    return text.split(RS);
  }

  /** Polls until there are as many packets. */
  async fetchPackets(count) {
    const packets = [];
    while (packets.length < count) packets.push(...(await this.packets()));
    assert.equal(packets.length, count);
    return packets;
  }

  /** Posts, whatever comes of it; gives `{status, text}`. */
  async send(body, headers = {}) {
    const response = await within(fetch(this.url, { method: 'POST', body, headers }), 'answer to a post');
    return { status: response.status, text: await response.text() };
  }

  /** Posts packets, which must be welcome. */
  async post(...packets) {
    assert.deepEqual(await this.send(packets.join(RS)), { status: 200, text: 'ok' });
  }

  /** A poll on a connection of its own that the server holds by the time this returns. */
  async hold() {
    const wire = await Wire.connect(this.server.port);
    const other = await Wire.connect(this.server.port);
    for (const each of [wire, other]) {
      each.request('GET', '/nothing'); // both are accepted now, and what comes first is read first
      await each.response();
    }
    wire.request('GET', this.target);
    other.request('GET', '/nothing');
    await other.response();
    other.close();
    return wire;
  }

  async expectGone() {
    const { status, text } = await this.poll();
    assert.equal(status, 400, text);
    assert.deepEqual(JSON.parse(text), UNKNOWN_SID);
  }

  async expectAlive() {
    await this.post('4alive?');
    assert.deepEqual(await this.packets(), ['4alive?']);
  }
}

/** A WebSocket by the `ws` package. Text comes as strings, binary as Buffers. */
export class Socket {
  static async open(server, sid, query = '') {
    const socket = new Socket(`ws://127.0.0.1:${server.port}${target(server, 'websocket', sid)}${query}`);
    await within(
      new Promise((resolve, reject) => {
        socket.ws.once('open', resolve);
        socket.ws.once('error', reject);
      }),
      'opened WebSocket',
    );
    return socket;
  }

  /** One whose open packet has come. */
  static async session(server, query = '') {
    const socket = await Socket.open(server, undefined, query);
    const packet = await socket.next();
    assert.equal(packet[0], '0');
    socket.sid = JSON.parse(packet.slice(1)).sid;
    return socket;
  }

  constructor(url) {
    this.ws = new WebSocket(url);
    this.queue = [];
    this.wake = () => {};
    this.ws.on('error', () => {}); // the close says the rest
    this.ws.on('message', (data, isBinary) => this.push({ packet: isBinary ? data : data.toString() }));
    this.ws.on('close', (code) => this.push({ code }));
  }

  push(item) {
    this.queue.push(item);
    this.wake();
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  async item(what) {
    if (this.queue.length === 0) await within(new Promise((resolve) => (this.wake = resolve)), what);
    return this.queue.shift();
  }

  async next() {
    const { packet, code } = await this.item('packet');
    if (packet === undefined) throw new Error(`closed with ${code} instead of a packet`);
    return packet;
  }

  /** Waits for the close; nothing else may come before. Gives its code, 1005 for an empty frame. */
  async closed() {
    const { packet, code } = await this.item('close');
    if (code === undefined) throw new Error(`${packet} instead of a close`);
    return code;
  }

  async expectAlive() {
    this.send('4alive?');
    assert.equal(await this.next(), '4alive?');
  }

  close() {
    this.ws.terminate();
  }
}

/** A raw connection after its upgrade to WebSocket, open packet taken: `{wire, sid}`. */
export async function rawSocket(server, query = '') {
  const wire = await Wire.connect(server.port);
  wire.request('GET', target(server, 'websocket') + query, { headers: HANDSHAKE });
  assert.equal((await wire.response()).status, 101);
  const packet = await wire.text();
  return { wire, sid: JSON.parse(packet.slice(1)).sid };
}
