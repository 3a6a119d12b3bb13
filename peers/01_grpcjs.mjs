// Unary calls of lesson 01 with grpc-js: its client on our server, and our client on its server.

import { calculator, clientPrints, helloworld } from './services.mjs';
import { address, done, expect, grpc, holds, plain, unary } from './shared.mjs';

const greeter = new helloworld.Greeter(address, plain);
const abacus = new calculator.v1.Calculator(address, plain);

await holds('a greeting', async () => {
  expect({ message: 'Hello, Zoë 🙂!' }, (await unary(greeter, 'SayHello', { name: 'Zoë 🙂' })).reply);
});
await holds('the square root of 16 is 4', async () => {
  expect({ value: 4 }, (await unary(abacus, 'SquareRoot', { value: 16 })).reply);
});
await holds('the square root of -4 is INVALID_ARGUMENT, with a sentence', async () => {
  const { code, details } = await unary(abacus, 'SquareRoot', { value: -4 });
  expect(['INVALID_ARGUMENT', 'no real number is the square root of -4'], [code, details]);
});
await holds('a method that nobody has written: UNIMPLEMENTED', async () => {
  expect('UNIMPLEMENTED', (await unary(abacus, 'Divide', { left: 1, right: 2 })).code);
});
await holds('cancelled before it is sent: CANCELLED', async () => {
  const code = await new Promise((resolve) => {
    const call = abacus.SquareRoot({ value: 16 }, (error) => resolve(grpc.status[error?.code ?? 0]));
    call.cancel();
  });
  expect('CANCELLED', code);
});
await holds('our client on a grpc-js server prints what the page shows', () => clientPrints('01'));
done();
