// SPDX-License-Identifier: MIT
//
// Keeps the client in the session that the user asked for, across switches and reconnects.
// Invariants: at most one request is under way, and a session is left before the next is joined,
// so what arrives between two answers belongs to one session alone. `since` is only sent when the
// same session is joined again after a connection that could not be recovered.

export type Answer =
  | { readonly ok: true; readonly reply: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string };

export interface SessionPort {
  isOpen(): boolean;
  join(session: string, since: string | null, done: (answer: Answer) => void): void;
  leave(session: string, done: (answer: Answer) => void): void;
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

export interface MembershipHandler {
  /** The join of `session` is about to be sent; `again` after a lost connection. */
  onJoining(session: string, again: boolean): void;
  onJoined(session: string, reply: unknown, again: boolean): void;
  /** Back in the session without having to join: the gateway restored it. */
  onRecovered(session: string): void;
  onLeft(session: string): void;
  /** `retrying`: it is tried again without the user's doing. */
  onRefused(session: string, refusal: Refusal, retrying: boolean): void;
}

/** Calls back after a while; the result cancels it. */
export type Schedule = (delayMs: number, run: () => void) => () => void;

const RETRY_MS = 3000;
const PASSING = new Set(['unavailable', 'no_answer']);

export class Membership {
  readonly #port: SessionPort;
  readonly #handler: MembershipHandler;
  readonly #schedule: Schedule;
  #desired: string | null = null;
  #current: string | null = null;
  /** The session that was current when the connection was lost. */
  #interrupted: string | null = null;
  #resume: { session: string; eventId: string | null } | null = null;
  // Counts requests; the answer to an older one, given up at a disconnect, is nobody's.
  #ticket = 0;
  #busy = false;
  #cancelRetry: (() => void) | null = null;

  constructor(port: SessionPort, handler: MembershipHandler, schedule: Schedule) {
    this.#port = port;
    this.#handler = handler;
    this.#schedule = schedule;
  }

  get current(): string | null {
    return this.#current;
  }

  get desired(): string | null {
    return this.#desired;
  }

  /** Asks for a session, or with null for none. Takes effect once there is a connection. */
  request(session: string | null): void {
    this.#desired = session;
    if (session === null && this.#current === null && this.#resume !== null) {
      // Left while there is no connection: there is nobody to tell, and nothing to come back to.
      const left = this.#resume.session;
      this.#resume = null;
      this.#handler.onLeft(left);
    }
    this.#reconcile();
  }

  /** The newest event that came, from which a later join goes on. */
  noteEvent(eventId: string): void {
    if (this.#resume !== null) {
      this.#resume.eventId = eventId;
    }
  }

  opened(recovered: boolean): void {
    if (recovered && this.#interrupted !== null) {
      this.#current = this.#interrupted;
      this.#handler.onRecovered(this.#current);
    }
    this.#interrupted = null;
    this.#reconcile();
  }

  closed(): void {
    this.#interrupted = this.#current;
    this.#current = null;
    this.#busy = false;
    this.#ticket += 1;
    this.#stopRetry();
  }

  #reconcile(): void {
    this.#stopRetry();
    if (!this.#port.isOpen() || this.#busy || this.#current === this.#desired) {
      return;
    }
    if (this.#current !== null) {
      this.#leave(this.#current);
    } else if (this.#desired !== null) {
      this.#join(this.#desired);
    }
  }

  #join(session: string): void {
    const again = this.#resume?.session === session;
    const since = again ? this.#resume!.eventId : null;
    this.#handler.onJoining(session, again);
    this.#ask(
      (done) => this.#port.join(session, since, done),
      (answer) => {
        if (answer.ok) {
          this.#current = session;
          this.#resume = again ? this.#resume : { session, eventId: null };
          this.#handler.onJoined(session, answer.reply, again);
        } else {
          this.#refused(session, answer);
        }
      },
    );
  }

  #leave(session: string): void {
    this.#ask(
      (done) => this.#port.leave(session, done),
      () => {
        // Whatever the answer, the client is out of it: refused means that it was not in.
        this.#current = null;
        this.#resume = null;
        this.#handler.onLeft(session);
      },
    );
  }

  #refused(session: string, refusal: Refusal): void {
    const retrying = PASSING.has(refusal.code) && this.#desired === session;
    if (retrying) {
      this.#cancelRetry = this.#schedule(RETRY_MS, () => this.#reconcile());
    } else if (this.#desired === session) {
      this.#desired = null;
    }
    this.#handler.onRefused(session, refusal, retrying);
  }

  #ask(send: (done: (answer: Answer) => void) => void, settle: (answer: Answer) => void): void {
    this.#busy = true;
    this.#ticket += 1;
    const ticket = this.#ticket;
    send((answer) => {
      if (ticket !== this.#ticket) {
        return;
      }
      this.#busy = false;
      settle(answer);
      if (this.#cancelRetry === null) {
        this.#reconcile();
      }
    });
  }

  #stopRetry(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
  }
}
