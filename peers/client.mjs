// A client that does what stdin says, a line of JSON each, and answers each with a line: see clients.py.

import readline from 'node:readline';
import { grpc } from './shared.mjs';

const asIs = (bytes) => bytes;
const clients = new Map();

const commands = {
  open({ channel, target, config }) {
    const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
      'grpc.service_config': config,
      'grpc.enable_retries': 1,
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.default_authority': 'test',
      // Short: its pick_first passes over addresses that still wait from another time.
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 50,
    });
    clients.set(channel, client);
    return {};
  },

  call({ channel, path, metadata, wait, seconds }) {
    const sent = new grpc.Metadata({ waitForReady: wait });
    for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
    const deadline = Date.now() + seconds * 1000;
    return new Promise((resolve) => {
      let backend = null;
      const look = (received) => {
        backend = received?.get('backend')[0] ?? backend;
      };
      const ended = (error) => {
        look(error?.metadata);
        resolve({ code: error?.code ?? 0, backend });
      };
      const client = clients.get(channel);
      const call = client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), sent, { deadline }, ended);
      call.on('metadata', look);
    });
  },

  async bench({ channel, seconds, in_flight: inFlight }) {
    const end = Date.now() + seconds * 1000;
    const client = clients.get(channel);
    const path = '/greeter.v1.Greeter/Greet';
    let calls = 0;
    const caller = async () => {
      while (Date.now() < end) {
        await new Promise((resolve, reject) => {
          const ended = (error) => (error ? reject(error) : resolve());
          client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), ended);
        });
        calls += 1;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, caller));
    return { calls };
  },

  state({ channel }) {
    const state = clients.get(channel).getChannel().getConnectivityState(false);
    return { state: grpc.connectivityState[state] };
  },

  close({ channel }) {
    clients.get(channel).close();
    return {};
  },
};

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, command, ...more } = JSON.parse(line);
  console.log(JSON.stringify({ id, ...(await commands[command](more)) }));
});
process.stdin.on('end', () => process.exit());
