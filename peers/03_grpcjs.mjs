// Client streaming of lesson 03 with grpc-js: one answer to many readings, sometimes an early one.

import { calculator, clientPrints } from './services.mjs';
import { address, done, expect, grpc, holds, plain, upload, within } from './shared.mjs';

const abacus = new calculator.v1.Calculator(address, plain);
const readings = (...values) => values.map((value) => ({ value }));

await holds('a summary of three readings', async () => {
  const { reply } = await upload(abacus, 'Summarize', readings(1, 2, 6));
  expect({ count: '3', mean: 3, minimum: 1, maximum: 6 }, reply);
});
await holds('no readings: INVALID_ARGUMENT', async () => {
  expect('INVALID_ARGUMENT', (await upload(abacus, 'Summarize', [])).code);
});
await holds('a reading that is refused ends an upload that never would', async () => {
  const [code, details] = await new Promise((resolve) => {
    const call = abacus.Summarize(new grpc.Metadata(), within(10), (error) =>
      resolve([grpc.status[error?.code ?? 0], error?.details]),
    );
    readings(1, NaN).forEach((reading) => call.write(reading));
  });
  expect(['INVALID_ARGUMENT', 'reading 2 is NaN, not a finite number'], [code, details]);
});
await holds('our client on a grpc-js server prints what the page shows, but for the end', () =>
  // This server doesn't reset an upload that it has answered.
  clientPrints('03', (lines) => [...lines.slice(0, -1), 'no word on further readings']),
);
done();
