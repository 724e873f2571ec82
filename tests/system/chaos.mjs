// SPDX-License-Identifier: MIT
// Breaks things for a while, lets them settle, and checks that nothing was lost in silence:
//   node chaos.mjs [SECONDS] [--seed N] [--clients N] [--light N] [--crowd N] [--rate N]
//                  [--only KIND]… [--every MS] [--keep]
// with that many official clients, light ones, and light ones that come back all at once, and events
// a second. support/plan.mjs says what is broken, how often, and what alone with --only; support/world.mjs what
// there is, support/consumer.mjs and support/gaps.mjs what is checked. The exit status is 1 if
// anything is unexplained; then the logs are kept, and so they are with --keep. Beside them gaps.json
// names the needless gaps, by cause.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { within } from '../e2e/support/deadline.mjs';
import { BreakableWorld } from './support/breaking.mjs';
import { makePlan } from './support/plan.mjs';
import { SIZE } from './support/world.mjs';

const SETTLE_MS = 60_000; // for what is owed to come; more than any time-out of the bus
const END_MS = 120_000; // for all programs to end
const LOOK_MS = 500; // between two looks whether it has
const SHOWN = 20; // problems in the report

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      clients: { type: 'string', default: '90' },
      light: { type: 'string', default: '120' },
      crowd: { type: 'string', default: '200' },
      every: { type: 'string', default: '600' },
      only: { type: 'string', multiple: true, default: [] },
      rate: { type: 'string', default: '60' },
      keep: { type: 'boolean', default: false },
    },
  });
  const numbers = { seconds: positionals[0] ?? 60, seed: values.seed, clients: values.clients, light: values.light, crowd: values.crowd, rate: values.rate, every: values.every };
  for (const [name, value] of Object.entries(numbers)) {
    numbers[name] = Number(value);
    if (!(numbers[name] >= 0)) throw new Error(`${name}: ${value} is no number`);
  }
  return { ...numbers, only: values.only, keep: values.keep };
}

async function breakThings(world, plan, seconds) {
  const begin = performance.now();
  for (const step of [...plan, { at: seconds * 1000 }]) {
    await wait(step.at - (performance.now() - begin));
    if (world.failure) throw world.failure;
    if (step.what) world.apply(step);
  }
}

/**
 * Looks until everything that is owed has come, or the time is over; gives what is still owed. The first look reads
 * what has come in all the time before, which may take minutes, and counts for nothing.
 */
async function settle(world) {
  await world.settle();
  await world.check();
  for (const until = performance.now() + SETTLE_MS; ; await wait(LOOK_MS)) {
    if (world.failure) throw world.failure;
    await world.check();
    const owed = await world.owed();
    for await (const problem of world.ghosts()) owed.push(problem);
    if (owed.length === 0 || performance.now() > until) return owed;
  }
}

