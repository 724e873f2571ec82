// SPDX-License-Identifier: MIT
// The live page in a headless Chromium: what `talus emit` sends is seen.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { newBus, pageDir, startGateway, talus } from './support/program.mjs';

const EXECUTABLE = process.env.TALUS_CHROMIUM ?? '/usr/bin/chromium';

let bus, gateway, profile, context;

before(async () => {
  assert.ok(existsSync(pageDir), 'the page is built (npm run build in clients/web)');
  bus = await newBus();
  gateway = await startGateway(bus, ['--page', pageDir]);
  profile = await mkdtemp(path.join(tmpdir(), 'talus-chromium-'));
  context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    timeout: 120_000, // of the start alone
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await context?.close();
  await gateway?.stop();
  await bus?.remove();
  if (profile) await rm(profile, { recursive: true, force: true });
});

test('an event that `talus emit` sends appears in the page', async () => {
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  await page.goto(`${gateway.url}/`);
  await page.getByTestId('connection-state').getByText('connected', { exact: true }).waitFor();
  await page.getByTestId('session-input').fill('page-1');
  await page.getByTestId('join').click();
  await page.getByTestId('joined-session').getByText('page-1').waitFor();
  await page.getByTestId('transport').getByText('websocket').waitFor();

  const payload = '{"node_id": "n-7", "note": "<b>not bold</b>"}';
  const { code, lines } = await talus(bus, ['emit', 'page-1', 'node-updated', payload]);
  assert.equal(code, 0);
  const row = page.locator('[data-testid=event-row][data-type=node-updated]');
  await row.waitFor();
  assert.equal(await row.getAttribute('data-event-id'), lines[0]);
  assert.match(await row.textContent(), /<b>not bold<\/b>/);
  assert.equal(await page.locator('b', { hasText: 'not bold' }).count(), 0);
  assert.deepEqual(problems, []);
  if (process.env.TALUS_SCREENSHOT) await page.screenshot({ path: process.env.TALUS_SCREENSHOT });
  await page.close();
});

test('a session in the address is joined, and a restart of the gateway is survived', async () => {
  const page = await context.newPage();
  await page.goto(`${gateway.url}/?session=page-2`);
  await page.getByTestId('joined-session').getByText('page-2').waitFor();
  // A client whose upgrade is cut off midway has paused its polling, and notices by its ping timeout only.
  await page.getByTestId('transport').getByText('websocket').waitFor();
  const { port } = gateway;
  await gateway.stop();
  await page.getByTestId('connection-state').getByText(/reconnecting|disconnected/).waitFor();
  gateway = await startGateway(bus, ['--page', pageDir, '--listen', `127.0.0.1:${port}`]);
  await page.getByTestId('connection-state').getByText('connected', { exact: true }).waitFor();
  await page.getByTestId('joined-session').getByText('page-2').waitFor();
  // The page joins again by itself: emit until it is in the session.
  const row = page.locator('[data-testid=event-row][data-type=back]');
  for (let tries = 0; tries < 50 && (await row.count()) === 0; tries++) {
    await talus(bus, ['emit', 'page-2', 'back', '{}']);
    await row.first().waitFor({ timeout: 1000 }).catch(() => {});
  }
  assert.ok((await row.count()) > 0);
  await page.close();
});
