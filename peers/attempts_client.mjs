// Makes the calls that stdin names, a line of JSON each, with a service config. Prints the code of each.

import readline from 'node:readline';
import { grpc } from './shared.mjs';

const [address, config, prefix] = process.argv.slice(2);
const bytes = { serialize: (it) => it, deserialize: (it) => it };
const Client = grpc.makeClientConstructor(
  { Call: { path: '/test.Test/Call', requestStream: false, responseStream: false, ...plainBytes() } },
  'test.Test',
);

function plainBytes() {
  return {
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  };
}

const client = new Client(address, grpc.credentials.createInsecure(), {
  'grpc.service_config': config,
  'grpc.enable_retries': 1,
  'grpc.enable_http_proxy': 0,
});

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { call, script } = JSON.parse(line);
  const metadata = new grpc.Metadata();
  metadata.set('call', `${prefix}${call}`);
  metadata.set('script', script);
  const deadline = Date.now() + 5000;
  const code = await new Promise((resolve) => {
    client.Call(Buffer.alloc(0), metadata, { deadline }, (error) => resolve(error?.code ?? 0));
  });
  console.log(JSON.stringify({ call, code }));
}
client.close();
