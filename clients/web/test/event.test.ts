// SPDX-License-Identifier: MIT
//
// Events made from Socket.IO's arguments: kinds, ids, and what came from outside unasked.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { field, kindOf, parseEventId, textField, toBusEvent } from '../src/model/event.ts';

test('kindOf sorts the typed events, and leaves the rest to other', () => {
  const expected = {
    'node-created': 'node',
    'node-unlinked': 'node',
    'property-deleted': 'property',
    'command-executing': 'command',
    undo: 'history',
    redo: 'history',
    'session-connected': 'session',
    external_template_update: 'other',
    'undo-like': 'other',
    node: 'other',
  };
  for (const [type, kind] of Object.entries(expected)) {
    assert.equal(kindOf(type), kind, type);
  }
});

test('parseEventId splits origin and sequence without losing digits', () => {
  assert.deepEqual(parseEventId('k3v9q2mx.4711'), { origin: 'k3v9q2mx', seq: '4711' });
  assert.deepEqual(parseEventId('abcdefgh12345678.18446744073709551615'), {
    origin: 'abcdefgh12345678',
    seq: '18446744073709551615',
  });
});

test('parseEventId refuses what is not an event id', () => {
  for (const id of ['', 'k3v9q2mx', 'short.1', 'k3v9q2mx.0', 'K3V9Q2MX.1', 'k3v9q2mx.1.2']) {
    assert.equal(parseEventId(id), null, id);
  }
});

test('toBusEvent takes the last argument as the event id', () => {
  const event = toBusEvent('node-created', [{ node_id: 'n1' }, 'k3v9q2mx.7']);
  assert.equal(event.id, 'k3v9q2mx.7');
  assert.equal(event.origin, 'k3v9q2mx');
  assert.equal(event.seq, '7');
  assert.deepEqual(event.payload, { node_id: 'n1' });
});

test('toBusEvent leaves presence without an id, even where the payload is text', () => {
  assert.equal(toBusEvent('session-connected', [{ client_id: 'c' }]).id, null);
  assert.equal(toBusEvent('hello', ['k3v9q2mx.7']).id, null);
  assert.equal(toBusEvent('hello', []).payload, undefined);
});

test('toBusEvent marks a command that failed, and only that', () => {
  const failed = (type: string, success: unknown) => toBusEvent(type, [{ success }]).failed;
  assert.equal(failed('command-executed', false), true);
  assert.equal(failed('command-executed', true), false);
  assert.equal(failed('command-executed', undefined), false);
  assert.equal(failed('node-created', false), false);
});

test('field reads own fields alone, of anything', () => {
  assert.equal(field({ a: 1 }, 'a'), 1);
  for (const value of [null, undefined, 7, 'text', [], {}]) {
    assert.equal(field(value, 'toString'), undefined);
  }
  assert.equal(textField({ code: 5 }, 'code'), null);
});
