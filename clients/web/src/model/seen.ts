// SPDX-License-Identifier: MIT
//
// Which event ids came lately. A reconnect may deliver an event again; its id tells.
// Invariant: at most `capacity` ids are remembered, the newest ones.

import { Ring } from './ring.ts';

export class SeenIds {
  readonly #order: Ring<string>;
  readonly #ids = new Set<string>();

  constructor(capacity: number) {
    this.#order = new Ring<string>(capacity);
  }

  /** True if the id is new; it is remembered from then on. */
  add(id: string): boolean {
    if (this.#ids.has(id)) {
      return false;
    }
    this.#ids.add(id);
    const forgotten = this.#order.push(id);
    if (forgotten !== undefined) {
      this.#ids.delete(forgotten);
    }
    return true;
  }

  clear(): void {
    this.#order.clear();
    this.#ids.clear();
  }
}
