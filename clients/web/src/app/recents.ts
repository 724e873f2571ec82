// SPDX-License-Identifier: MIT
//
// The sessions joined lately, kept by the browser for the next visit.
// Invariant: the list is short, without doubles, the latest first; a browser that keeps nothing
// (private mode, a full store) costs the memory only, never the page.

const KEY = 'talus.recent-sessions';
const LIMIT = 8;
const LONGEST_ID = 128;

export interface TextStore {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export class RecentSessions {
  readonly #store: TextStore | null;
  #sessions: readonly string[];

  constructor(store: TextStore | null) {
    this.#store = store;
    this.#sessions = load(store);
  }

  get list(): readonly string[] {
    return this.#sessions;
  }

  add(session: string): void {
    this.#save([session, ...this.#sessions.filter((other) => other !== session)].slice(0, LIMIT));
  }

  clear(): void {
    this.#save([]);
  }

  #save(sessions: readonly string[]): void {
    this.#sessions = sessions;
    try {
      this.#store?.setItem(KEY, JSON.stringify(sessions));
    } catch {
      // Refused by the browser: the list lives as long as the page.
    }
  }
}

/** The browser's store, where the page may use one. */
export function browserStore(): TextStore | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

function load(store: TextStore | null): readonly string[] {
  try {
    const stored: unknown = JSON.parse(store?.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? [...new Set(stored.filter(isSession))].slice(0, LIMIT) : [];
  } catch {
    return [];
  }
}

function isSession(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= LONGEST_ID;
}
