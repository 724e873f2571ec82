// SPDX-License-Identifier: MIT
//
// An event as the page keeps it, made from the arguments that Socket.IO delivers:
// `[TYPE, data, EVENT_ID]` for events of the bus, `[TYPE, data]` for the gateway's presence.
// Invariant: `id` is null exactly when the event did not come with an id, and `seq` stays text,
// since a sequence may be larger than a JavaScript number can hold.

export const KINDS = ['node', 'property', 'command', 'history', 'session', 'other'] as const;

export type Kind = (typeof KINDS)[number];

export const KIND_LABELS: Readonly<Record<Kind, string>> = {
  node: 'node',
  property: 'property',
  command: 'command',
  history: 'undo / redo',
  session: 'session',
  other: 'other',
};

export interface BusEvent {
  readonly type: string;
  readonly kind: Kind;
  readonly id: string | null;
  readonly origin: string | null;
  readonly seq: string | null;
  readonly payload: unknown;
  /** A command that reports its own failure; shown as such. */
  readonly failed: boolean;
}

const PREFIXES: ReadonlyArray<readonly [string, Kind]> = [
  ['node-', 'node'],
  ['property-', 'property'],
  ['command-', 'command'],
  ['session-', 'session'],
];

export function kindOf(type: string): Kind {
  if (type === 'undo' || type === 'redo') {
    return 'history';
  }
  return PREFIXES.find(([prefix]) => type.startsWith(prefix))?.[1] ?? 'other';
}

/** Splits `origin.seq`; null if the text is not an event id. */
export function parseEventId(id: string): { origin: string; seq: string } | null {
  const match = /^([a-z0-9]{8,16})\.([1-9][0-9]{0,19})$/.exec(id);
  return match ? { origin: match[1]!, seq: match[2]! } : null;
}

/** `args` is everything that followed the event's name. */
export function toBusEvent(type: string, args: readonly unknown[]): BusEvent {
  const last = args[args.length - 1];
  const id = args.length > 1 && typeof last === 'string' ? last : null;
  const parts = id === null ? null : parseEventId(id);
  const payload = args[0];
  return {
    type,
    kind: kindOf(type),
    id,
    origin: parts?.origin ?? null,
    seq: parts?.seq ?? null,
    payload,
    failed: type === 'command-executed' && field(payload, 'success') === false,
  };
}

/** One field of a value that came from outside; undefined where there is none. */
export function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

export function textField(value: unknown, name: string): string | null {
  const found = field(value, name);
  return typeof found === 'string' ? found : null;
}
