// What the peers in Node.js share: cases, protos, and calls as promises.

import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// Not `import`: only this way are packages found that aren't above this folder.
const require = createRequire(import.meta.url);
export const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

export const ROOT = process.env.COURSE ?? fileURLToPath(new URL('..', import.meta.url));

/** Where the lesson's server listens. */
export const address = process.argv[2];

export const plain = grpc.credentials.createInsecure();

/** What a proto in `protos/` defines. */
export function load(file) {
  const options = { includeDirs: [path.join(ROOT, 'protos')], longs: String, defaults: true, oneofs: true };
  return grpc.loadPackageDefinition(loader.loadSync(file, options));
}

let failures = 0;

/** Prints one line: what holds, or what doesn't. */
export async function holds(sentence, check) {
  try {
    await check();
    console.log(`ok: ${sentence}`);
  } catch (error) {
    failures += 1;
    console.log(`NOT ok: ${sentence}: ${error.message}`);
  }
}

/** The script's last line. */
export function done() {
  process.exit(failures ? 1 : 0);
}

export function expect(expected, got) {
  if (!isDeepStrictEqual(expected, got)) {
    throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
  }
}

/** How long a call may take. */
export const within = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

/** How a call ended that has one reply: `{ reply }`, or `{ code, details, metadata }`. */
export function unary(client, method, request, { metadata = new grpc.Metadata(), seconds = 10 } = {}) {
  return new Promise((resolve) => {
    client[method](request, metadata, within(seconds), (error, reply) => resolve(ended(error, { reply })));
  });
}

/** The same for a call that sends many messages. */
export function upload(client, method, requests, { metadata = new grpc.Metadata(), seconds = 10 } = {}) {
  return new Promise((resolve) => {
    const call = client[method](metadata, within(seconds), (error, reply) => resolve(ended(error, { reply })));
    requests.forEach((request) => call.write(request));
    call.end();
  });
}

/** How a stream of replies ended: `{ replies }`, and the error if there was one. Cancelled after `take` of them. */
export function replies(call, take = Infinity) {
  return new Promise((resolve) => {
    const replies = [];
    call.on('data', (reply) => {
      replies.push(reply);
      if (replies.length >= take) call.cancel();
    });
    call.on('error', (error) => resolve(ended(error, { replies })));
    call.on('end', () => setImmediate(() => resolve({ replies })));
  });
}

function ended(error, result) {
  if (!error) return result;
  const { code, details, metadata } = error;
  return { ...result, code: grpc.status[code], details, metadata };
}
