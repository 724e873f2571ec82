// SPDX-License-Identifier: MIT
//
// The address, the recent sessions, the number of clients and the rate.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { gatewayOf, sessionOf, withSession } from '../src/app/address.ts';
import { RecentSessions, type TextStore } from '../src/app/recents.ts';
import { ActiveClients } from '../src/model/presence.ts';
import { RateMeter } from '../src/model/rate.ts';

const PAGE = 'http://127.0.0.1:3000/';

class MemoryStore implements TextStore {
  readonly values = new Map<string, string>();
  getItem(key: string): string | null {
    return this.values.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.values.set(key, value);
  }
}

test('the address names the session, and keeps the rest of its query', () => {
  assert.equal(sessionOf(PAGE), null);
  assert.equal(sessionOf(`${PAGE}?session=%20a:b%20`), 'a:b');
  assert.equal(withSession(PAGE, 'a b'), `${PAGE}?session=a+b`);
  assert.equal(withSession(`${PAGE}?namespace=/x&session=a`, null), `${PAGE}?namespace=%2Fx`);
  assert.equal(sessionOf(withSession(PAGE, 'ä&=?#')), 'ä&=?#');
});

test('Socket.IO is looked for beside the page', () => {
  assert.deepEqual(gatewayOf(`${PAGE}?session=a`), {
    origin: 'http://127.0.0.1:3000',
    path: '/socket.io/',
    namespace: '/graph',
  });
  assert.equal(gatewayOf('https://host/talus/').path, '/talus/socket.io/');
  const set = gatewayOf(`${PAGE}?path=/ws/&namespace=/other`);
  assert.deepEqual([set.path, set.namespace], ['/ws/', '/other']);
});

test('the address cannot lead to another host', () => {
  const tried = gatewayOf(`${PAGE}?path=//evil.example/&namespace=https://evil.example/graph`);
  assert.equal(tried.origin, 'http://127.0.0.1:3000');
  assert.deepEqual([tried.path, tried.namespace], ['/socket.io/', '/graph']);
});

test('RecentSessions keeps eight, the latest first, across visits', () => {
  const store = new MemoryStore();
  const recents = new RecentSessions(store);
  for (let n = 1; n <= 10; n += 1) {
    recents.add(`s${n}`);
  }
  recents.add('s5');
  const expected = ['s5', 's10', 's9', 's8', 's7', 's6', 's4', 's3'];
  assert.deepEqual(recents.list, expected);
  assert.deepEqual(new RecentSessions(store).list, expected);
  recents.clear();
  assert.deepEqual(new RecentSessions(store).list, []);
});

test('RecentSessions survives a store that is broken, full or missing', () => {
  const store = new MemoryStore();
  for (const stored of ['not json', '{}', '[1, null, "", "ok", "ok"]']) {
    store.values.set('talus.recent-sessions', stored);
    assert.deepEqual(new RecentSessions(store).list, stored.includes('ok') ? ['ok'] : []);
  }
  store.setItem = () => {
    throw new Error('quota exceeded');
  };
  for (const recents of [new RecentSessions(store), new RecentSessions(null)]) {
    recents.add('a');
    assert.equal(recents.list[0], 'a');
  }
});

test('ActiveClients follows presence, and does not count itself twice', () => {
  const clients = new ActiveClients();
  clients.connected('early');
  assert.equal(clients.count, null);
  clients.joined(2, 'self');
  clients.connected('self');
  clients.connected('other');
  assert.equal(clients.count, 3);
  clients.disconnected('other');
  clients.disconnected('there before');
  assert.equal(clients.count, 1);
  clients.interrupted();
  assert.equal(clients.exact, false);
  clients.joined(4, 'self');
  assert.deepEqual([clients.count, clients.exact], [4, true]);
  clients.left();
  assert.equal(clients.count, null);
});

test('RateMeter averages two seconds and remembers a minute', () => {
  const meter = new RateMeter();
  const start = 1_000_000;
  for (let n = 0; n < 20; n += 1) {
    meter.add(start + n * 50);
  }
  assert.equal(meter.perSecond(start + 950), 10);
  assert.equal(meter.history(start + 950).at(-1), 20);
  assert.equal(meter.perSecond(start + 5000), 0);
  assert.equal(meter.history(start + 5000).reduce((sum, count) => sum + count), 20);
  assert.equal(Math.max(...meter.history(start + 70_000)), 0);
  assert.equal(meter.history(start).length, 60);
});
