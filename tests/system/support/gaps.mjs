// SPDX-License-Identifier: MIT
// The accounts of the gaps: whether one that was told was needed. It was if it names an event that
// the consumer was owed and did not get. Any other is needless: a page that fetches its state at a
// gap would fetch for nothing. Needless gaps are counted by cause, and each cause has a bound.

const NEVER = () => 0;
const SHOWN = 5; // examples in a problem
const KEPT = 10_000; // needless gaps of a cause that are kept for whoever looks for their reason

/** An origin that is lost just when it is asked leaves the answer's gap and its stream's, at once: that is rare. */
const oneAnAnswer = ({ memberships }) => memberships + Math.floor(memberships / 1000);

/** What may be needless: `bound(account)` is how many may be told; `why` is its reason. */
export const CAUSES = {
  'idle gateway': { bound: NEVER, why: 'a gateway that sent nothing has lost nothing' },
  stranger: { bound: NEVER, why: 'the broadcaster never sent to that session: its ledger, or its heads, say so' },
  'short life': { bound: NEVER, why: 'the ledger of a short-lived broadcaster says what it sent' },
  'origin_lost on ipc': { bound: NEVER, why: 'the ledger in the bus directory says what a dead broadcaster sent' },
  'origin_lost on tcp': { bound: ({ memberships }) => memberships, why: 'what it sent since its last head is not known: one a consumer, session and life that had sent there' },
  'presence of a gateway': { bound: ({ memberships }) => memberships, why: 'what a dead gateway sent is not known here: one a consumer, session and life that had sent there' },
  'since its origin is gone': { bound: oneAnAnswer, why: 'nobody knows what else it had sent: one a join' },
  'offset of a CONNECT': { bound: oneAnAnswer, why: 'the gateway does not know of which session it is: one a join' },
  unsure: { bound: ({ memberships }) => memberships, why: 'it came back, and what it has of a session is not known: one a join' },
  'join whose answer was lost': { bound: ({ memberships }) => memberships, why: 'its connection was cut and recovered, and only the gateway knows since when it is in the session: one a consumer, session and life' },
  'lost before the join': { bound: ({ memberships }) => memberships, why: 'that it was lost was not known yet when the consumer joined: one a join and origin' },
  'met after the join': { bound: ({ memberships }) => memberships, why: 'its connection was cut when the session became live, so all of it is owed, however old: one a consumer, session and life' },
  unproven: { bound: ({ memberships }) => memberships, why: 'one event id says nothing of other broadcasters: one a join with since or offset, where several have sent' },
  history: { bound: NEVER, why: 'an origin that is there says what it has not kept' },
};

export class GapAccounts {
  constructor() {
    this.needed = 0;
    this.causes = new Map(); // cause -> {count, memberships: a Set, by: consumer -> count, examples}
  }

  /**
   * Takes a gap: `missing` events that its consumer was owed were named by it. `membership` stands for the
   * consumer's time in the session, which is told once of one origin's loss; null: nothing may be told there.
   * Where `joined` was lost with a connection that was recovered, the consumer does not know what it is owed.
   */
  take({ consumer, session, origin, reason, text, missing, membership, isAnswer = false, isImplied = false, isUnsure = false, isOlder = false }) {
    if (missing > 0 || reason === 'refused') {
      this.needed++;
      return;
    }
    const cause = causeOf({ session, origin, reason, isAnswer, isImplied, isUnsure, isOlder, isUnheard: membership?.since === Infinity, isWhole: text.startsWith(`${origin?.name}.0 `), isTold: Number(text.split(' ')[1].split('.')[1]) > 1 });
    let account = this.causes.get(cause);
    if (!account) this.causes.set(cause, (account = { count: 0, memberships: new Map(), examples: [] }));
    account.count++;
    const told = account.memberships.get(membership) ?? new Set();
    if (membership) account.memberships.set(membership, told.add(origin?.name));
    if (account.examples.length < KEPT) account.examples.push({ consumer, session, text, ...circumstances(origin, membership ?? {}) });
  }

  get needless() {
    return [...this.causes.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** [cause, count, bound] of each that there was. */
  *lines() {
    for (const [cause, { count, memberships }] of this.causes) {
      const told = [...memberships.values()].reduce((sum, { size }) => sum + size, 0);
      yield [cause, count, CAUSES[cause].bound({ count, memberships: told })];
    }
  }

  /** A problem for each cause that is beyond its bound. */
  *problems() {
    for (const [cause, count, bound] of this.lines()) {
      if (count > bound)
        yield { consumer: 'all', session: '', origin: '', what: `needless gaps: ${cause}`, expected: `${bound} at most: ${CAUSES[cause].why}`, came: [count, ...this.causes.get(cause).examples.slice(0, SHOWN)] };
    }
  }
}

/** What helps to find the reason of a gap. */
function circumstances(origin, { resumed, state, since, wasRecovered }) {
  return { fate: origin?.fate, isShort: origin?.isShort, isRemote: origin?.isRemote, died: origin?.died, resumed, state, joined: since, wasRecovered };
}

/** Why a gap that named nothing may have been told. */
export function causeOf({ session, origin, reason, isAnswer, isImplied, isUnsure, isOlder, isUnheard, isWhole, isTold }) {
  if (isUnsure) return 'unsure';
  if (!origin) return 'unproven';
  const isMetLate = reason === 'history' && origin.isRemote && isWhole && !isOlder; // no answer begins before the event that was named
  if (isMetLate && origin.next(session, 0) !== Infinity) return 'met after the join';
  if (isAnswer && isImplied) return 'offset of a CONNECT';
  // Of a gateway that died before anybody heard it, the gap alone says how much it had sent.
  if (!origin.isOurs && origin.numbers.size === 0) return isTold ? 'presence of a gateway' : 'idle gateway';
  if (origin.next(session, 0) === Infinity) return 'stranger';
  if (isUnheard) return 'join whose answer was lost';
  if (isOlder) return 'lost before the join';
  if (isAnswer && origin.fate !== 'alive') return 'since its origin is gone';
  if (!origin.isOurs) return 'presence of a gateway';
  if (reason === 'history') return 'history';
  if (origin.isShort) return 'short life';
  return origin.isRemote ? 'origin_lost on tcp' : 'origin_lost on ipc';
}