function summary(world, problems, seed) {
  const sum = { deliveries: 0, told: 0, empty: 0, recoveries: 0, anew: 0, resumed: 0, implied: 0, unproven: 0, again: 0 };
  const gaps = {};
  for (const { consumer } of world.logs) {
    for (const key of Object.keys(sum)) sum[key] += consumer.counts[key];
    for (const [reason, count] of Object.entries(consumer.counts.gaps)) gaps[reason] = (gaps[reason] ?? 0) + count;
  }
  const { kills, ends, stops, stalls, cuts, silences, healed, replayed, shortLives, floods, flooded } = world.counts;
  const metric = (name) => world.metrics[`talus_${name}_total`] ?? 0;
  return [
    `seed         ${seed}`,
    `events       ${world.emitted.count} by ${[...world.emitted.origins.values()].filter((each) => each.isOurs).length} broadcasters; ${world.emitted.refused} refused by full queues`,
    `deliveries   ${sum.deliveries} to ${world.logs.length} consumers`,
    `broken       ${kills} killed, ${ends} ended, ${stops} stopped, ${cuts} connections cut, ${silences} fell silent; ${stalls} stalls, ${metric('slow_clients')} slow clients closed`,
    `beside it    ${shortLives} short lives of broadcasters; ${floods} floods of ${flooded} events`,
    `deaths       ${Object.entries(world.processes.deaths).map(([kind, count]) => `${count} of a ${kind}`).join(', ') || 'none'} that the plan did not cause, of ${world.processes.watched} processes`,
    `came back    ${sum.recoveries} recovered, ${sum.anew} anew; ${metric('not_recovered')} that asked to were not recovered, ${metric('taken_over')} took their own place`,
    `gaps told    ${Object.entries(gaps).map(([reason, count]) => `${count} ${reason}`).join(', ') || 'none'}: ${sum.told} events, ${sum.empty} of none`,
    `needless     ${world.accounts.needless} gaps of ${world.accounts.needless + world.accounts.needed}: ${[...world.accounts.lines()].map(([cause, count, bound]) => `${cause} ${count} (bound ${bound})`).join(', ') || 'none'}`,
    `healed       ${metric('bus_healed')} by gateways, ${healed} by the subscriber; ${replayed} replayed; ${metric('bus_holes')} holes seen by gateways`,
    `joins        ${sum.resumed} with since, ${sum.unproven} of them not proven (${sum.again} events came again), ${sum.implied} with the offset of a CONNECT; ${metric('bus_join_incomplete')} incomplete`,
    `unexplained  ${problems.length}`,
  ].join('\n');
}

function describe({ consumer, session, origin, what, expected, came }) {
  const show = (value) => (Array.isArray(value) && value.length > 12 ? `${JSON.stringify(value.slice(0, 12))}… ${value.length}` : JSON.stringify(value));
  return `${consumer}, session "${session}"${origin && `, origin ${origin}`}: ${what}; expected ${show(expected)}, came ${show(came)}`;
}

const { seconds, seed, clients, light, crowd, rate, every, only, keep } = options();
const folder = await mkdtemp(path.join(tmpdir(), 'talus-chaos-'));
const plan = makePlan(seed, seconds, { ...SIZE, clients }, { only, every });
const problems = [];
const fail = (error) => problems.push({ consumer: 'the run', session: '', origin: '', what: 'failed', expected: 'no error', came: error.stack });
const world = new BreakableWorld({ folder, seed, clients, light, crowd, rate, keep }, (problem) => problems.push(problem));
// Whatever happens here, what was started is ended.
process.on('uncaughtException', (error) => (world.failure ??= error));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => (world.failure ??= new Error(signal)));
console.log(`chaos: ${seconds} s, seed ${seed}, logs in ${folder}`);
await writeFile(path.join(folder, 'plan.json'), plan.map((step) => JSON.stringify(step)).join('\n'));
try {
  await world.start();
  await breakThings(world, plan, seconds);
  problems.push(...(await settle(world)));
  problems.push(...world.accounts.problems());
  for (const gateway of world.gateways) await world.sample(gateway);
} catch (error) {
  fail(error);
}
for (const error of await within(world.stop(), 'end of all programs', END_MS).catch((error) => [error])) fail(error);
console.log(summary(world, problems, seed));
for (const problem of problems.slice(0, SHOWN)) console.log(describe(problem));
if (problems.length > SHOWN) console.log(`… and ${problems.length - SHOWN} more in problems.json`);
if (problems.length > 0) await writeFile(path.join(folder, 'problems.json'), JSON.stringify(problems, null, 1));
if (problems.length > 0 || keep) {
  await writeFile(path.join(folder, 'gaps.json'), JSON.stringify(Object.fromEntries([...world.accounts.causes].map(([cause, { examples }]) => [cause, examples])), null, 1));
  console.log(`logs: ${folder}`);
}
else await rm(folder, { recursive: true });
process.exit(problems.length > 0 ? 1 : 0);
