// SPDX-License-Identifier: MIT
//
// A queue that never grows past its capacity: what is oldest makes room for what is newest.
// Invariant: `size <= capacity`, and `at(0)` is the oldest item kept.

export class Ring<T> {
  readonly #slots: Array<T | undefined>;
  #head = 0;
  #size = 0;

  constructor(readonly capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new RangeError('capacity must be a positive integer');
    }
    this.#slots = new Array<T | undefined>(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Returns the item that had to go, if one had to. */
  push(item: T): T | undefined {
    const slot = (this.#head + this.#size) % this.capacity;
    if (this.#size < this.capacity) {
      this.#slots[slot] = item;
      this.#size += 1;
      return undefined;
    }
    const evicted = this.#slots[slot];
    this.#slots[slot] = item;
    this.#head = (this.#head + 1) % this.capacity;
    return evicted;
  }

  at(index: number): T | undefined {
    return index >= 0 && index < this.#size
      ? this.#slots[(this.#head + index) % this.capacity]
      : undefined;
  }

  clear(): void {
    this.#slots.fill(undefined);
    this.#head = 0;
    this.#size = 0;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = 0; index < this.#size; index += 1) {
      yield this.at(index)!;
    }
  }
}
