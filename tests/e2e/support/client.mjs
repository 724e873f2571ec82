// SPDX-License-Identifier: MIT
// The official client, connected and joined.

import { io } from 'socket.io-client';
import { next, within } from './deadline.mjs';

export { io };

/** Transport settings as applications have them. */
export const TRANSPORTS = {
  'default settings': {},
  'websocket alone': { transports: ['websocket'] },
  'polling alone': { transports: ['polling'] },
};

/** A client of namespace `nsp`, not connected yet; its events are collected in `log` as arrays. */
export function client(url, options = {}, nsp = '/graph', connect = io) {
  const socket = connect(url + nsp, { forceNew: true, reconnection: false, ...options });
  socket.log = [];
  socket.onAny((...args) => socket.log.push(args));
  return socket;
}

export async function connected(url, options = {}, nsp = '/graph', connect = io) {
  const socket = client(url, options, nsp, connect);
  const outcome = new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  await within(outcome, 'connection');
  return socket;
}

/** Emits with an acknowledgement and gives its argument. */
export function ask(socket, event, ...args) {
  return within(new Promise((resolve) => socket.emit(event, ...args, resolve)), `ack of ${event}`);
}

export async function joined(url, session, options = {}) {
  const socket = await connected(url, options);
  socket.joined = await ask(socket, 'join_session', { session_id: session });
  if (socket.joined.error) throw new Error(JSON.stringify(socket.joined.error));
  return socket;
}

/** Waits until the client's connection has been upgraded to WebSocket. */
export async function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name !== 'websocket') await next(engine, 'upgrade');
}

/**
 * Waits until everything that was under way to the client has arrived: an answer to a ping comes
 * behind whatever was sent before it.
 */
export async function settled(socket) {
  await ask(socket, 'ping');
}
