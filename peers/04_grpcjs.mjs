// Bidirectional streaming of lesson 04 with grpc-js: a running maximum, and a guest in the chat.

import { calculator, chat, clientPrints } from './services.mjs';
import { address, done, expect, grpc, holds, plain, replies, within } from './shared.mjs';

const abacus = new calculator.v1.Calculator(address, plain);
const room = new chat.v1.Chat(address, plain);

await holds('a running maximum', async () => {
  const call = abacus.Maximum(new grpc.Metadata(), within(10));
  [1, 5, 2].forEach((value) => call.write({ value }));
  call.end();
  expect([1, 5, 5], (await replies(call)).replies.map(({ value }) => value));
});
await holds('a reply, then INVALID_ARGUMENT', async () => {
  const call = abacus.Maximum(new grpc.Metadata(), within(10));
  [1, NaN].forEach((value) => call.write({ value }));
  const { code, replies: got } = await replies(call);
  expect([[{ value: 1 }], 'INVALID_ARGUMENT'], [got, code]);
});
await holds('two guests hear each other', async () => {
  const [ann, bob] = ['Ann', 'Bob'].map(() => room.Talk(new grpc.Metadata(), within(10)));
  const heard = [];
  ann.on('error', () => {});
  ann.write({ speaker: 'Ann' });
  await new Promise((resolve) => ann.on('metadata', resolve));
  const bobIsGone = new Promise((resolve) => {
    ann.on('data', ({ speaker, text }) => {
      heard.push(`${speaker || '*'}: ${text}`);
      if (text === 'Bob leaves') resolve();
    });
  });
  bob.write({ speaker: 'Bob' });
  bob.write({ text: 'Hello, Ann.' });
  bob.end();
  await replies(bob);
  await bobIsGone;
  ann.end();
  expect(['*: Bob joins', 'Bob: Hello, Ann.', '*: Bob leaves'], heard);
});
await holds('our client on a grpc-js server prints what the page shows', () => clientPrints('04'));
done();
