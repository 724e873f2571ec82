// SPDX-License-Identifier: MIT
// socket.io-client in Chromium: the newest and the oldest 4.x, over each transport.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { newBus, startGateway, startService } from './support/program.mjs';
import { TRANSPORTS } from './support/client.mjs';

const EXECUTABLE = process.env.TALUS_CHROMIUM ?? '/usr/bin/chromium';
const BUNDLES = {
  'newest 4.x': 'node_modules/socket.io-client/dist/socket.io.min.js',
  '4.0.0': 'node_modules/socket.io-client-4.0/dist/socket.io.min.js',
};

let bus, gateway, service, browser;

before(async () => {
  bus = await newBus();
  gateway = await startGateway(bus);
  service = startService(bus);
  await service.line(/^ready/);
  browser = await chromium.launch({
    executablePath: EXECUTABLE,
    timeout: 120_000, // of the start alone
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await gateway?.stop();
  await bus?.remove();
});

for (const [version, bundle] of Object.entries(BUNDLES)) {
  const script = readFileSync(new URL(bundle, import.meta.url), 'utf8');
  for (const [transport, options] of Object.entries(TRANSPORTS)) {
    test(`socket.io-client ${version} in Chromium with ${transport}`, async () => {
      const session = `chromium-${version}-${transport}`.replaceAll(' ', '-');
      const page = await browser.newPage();
      // Any page of the gateway's origin will do, and this one has no policy against scripts.
      await page.goto(`${gateway.url}/api/v1/health`);
      await page.addScriptTag({ content: script });
      const joined = await page.evaluate(
        ([nsp, settings, session_id]) =>
          new Promise((resolve, reject) => {
            const socket = globalThis.io(nsp, settings);
            globalThis.seen = [];
            globalThis.socket = socket;
            socket.onAny((...args) => globalThis.seen.push(args));
            socket.on('connect_error', reject);
            socket.on('connect', () => socket.emit('join_session', { session_id }, (answer) => resolve({ answer, id: socket.id })));
          }),
        [`${gateway.url}/graph`, options, session],
      );
      assert.equal(joined.answer.session_id, session);
      assert.equal(joined.answer.client_id, joined.id);
      if (transport !== 'polling alone') await page.waitForFunction(() => globalThis.socket.io.engine.transport.name === 'websocket');
      service.write(`typed ${session}\nbinary ${session} blob\n`);
      await page.waitForFunction(() => globalThis.seen.some(([type]) => type === 'blob'));
      const seen = await page.evaluate(() =>
        globalThis.seen
          .filter((args) => typeof args.at(-1) === 'string')
          .map(([type, data, id]) => [type, type === 'blob' ? [...new Uint8Array(data.bytes)] : data, id]),
      );
      assert.equal(seen.length, 15);
      assert.deepEqual(seen[13].slice(0, 2), ['external_template_update', { session_id: session, template_id: 't1' }]);
      assert.deepEqual(seen[14].slice(0, 2), ['blob', [0, 1, 255, 128, 127]]);
      const seqs = seen.map(([, , id]) => Number(id.split('.')[1]));
      seqs.forEach((seq, i) => assert.equal(seq, seqs[0] + i));
      assert.equal(await page.evaluate(() => globalThis.socket.io.engine.transport.name), transport === 'polling alone' ? 'polling' : 'websocket');
      await page.close();
    });
  }
}
