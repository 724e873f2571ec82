// SPDX-License-Identifier: MIT
//
// The connection to the gateway: one Socket.IO client with its default settings.
// Invariant: `state` changes only in `#set`, and every change is told once. Only the gateway, by
// a refusal or a Socket.IO disconnect, leads to `disconnected`: all else is tried again.

import { Manager, type Socket } from 'socket.io-client';

import { textField } from '../model/event.ts';
import type { Answer, SessionPort } from './membership.ts';

export type ConnectionState = 'connecting' | 'connected' | 'reconnecting' | 'disconnected';

export interface LinkStatus {
  readonly state: ConnectionState;
  /** Why it is not connected, in words; empty while it is. */
  readonly reason: string;
  /** Which attempt to reconnect is under way; 0 for none. */
  readonly attempt: number;
  readonly transport: string | null;
  /** The transport that the connection began with, once it was upgraded. */
  readonly upgradedFrom: string | null;
  readonly clientId: string | null;
}

export interface GatewayHandler {
  onStatus(status: LinkStatus): void;
  /** `recovered`: the gateway still knew this client, and sends what it missed. */
  onOpen(recovered: boolean): void;
  onClose(reason: string): void;
  onEvent(name: string, args: readonly unknown[]): void;
}

export interface GatewayAddress {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Where Socket.IO is served there. */
  readonly path: string;
  readonly namespace: string;
}

const ANSWER_TIMEOUT_MS = 10_000;

const REASONS: Readonly<Record<string, string>> = {
  'io server disconnect': 'the gateway ended the connection',
  'io client disconnect': 'closed from this page',
  'ping timeout': 'no heartbeat from the gateway',
  'transport close': 'the connection was lost',
  'transport error': 'the connection failed',
  'parse error': 'the gateway sent a packet that is not valid',
};

const FAILURES: Readonly<Record<string, string>> = {
  'xhr poll error': 'the gateway cannot be reached',
  'websocket error': 'the gateway cannot be reached',
  timeout: 'the gateway did not answer in time',
};

export class GatewayConnection implements SessionPort {
  readonly #socket: Socket;
  readonly #handler: GatewayHandler;
  #status: LinkStatus = {
    state: 'connecting',
    reason: '',
    attempt: 0,
    transport: null,
    upgradedFrom: null,
    clientId: null,
  };
  #wasConnected = false;

  constructor(address: GatewayAddress, handler: GatewayHandler) {
    this.#handler = handler;
    const manager = new Manager(address.origin, { path: address.path, autoConnect: false });
    this.#socket = manager.socket(address.namespace);
    this.#watchTransport(manager);
    this.#watchSocket();
  }

  connect(): void {
    this.#set({ state: this.#wasConnected ? 'reconnecting' : 'connecting', attempt: 0 });
    this.#socket.connect();
  }

  isOpen(): boolean {
    return this.#socket.connected;
  }

  join(session: string, since: string | null, done: (answer: Answer) => void): void {
    const request = since === null ? { session_id: session } : { session_id: session, since };
    this.#request('join_session', request, done);
  }

  leave(session: string, done: (answer: Answer) => void): void {
    this.#request('leave_session', { session_id: session }, done);
  }

  #request(name: string, payload: object, done: (answer: Answer) => void): void {
    this.#socket
      .timeout(ANSWER_TIMEOUT_MS)
      .emit(name, payload, (failure: Error | null, reply: unknown) => {
        done(failure ? noAnswer(name) : toAnswer(reply));
      });
  }

  #watchTransport(manager: Manager): void {
    manager.on('open', () => {
      const { engine } = manager;
      const first = engine.transport.name;
      this.#set({ transport: first, upgradedFrom: null });
      engine.on('upgrade', (transport: { name: string }) => {
        this.#set({ transport: transport.name, upgradedFrom: first });
      });
    });
    manager.on('close', () => this.#set({ transport: null, upgradedFrom: null }));
    manager.on('reconnect_attempt', (attempt) => this.#set({ attempt }));
  }

  #watchSocket(): void {
    const socket = this.#socket;
    socket.on('connect', () => {
      this.#wasConnected = true;
      this.#set({ state: 'connected', reason: '', attempt: 0, clientId: socket.id ?? null });
      this.#handler.onOpen(socket.recovered);
    });
    socket.on('disconnect', (cause) => {
      const reason = REASONS[cause] ?? cause;
      this.#set({
        state: socket.active ? 'reconnecting' : 'disconnected',
        reason,
        clientId: null,
      });
      this.#handler.onClose(reason);
    });
    socket.on('connect_error', (failure) => {
      const reason = FAILURES[failure.message] ?? failure.message;
      const trying = this.#wasConnected ? 'reconnecting' : 'connecting';
      this.#set({ state: socket.active ? trying : 'disconnected', reason });
    });
    socket.onAny((name: string, ...args: unknown[]) => this.#handler.onEvent(name, args));
  }

  #set(change: Partial<LinkStatus>): void {
    this.#status = { ...this.#status, ...change };
    this.#handler.onStatus(this.#status);
  }
}

function noAnswer(name: string): Answer {
  return { ok: false, code: 'no_answer', message: `The gateway did not answer ${name}` };
}

function toAnswer(reply: unknown): Answer {
  const error = (reply as { error?: unknown } | null)?.error;
  return error === undefined
    ? { ok: true, reply }
    : {
        ok: false,
        code: textField(error, 'code') ?? 'unknown',
        message: textField(error, 'message') ?? 'The gateway refused without a reason',
      };
}
