// SPDX-License-Identifier: MIT
//
// How many clients are in the session. `joined` gives the number; presence events move it.
// Invariant: `count` is exact from `joined` until the connection is lost. Presence is kept in no
// log, so from then on, after a recovery too, the number is only near, until the next `joined`.

export class ActiveClients {
  #count: number | null = null;
  #exact = true;
  #known = new Set<string>();

  get count(): number | null {
    return this.#count;
  }

  get exact(): boolean {
    return this.#exact;
  }

  joined(count: number, self: string | null): void {
    this.#count = count;
    this.#exact = true;
    this.#known = new Set(self === null ? [] : [self]);
  }

  interrupted(): void {
    this.#exact = false;
  }

  left(): void {
    this.#count = null;
    this.#known.clear();
  }

  connected(client: string): void {
    if (this.#count !== null && !this.#known.has(client)) {
      this.#known.add(client);
      this.#count += 1;
    }
  }

  disconnected(client: string): void {
    if (this.#count !== null) {
      this.#known.delete(client);
      this.#count = Math.max(0, this.#count - 1);
    }
  }
}
