// SPDX-License-Identifier: MIT
//
// Events per second, now and over the last minute, by counting into slots of a fifth of a second.
// Invariant: a slot's count belongs to the time in `#current` or up to a minute before it; slots
// that time has skipped are zero.

const SLOT_MS = 200;
const SLOTS_PER_SECOND = 1000 / SLOT_MS;
const SECONDS = 60;
const SLOTS = SECONDS * SLOTS_PER_SECOND;
const NOW_SECONDS = 2;

export class RateMeter {
  readonly #slots = new Uint32Array(SLOTS);
  #current = 0;

  /** `now` in milliseconds of a clock that does not go back. */
  add(now: number): void {
    this.#advance(now);
    const index = this.#current % SLOTS;
    this.#slots[index] = this.#slots[index]! + 1;
  }

  /** The average of the last two seconds. */
  perSecond(now: number): number {
    this.#advance(now);
    return this.#sum(0, NOW_SECONDS * SLOTS_PER_SECOND) / NOW_SECONDS;
  }

  /** One count a second for the last minute, the oldest first. */
  history(now: number): number[] {
    this.#advance(now);
    return Array.from({ length: SECONDS }, (_, second) =>
      this.#sum((SECONDS - 1 - second) * SLOTS_PER_SECOND, SLOTS_PER_SECOND),
    );
  }

  reset(): void {
    this.#slots.fill(0);
  }

  #advance(now: number): void {
    const slot = Math.floor(now / SLOT_MS);
    const passed = Math.min(slot - this.#current, SLOTS);
    for (let step = 1; step <= passed; step += 1) {
      this.#slots[(slot - passed + step) % SLOTS] = 0;
    }
    this.#current = Math.max(this.#current, slot);
  }

  #sum(age: number, length: number): number {
    let sum = 0;
    for (let step = age; step < age + length; step += 1) {
      sum += this.#slots[(this.#current - step + SLOTS) % SLOTS]!;
    }
    return sum;
  }
}
