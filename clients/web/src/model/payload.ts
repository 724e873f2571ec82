// SPDX-License-Identifier: MIT
//
// A payload as JSON text in coloured pieces, with binary values shown by their size.
// Invariant: the pieces' text is never longer than the limit plus one mark, whatever the payload.

export type TokenKind = 'key' | 'string' | 'number' | 'literal' | 'binary' | 'punctuation' | 'mark';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
}

export interface TokenOptions {
  /** Spaces a level; 0 for one line. */
  readonly indent: number;
  /** Characters at most. */
  readonly limit: number;
}

// The bus allows 32; this only guards the page's own stack.
const MAX_DEPTH = 64;

export function tokenize(payload: unknown, options: TokenOptions): Token[] {
  const writer = new Writer(options);
  writer.value(payload, 0);
  return writer.tokens;
}

export function toText(payload: unknown, options: TokenOptions): string {
  return tokenize(payload, options)
    .map((token) => token.text)
    .join('');
}

/**
 * The payload in the order in which one line tells most: `session_id`, which is the same in every
 * row, goes last.
 */
export function forPreview(payload: unknown): unknown {
  if (typeof payload !== 'object' || payload === null || !Object.hasOwn(payload, 'session_id')) {
    return payload;
  }
  const { session_id: session, ...rest } = payload as Record<string, unknown>;
  return { ...rest, session_id: session };
}

/** The size of a binary value in bytes; null for anything else. */
export function binarySize(value: unknown): number | null {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return value.byteLength;
  }
  return typeof Blob !== 'undefined' && value instanceof Blob ? value.size : null;
}

class Writer {
  readonly tokens: Token[] = [];
  #left: number;
  #full = false;

  constructor(readonly options: TokenOptions) {
    this.#left = options.limit;
  }

  value(value: unknown, depth: number): void {
    const bytes = binarySize(value);
    if (bytes !== null) {
      this.#put('binary', `<${bytes} ${bytes === 1 ? 'byte' : 'bytes'}>`);
    } else if (typeof value === 'string') {
      this.#put('string', this.#quote(value));
    } else if (typeof value === 'number') {
      this.#put('number', Number.isFinite(value) ? String(value) : 'null');
    } else if (typeof value === 'boolean') {
      this.#put('literal', String(value));
    } else if (typeof value !== 'object' || value === null) {
      this.#put('literal', 'null');
    } else if (depth >= MAX_DEPTH) {
      this.#put('mark', '…');
    } else if (Array.isArray(value)) {
      this.#list('[', ']', value.length, depth, (index) => this.value(value[index], depth + 1));
    } else {
      this.#object(value as Record<string, unknown>, depth);
    }
  }

  #object(value: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(value);
    this.#list('{', '}', keys.length, depth, (index) => {
      const key = keys[index]!;
      this.#put('key', this.#quote(key));
      this.#put('punctuation', ': ');
      this.value(value[key], depth + 1);
    });
  }

  #list(open: string, close: string, length: number, depth: number, item: (i: number) => void) {
    this.#put('punctuation', open);
    for (let index = 0; index < length && !this.#full; index += 1) {
      this.#put('punctuation', (index === 0 ? '' : ',') + this.#break(depth + 1, index > 0));
      item(index);
    }
    this.#put('punctuation', (length === 0 ? '' : this.#break(depth, false)) + close);
  }

  #break(depth: number, spaced: boolean): string {
    const { indent } = this.options;
    return indent === 0 ? (spaced ? ' ' : '') : `\n${' '.repeat(indent * depth)}`;
  }

  // Quoting only what can still be shown keeps a megabyte of text from being quoted for one row.
  #quote(text: string): string {
    return JSON.stringify(text.slice(0, this.#left));
  }

  #put(kind: TokenKind, text: string): void {
    if (this.#full || text === '') {
      return;
    }
    if (text.length <= this.#left) {
      this.#left -= text.length;
      this.tokens.push({ kind, text });
      return;
    }
    this.#full = true;
    if (this.#left > 0) {
      this.tokens.push({ kind, text: text.slice(0, this.#left) });
    }
    this.tokens.push({ kind: 'mark', text: '…' });
  }
}
