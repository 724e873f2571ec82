// SPDX-License-Identifier: MIT
// join_session with `since`, the event of a broadcaster that does not answer: one gap over what is
// missing, and none where nothing is; and the broadcaster's loss is told once.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { Proxy } from '../system/support/proxy.mjs';
import { ask, connected, joined, settled } from './support/client.mjs';
import { next } from './support/deadline.mjs';
import { emitted, startAll, startGateway, startService, stopAll } from './support/program.mjs';

let bus, service, idle; // the service is on the bus, so that it does answer
let proxy, remote, gateway; // the one over tcp, which will not, and a gateway that has met both

before(async () => ({ bus, gateway: idle, service } = await startAll()));

after(() => stopAll({ bus, gateway: idle, service }));

beforeEach(async (t) => {
  proxy = await Proxy.start();
  const { port } = await Proxy.start().then(async (free) => (await free.stop(), free));
  proxy.target = port;
  remote = startService({ env: { TALUS_BUS: `tcp://127.0.0.1:${port}` } });
  gateway = await startGateway(bus, ['--bus', `tcp://127.0.0.1:${proxy.port}`, '--bus', bus.endpoint, '--recovery-bytes', '20000']);
  await remote.line(/^ready/);
  t.after(async () => {
    await gateway.stop();
    await remote.stop();
    await proxy.stop();
  });
});

/** Has a service emit a step, and gives its event id. */
function step(session, n, by) {
  return emitted(by, `emit ${session} step ${n}`);
}

/** The seqs of two ids that a gap names, and its reason; '' where it names none. */
const gapOf = ({ after, first, reason }) => [after, first].map((id) => id.split('.')[1] ?? '').concat(reason);

const gaps = (socket) => socket.log.filter(([type]) => type === 'gap').map(([, data]) => gapOf(data));

/** The remote service sends steps 1 and 2 to a session; gives their ids once the gateway has heard of them. */
async function sendTwo(session) {
  const ids = [await step(session, 1, remote), await step(session, 2, remote)];
  const witness = await joined(gateway.url, session); // it is told what is newest, and nothing else
  return { ids, witness };
}

/** Joins with `since`, which the remote service does not answer any more. */
async function joinedLost(session, since) {
  proxy.isShut = true; // nothing tells whether it comes back
  await remote.stop('SIGKILL');
  const socket = await connected(gateway.url, { transports: ['websocket'] });
  const answer = ask(socket, 'join_session', { session_id: session, since });
  return { socket, answer };
}

test('what the session has of it is what is missing, and its loss is told once', async () => {
  const { ids, witness } = await sendTwo('lost');
  const { socket, answer } = await joinedLost('lost', ids[0]);
  await answer;
  await settled(socket);
  assert.deepEqual(gaps(socket), [['1', '3', 'origin_lost']]);
  if (gaps(witness).length === 0) await next(witness, 'gap');
  await settled(socket);
  assert.deepEqual(gaps(witness), [['2', '', 'origin_lost']]);
  assert.deepEqual(gaps(socket), [['1', '3', 'origin_lost'], ['2', '', 'origin_lost']]);
  socket.disconnect();
  witness.disconnect();
});

test('who has all that the session has of it is told of no loss yet', async () => {
  const { ids, witness } = await sendTwo('whole');
  const arrived = next(witness, 'step', (data) => data.n === 3);
  await step('whole', 3, service); // so that the remote one's is not the newest
  await arrived;
  const { socket, answer } = await joinedLost('whole', ids[1]);
  await answer;
  await settled(socket);
  assert.deepEqual(gaps(socket), [['', '', 'history']]); // there is another one
  socket.disconnect();
  witness.disconnect();
});

test('where too much comes while it is waited for, one gap says it', async () => {
  const { ids, witness } = await sendTwo('much');
  const { socket, answer } = await joinedLost('much', ids[0]);
  const from = service.lines.length;
  service.write('flood much 1000 0\n'); // more than --recovery-bytes keeps
  await service.line(/^flooded/, from);
  await answer;
  await settled(socket);
  const ofRemote = gaps(socket).filter(([after]) => after !== '');
  assert.deepEqual(ofRemote, [['1', '3', 'origin_lost']]);
  socket.disconnect();
  witness.disconnect();
});

// A gateway that starts after the broadcaster's end has never heard of it, nor of what it sent.
test('an offset of CONNECT whose broadcaster was the only one, and is gone, is a gap', async (t) => {
  let own = await startGateway(bus);
  const { port } = own;
  t.after(() => own.stop());
  const gone = startService(bus);
  t.after(() => gone.stop());
  await gone.line(/^ready/);
  const socket = await connected(own.url, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
  t.after(() => socket.disconnect());
  const arrived = next(socket, 'step');
  await ask(socket, 'join_session', { session_id: 'sole' });
  const newest = await step('sole', 1, gone);
  await arrived;
  const back = new Promise((resolve) => socket.once('connect', resolve));
  await own.stop('SIGKILL');
  await step('sole', 2, gone);
  await gone.stop('SIGKILL');
  own = await startGateway(bus, ['--listen', `127.0.0.1:${port}`]);
  await back;
  await ask(socket, 'join_session', { session_id: 'sole' });
  await settled(socket);
  assert.deepEqual(gaps(socket), [[newest.split('.')[1], '', 'origin_lost']]);
});
