// SPDX-License-Identifier: MIT
//
// Joining, switching, leaving, and coming back, against a port whose answers the test gives.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Membership, type Answer, type SessionPort } from '../src/net/membership.ts';

const OK: Answer = { ok: true, reply: { active_clients: 1 } };
const REFUSED: Answer = { ok: false, code: 'invalid_session_id', message: 'no' };
const UNAVAILABLE: Answer = { ok: false, code: 'unavailable', message: 'later' };
const NO_ANSWER: Answer = { ok: false, code: 'no_answer', message: 'silence' };

interface Pending {
  readonly text: string;
  readonly answer: (answer: Answer) => void;
}

// Stands for the network, which here is the test itself.
class Wire implements SessionPort {
  open = true;
  readonly sent: Pending[] = [];

  isOpen(): boolean {
    return this.open;
  }

  join(session: string, since: string | null, answer: (answer: Answer) => void): void {
    this.sent.push({ text: `join ${session}${since === null ? '' : ` since ${since}`}`, answer });
  }

  leave(session: string, answer: (answer: Answer) => void): void {
    this.sent.push({ text: `leave ${session}`, answer });
  }

  expect(text: string): Pending {
    const next = this.sent.shift();
    assert.equal(next?.text, text);
    return next!;
  }

  expectNothing(): void {
    assert.deepEqual(this.sent, []);
  }
}

function setUp() {
  const wire = new Wire();
  const told: string[] = [];
  const timers = new Set<() => void>();
  const membership = new Membership(
    wire,
    {
      onJoining: (session, again) => told.push(`joining ${session}${again ? ' again' : ''}`),
      onJoined: (session, _reply, again) => told.push(`joined ${session}${again ? ' again' : ''}`),
      onRecovered: (session) => told.push(`recovered ${session}`),
      onLeft: (session) => told.push(`left ${session}`),
      onRefused: (session, { code }, retrying) =>
        told.push(`refused ${session} ${code}${retrying ? ' retrying' : ''}`),
    },
    (_delay, run) => {
      timers.add(run);
      return () => timers.delete(run);
    },
  );
  const fire = () => {
    assert.equal(timers.size, 1);
    const [run] = timers;
    timers.clear();
    run!();
  };
  const drop = () => {
    wire.open = false;
    membership.closed();
  };
  const restore = (recovered: boolean) => {
    wire.open = true;
    membership.opened(recovered);
  };
  return { wire, told, timers, membership, fire, drop, restore };
}

test('a session asked for before there is a connection is joined once there is', () => {
  const { wire, membership, restore } = setUp();
  wire.open = false;
  membership.request('a');
  wire.expectNothing();
  restore(false);
  wire.expect('join a').answer(OK);
  assert.equal(membership.current, 'a');
  wire.expectNothing();
});

test('a switch leaves the one before it joins the other', () => {
  const { wire, told, membership } = setUp();
  membership.request('a');
  wire.expect('join a').answer(OK);
  membership.request('b');
  const leaving = wire.expect('leave a');
  wire.expectNothing();
  leaving.answer(OK);
  wire.expect('join b').answer(OK);
  assert.deepEqual(told, ['joining a', 'joined a', 'left a', 'joining b', 'joined b']);
});

test('a change of mind during a join is carried out after it', () => {
  const { wire, membership } = setUp();
  membership.request('a');
  const joining = wire.expect('join a');
  membership.request('b');
  membership.request(null);
  wire.expectNothing();
  joining.answer(OK);
  wire.expect('leave a').answer(OK);
  wire.expectNothing();
  assert.equal(membership.current, null);
});

test('a lost connection that is not recovered is joined again from the last event', () => {
  const { wire, told, membership, drop, restore } = setUp();
  membership.request('a');
  wire.expect('join a').answer(OK);
  membership.noteEvent('k3v9q2mx.7');
  drop();
  assert.equal(membership.current, null);
  restore(false);
  wire.expect('join a since k3v9q2mx.7').answer(OK);
  assert.deepEqual(told.slice(2), ['joining a again', 'joined a again']);
});

test('a recovered connection needs no join', () => {
  const { wire, told, membership, drop, restore } = setUp();
  membership.request('a');
  wire.expect('join a').answer(OK);
  drop();
  restore(true);
  wire.expectNothing();
  assert.equal(membership.current, 'a');
  assert.equal(told.at(-1), 'recovered a');
});

test('another session asked for while away is switched to after the recovery', () => {
  const { wire, membership, drop, restore } = setUp();
  membership.request('a');
  wire.expect('join a').answer(OK);
  drop();
  membership.request('b');
  restore(true);
  wire.expect('leave a').answer(OK);
  wire.expect('join b').answer(OK);
});

test('leaving while away is told at once, and forgets where to go on from', () => {
  const { wire, told, membership, drop, restore } = setUp();
  membership.request('a');
  wire.expect('join a').answer(OK);
  membership.noteEvent('k3v9q2mx.7');
  drop();
  membership.request(null);
  assert.equal(told.at(-1), 'left a');
  restore(false);
  wire.expectNothing();
  membership.request('a');
  wire.expect('join a').answer(OK);
});

test('an answer that comes after the connection was lost is nobody’s', () => {
  const { wire, membership, drop, restore } = setUp();
  membership.request('a');
  const lost = wire.expect('join a');
  drop();
  restore(false);
  const second = wire.expect('join a');
  lost.answer(OK);
  assert.equal(membership.current, null);
  second.answer(OK);
  assert.equal(membership.current, 'a');
});

test('a refusal for good is told once and not tried again', () => {
  const { wire, told, timers, membership } = setUp();
  membership.request('bad id');
  wire.expect('join bad id').answer(REFUSED);
  wire.expectNothing();
  assert.equal(timers.size, 0);
  assert.equal(membership.desired, null);
  assert.equal(told.at(-1), 'refused bad id invalid_session_id');
  membership.request('bad id');
  wire.expect('join bad id');
});

test('a refusal that passes is tried again after a while', () => {
  const { wire, told, membership, fire } = setUp();
  membership.request('a');
  wire.expect('join a').answer(UNAVAILABLE);
  wire.expectNothing();
  assert.equal(told.at(-1), 'refused a unavailable retrying');
  fire();
  wire.expect('join a').answer(OK);
  assert.equal(membership.current, 'a');
});

test('asking for another session ends the wait for a retry', () => {
  const { wire, timers, membership } = setUp();
  membership.request('a');
  wire.expect('join a').answer(NO_ANSWER);
  assert.equal(timers.size, 1);
  membership.request('b');
  assert.equal(timers.size, 0);
  wire.expect('join b').answer(OK);
});

test('a leave without an answer does not hold up the next join', () => {
  const { wire, membership } = setUp();
  membership.request('a');
  wire.expect('join a').answer(OK);
  membership.request('b');
  wire.expect('leave a').answer(NO_ANSWER);
  wire.expect('join b').answer(OK);
  assert.equal(membership.current, 'b');
});
