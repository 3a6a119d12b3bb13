// Backends that come and go, over plain HTTP/2. It does what stdin says, a line of JSON each, and answers each
// with a line once that is done.

import http2 from 'node:http2';
import net from 'node:net';
import readline from 'node:readline';

const MESSAGE = Buffer.from([0, 0, 0, 0, 0]);

// The ports that backends have, or have had.
const taken = new Set();

class Backend {
  sockets = new Set();
  sessions = new Set();
  // Those that wait for an answer.
  held = new Set();
  isIll = false;
  // How many connections it was asked for.
  asked = 0;
  listener = null;

  constructor(name) {
    this.name = name;
  }

  /** A port of its own, below those that systems give to clients: nobody takes it while the backend is down. */
  async findPort() {
    while (!this.listener) {
      this.port = 15000 + Math.floor(Math.random() * 15000);
      if (taken.has(this.port)) continue;
      taken.add(this.port);
      await this.well().catch(() => {});
    }
  }

  /** It answers. */
  async well() {
    this.isIll = false;
    if (this.listener?.isServing) return;
    const server = http2.createServer();
    server.isServing = true;
    server.on('session', (session) => {
      this.sessions.add(session);
      session.on('error', () => {});
      session.on('close', () => this.sessions.delete(session));
    });
    server.on('stream', (stream, headers) => this.answer(stream, headers));
    server.on('sessionError', () => {});
    await this.replace(server);
  }

  /** It fails each call with UNAVAILABLE. */
  ill() {
    this.isIll = true;
  }

  /** It accepts connections, and never says a word. */
  async mute() {
    const server = net.createServer();
    server.on('connection', (socket) => socket.resume());
    await this.replace(server);
  }

  /** This one listens from now on. The connections end only then: those that ask again find it. */
  async replace(server) {
    this.listener?.close();
    const before = [...this.sockets];
    await this.listen(server);
    for (const socket of before) socket.destroy();
  }

  listen(server) {
    server.on('connection', (socket) => {
      this.asked += 1;
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
    });
    return new Promise((resolve, reject) => {
      server.on('error', reject);
      server.listen(this.port, '127.0.0.1', () => {
        this.listener = server;
        resolve();
      });
    });
  }

  /** Its connections are gone, and its port refuses others. */
  async kill() {
    const { listener } = this;
    if (!listener) return;
    this.listener = null;
    const closed = new Promise((resolve) => listener.close(resolve));
    this.cut();
    await closed;
  }

  /** Its connections are gone. */
  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Its connections end once their calls have. */
  goaway() {
    for (const session of this.sessions) session.close();
  }

  /** Those that wait get their answer. */
  release() {
    for (const stream of this.held) this.succeed(stream);
    this.held.clear();
  }

  look() {
    return { asked: this.asked, held: this.held.size };
  }

  answer(stream, headers) {
    stream.on('error', () => {});
    stream.resume();
    const begin = { ':status': 200, 'content-type': 'application/grpc', backend: this.name };
    if (this.isIll) {
      stream.respond({ ...begin, 'grpc-status': 14 }, { endStream: true });
      return;
    }
    stream.respond(begin, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': 0 }));
    if (headers.hold) {
      this.held.add(stream);
      stream.on('close', () => this.held.delete(stream));
    } else {
      this.succeed(stream);
    }
  }

  succeed(stream) {
    stream.end(MESSAGE);
  }
}

const backends = new Map();

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, command, name, port } = JSON.parse(line);
  let answer = {};
  if (command === 'new') {
    const backend = new Backend(name);
    await backend.findPort();
    backends.set(backend.port, backend);
    answer = { port: backend.port };
  } else {
    answer = await backends.get(port)[command]();
  }
  console.log(JSON.stringify({ id, ...answer }));
});
process.stdin.on('end', () => process.exit());
