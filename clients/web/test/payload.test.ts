// SPDX-License-Identifier: MIT
//
// Payloads as text: true to JSON, bounded, and safe with whatever a service may send.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { binarySize, forPreview, tokenize, toText } from '../src/model/payload.ts';

const ONE_LINE = { indent: 0, limit: 1000 };

test('toText writes JSON that parses back to the same value', () => {
  const payload = {
    session_id: 's',
    'a "key"': [1, -2.5, 3e21, true, false, null, [], {}],
    text: '<b>\u2028\n"\\',
  };
  assert.deepEqual(JSON.parse(toText(payload, ONE_LINE)), payload);
  assert.deepEqual(JSON.parse(toText(payload, { indent: 2, limit: Infinity })), payload);
});

test('toText indents as JSON.stringify does', () => {
  const payload = { a: [1, { b: 'c' }], d: {} };
  assert.equal(toText(payload, { indent: 2, limit: Infinity }), JSON.stringify(payload, null, 2));
  assert.equal(toText({ a: 1, b: [2, 3] }, ONE_LINE), '{"a": 1, "b": [2, 3]}');
});

test('toText shows binary values by their size', () => {
  const payload = { a: new ArrayBuffer(12), b: new Uint8Array(1), c: new Blob(['xyz']) };
  assert.equal(toText(payload, ONE_LINE), '{"a": <12 bytes>, "b": <1 byte>, "c": <3 bytes>}');
  assert.equal(binarySize('text'), null);
});

test('toText writes null for what JSON has no word for', () => {
  assert.equal(toText([undefined, NaN, Infinity], ONE_LINE), '[null, null, null]');
  assert.equal(toText(undefined, ONE_LINE), 'null');
});

test('tokenize never exceeds its limit by more than the mark', () => {
  const payload = { text: 'x'.repeat(100_000), list: Array.from({ length: 1000 }, (_, i) => i) };
  const whole = toText(payload, { indent: 0, limit: Infinity });
  for (const limit of [0, 1, 5, 10, 99, 100_020]) {
    const text = toText(payload, { indent: 0, limit });
    assert.equal(text, `${whole.slice(0, limit)}…`, `limit ${limit}`);
  }
});

test('tokenize survives any nesting', () => {
  let deep: unknown = 'bottom';
  for (let level = 0; level < 100_000; level += 1) {
    deep = [deep];
  }
  assert.ok(tokenize(deep, { indent: 0, limit: Infinity }).some(({ kind }) => kind === 'mark'));
});

test('forPreview moves session_id to the end and loses nothing', () => {
  const payload: unknown = JSON.parse('{"session_id": "s", "__proto__": 1, "node_id": "n"}');
  assert.equal(
    toText(forPreview(payload), ONE_LINE),
    '{"__proto__": 1, "node_id": "n", "session_id": "s"}',
  );
  for (const other of [null, 'text', [1], { a: 1 }]) {
    assert.equal(forPreview(other), other);
  }
});
