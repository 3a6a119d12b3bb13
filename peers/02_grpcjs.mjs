// Server streaming of lesson 02 with grpc-js: replies as they come, and two ways to stop.

import fs from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { calculator, clientPrints } from './services.mjs';
import { address, done, expect, grpc, holds, plain, replies, within } from './shared.mjs';

const abacus = new calculator.v1.Calculator(address, plain);
const factors = (value, seconds = 20, take) =>
  replies(abacus.Factorize({ value }, new grpc.Metadata(), within(seconds)), take);
const values = (list) => list.map(({ value }) => value);

// Twice the product of two large primes: one factor at once, the next after seconds.
const HARD = '720000009600000014';

await holds('the factors of 12', async () => {
  expect(['2', '2', '3'], values((await factors('12')).replies));
});
await holds('0 is INVALID_ARGUMENT', async () => {
  const { code, details } = await factors('0');
  expect(['INVALID_ARGUMENT', 'every number divides 0: it has no prime factors'], [code, details]);
});
await holds('DEADLINE_EXCEEDED after one reply, and the search stops', async () => {
  const { code, replies } = await factors(HARD, 0.7);
  expect([['2'], 'DEADLINE_EXCEEDED'], [values(replies), code]);
  await serverSays(`${HARD}: the client went away`, 1);
});
await holds('cancelled after one reply, and the search stops', async () => {
  const { code, replies } = await factors(HARD, 20, 1);
  expect([['2'], 'CANCELLED'], [values(replies), code]);
  await serverSays(`${HARD}: the client went away`, 2);
});
await holds('our client on a grpc-js server prints what the page shows', () => clientPrints('02'));
done();

/** Waits until the server has said a line so many times. */
async function serverSays(line, times) {
  for (let patience = 500; patience > 0; patience -= 1) {
    const lines = fs.readFileSync(process.env.SERVER_LOG, 'utf8').split('\n');
    if (lines.filter((it) => it === line).length >= times) return;
    await setTimeout(20);
  }
  throw new Error(`expected a line of the server: ${line}`);
}
