// The course's services as grpc-js serves them: the same rules, once more.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ROOT, expect, grpc, load } from './shared.mjs';

export const { calculator, helloworld, chat } = {
  ...load('calculator.proto'),
  ...load('helloworld.proto'),
  ...load('chat.proto'),
};

const invalid = (details) => ({ code: grpc.status.INVALID_ARGUMENT, details });

const greeter = {
  SayHello: ({ request }, answer) => answer(null, { message: `Hello, ${request.name}!` }),
  SayHelloAgain: ({ request }, answer) => answer(null, { message: `Hello again, ${request.name}!` }),
};

const abacus = {
  SquareRoot({ request: { value } }, answer) {
    if (value >= 0) answer(null, { value: Math.sqrt(value) });
    else answer(invalid(`no real number is the square root of ${value}`));
  },

  Factorize(call) {
    let rest = BigInt(call.request.value);
    if (rest === 0n) {
      call.emit('error', invalid('every number divides 0: it has no prime factors'));
      return;
    }
    for (const divisor of [2n, 3n, 5n, 7n]) {
      for (; rest % divisor === 0n; rest /= divisor) call.write({ value: String(divisor) });
    }
    // What is left of a number that is too hard here is never answered: the client is to hang up.
    if (rest > 10n ** 17n) return;
    if (rest > 1n) call.write({ value: String(rest) });
    call.end();
  },

  Summarize(call, answer) {
    const values = [];
    call.on('data', ({ value }) => {
      values.push(value);
      if (!Number.isFinite(value)) answer(invalid(`reading ${values.length} is ${value}, not a finite number`));
    });
    call.on('end', () => {
      if (!values.length) return answer(invalid('no readings, no summary'));
      const mean = values.reduce((sum, value) => sum + value) / values.length;
      answer(null, { count: values.length, mean, minimum: Math.min(...values), maximum: Math.max(...values) });
    });
  },

  Maximum(call) {
    let largest = -Infinity;
    call.on('data', ({ value }) => {
      largest = Math.max(largest, value);
      call.write({ value: largest });
    });
    call.on('end', () => call.end());
  },
};

const guests = new Map();

const room = {
  Talk(call) {
    let name;
    // Before anybody says anything: a guest is in the room when the headers come.
    call.sendMetadata(new grpc.Metadata());
    const tell = (line) => guests.forEach((guest, other) => other === name || guest.write(line));
    call.on('data', ({ speaker, text }) => {
      if (name) return tell({ speaker: name, text });
      name = speaker;
      tell({ text: `${name} joins` });
      guests.set(name, call);
    });
    call.on('end', () => {
      guests.delete(name);
      tell({ text: `${name} leaves` });
      call.end();
    });
  },
};

/** Runs `check` with the address of a grpc-js server that has all of these services. */
export async function serving(check) {
  const server = new grpc.Server();
  server.addService(helloworld.Greeter.service, greeter);
  server.addService(calculator.v1.Calculator.service, abacus);
  server.addService(chat.v1.Chat.service, room);
  const credentials = grpc.ServerCredentials.createInsecure();
  const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
  try {
    await check(`127.0.0.1:${port}`);
  } finally {
    server.forceShutdown();
  }
}

/** The lesson's own client succeeds on a grpc-js server, and prints what its page shows, perhaps with a change. */
export async function clientPrints(lesson, change = (lines) => lines) {
  await serving(async (address) => {
    const program = path.join(process.env.LESSON_PROGRAMS, 'client');
    const [error, out, err] = await new Promise((resolve) => {
      execFile(program, [`http://${address}`], { timeout: 60_000 }, (...result) => resolve(result));
    });
    if (error) throw new Error(`expected success, got ${JSON.stringify(err)} after ${JSON.stringify(out)}`);
    expect(change(page(lesson, `cargo ${lesson} client`)), out.trimEnd().split('\n'));
  });
}

/** The lines that the page of a lesson shows below a command, the first time it does. */
function page(lesson, command) {
  const folder = fs.readdirSync(ROOT).find((name) => name.startsWith(`${lesson}-`));
  const lines = fs.readFileSync(path.join(ROOT, folder, 'README.md'), 'utf8').split(/\r?\n/);
  const begin = lines.indexOf(`$ ${command}`) + 1;
  return lines.slice(begin, lines.indexOf('```', begin));
}
