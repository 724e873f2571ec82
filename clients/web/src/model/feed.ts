// SPDX-License-Identifier: MIT
//
// The list behind the page: events, gaps and notes in the order of their arrival.
// Invariants: `kept` holds the newest entries, never more than the limit, and keys only grow.
// While paused, `kept` does not change; what arrives is held, under the same limit. Whatever
// falls out of either is counted in `letGo`.

import { KINDS, type BusEvent, type Kind } from './event.ts';
import { Ring } from './ring.ts';
import { SeenIds } from './seen.ts';

export interface Gap {
  readonly after: string;
  readonly first: string;
  readonly reason: string;
}

export type Content =
  | { readonly what: 'event'; readonly event: BusEvent }
  | { readonly what: 'gap'; readonly gap: Gap }
  | { readonly what: 'note'; readonly tone: 'good' | 'bad' | 'plain'; readonly text: string };

export type Entry = Content & {
  readonly key: number;
  /** Milliseconds since the Unix epoch, by this machine's clock, at arrival. */
  readonly at: number;
};

export type KindCounts = Readonly<Record<Kind, number>>;

export const DEFAULT_LIMIT = 1000;

// Longer than the list, so that a replay is recognised even where its rows are gone.
const SEEN_FACTOR = 4;

export class Feed {
  readonly limit: number;
  readonly #kept: Ring<Entry>;
  readonly #held: Ring<Entry>;
  readonly #seen: SeenIds;
  #counts = zeroCounts();
  #nextKey = 1;
  #letGo = 0;
  #heldEvents = 0;
  #fromBus = 0;
  #paused = false;
  #epoch = 0;

  constructor(limit: number = DEFAULT_LIMIT) {
    this.limit = limit;
    this.#kept = new Ring(limit);
    this.#held = new Ring(limit);
    this.#seen = new SeenIds(limit * SEEN_FACTOR);
  }

  get kept(): Ring<Entry> {
    return this.#kept;
  }

  /** Events that no longer fit into the list. */
  get letGo(): number {
    return this.#letGo;
  }

  /** Events that wait for the end of the pause. */
  get held(): number {
    return this.#heldEvents;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Grows each time the list is emptied: what was drawn of it is void then. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Events received since the list was last emptied, by kind. */
  get counts(): KindCounts {
    return this.#counts;
  }

  /** Of those, the ones with an event id: emitted by a service, not by the gateway. */
  get fromBus(): number {
    return this.#fromBus;
  }

  get received(): number {
    return KINDS.reduce((sum, kind) => sum + this.#counts[kind], 0);
  }

  /** False if the event was here already; it is not shown twice. */
  addEvent(event: BusEvent, at: number): boolean {
    if (event.id !== null && !this.#seen.add(event.id)) {
      return false;
    }
    this.#counts[event.kind] += 1;
    this.#fromBus += event.id === null ? 0 : 1;
    this.add({ what: 'event', event }, at);
    return true;
  }

  add(content: Content, at: number): void {
    const entry: Entry = { ...content, key: this.#nextKey, at };
    this.#nextKey += 1;
    if (!this.#paused) {
      this.#keep(entry);
      return;
    }
    this.#heldEvents += entry.what === 'event' ? 1 : 0;
    const evicted = this.#held.push(entry);
    if (evicted?.what === 'event') {
      this.#letGo += 1;
      this.#heldEvents -= 1;
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const entry of this.#held) {
      this.#keep(entry);
    }
    this.#dropHeld();
  }

  /** Empties the list. A pause stays; ids stay known, so that nothing cleared comes back. */
  clear(): void {
    this.#kept.clear();
    this.#dropHeld();
    this.#counts = zeroCounts();
    this.#fromBus = 0;
    this.#letGo = 0;
    this.#epoch += 1;
  }

  /** Empties the list for another session, whose events owe nothing to this one's. */
  restart(): void {
    this.clear();
    this.#seen.clear();
  }

  #keep(entry: Entry): void {
    if (this.#kept.push(entry)?.what === 'event') {
      this.#letGo += 1;
    }
  }

  #dropHeld(): void {
    this.#held.clear();
    this.#heldEvents = 0;
  }
}

function zeroCounts(): Record<Kind, number> {
  return { node: 0, property: 0, command: 0, history: 0, session: 0, other: 0 };
}
