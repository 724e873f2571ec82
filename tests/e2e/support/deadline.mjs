// SPDX-License-Identifier: MIT
// Waiting with a deadline: every wait of these tests ends, and says what it waited for.

const DEADLINE_MS = Number(process.env.TALUS_TEST_DEADLINE_MS ?? 60_000);

/** Rejects with `what` when the promise has not settled in time. */
export function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The arguments of an emitter's next `event` (for which `accept` holds). */
export function next(emitter, event, accept = () => true, ms = DEADLINE_MS) {
  let listener;
  const promise = new Promise((resolve) => {
    listener = (...args) => {
      if (accept(...args)) resolve(args);
    };
    emitter.on(event, listener);
  });
  return within(promise, `'${event}' event`, ms).finally(() => emitter.off(event, listener));
}

/** The event that comes first, of `[emitter, event]` pairs; gives its name. */
export function nextOf(pairs, ms = DEADLINE_MS) {
  const listeners = [];
  const first = new Promise((resolve) => {
    for (const [emitter, event] of pairs) {
      const listener = () => resolve(event);
      listeners.push([emitter, event, listener]);
      emitter.on(event, listener);
    }
  });
  const names = pairs.map(([, event]) => `'${event}'`).join(' or ');
  return within(first, `${names} event`, ms).finally(() => {
    for (const [emitter, event, listener] of listeners) emitter.off(event, listener);
  });
}
