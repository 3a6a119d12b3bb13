// A server that answers each attempt of a call as the call's script says, over plain HTTP/2. The script is
// the header `script`: actions, one for each attempt, with commas between. After the last one it's `ok`.
// For each attempt it prints a line of JSON.

import http2 from 'node:http2';

const MESSAGE = Buffer.from([0, 0, 0, 0, 0]);
const seen = new Map();

const begin = { ':status': 200, 'content-type': 'application/grpc' };

/** Ends a call in one block of headers. */
function ends(stream, code, more = {}) {
  stream.respond({ ...begin, 'grpc-status': code, ...more }, { endStream: true });
}

/** Headers, messages, then the status. */
function answers(stream, code, messages) {
  stream.respond(begin, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': code }));
  for (let i = 0; i < messages; i += 1) stream.write(MESSAGE);
  stream.end();
}

/** The connection ends once this has arrived: the answer to a ping says so. */
function cutsAfter(stream, says) {
  says();
  stream.session.ping(() => stream.session.destroy());
}

const actions = {
  ok: (stream) => answers(stream, 0, 1),
  fail: (stream, code) => ends(stream, code),
  push: (stream, code, pushback) => ends(stream, code, { 'grpc-retry-pushback-ms': pushback }),
  headers: (stream, code) => answers(stream, code, 0),
  message: (stream, code) => answers(stream, code, 1),
  refuse: (stream) => stream.close(http2.constants.NGHTTP2_REFUSED_STREAM),
  reset: (stream) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
  cut: (stream) => stream.session.destroy(),
  'cut-headers': (stream) => cutsAfter(stream, () => stream.respond(begin)),
  'cut-message': (stream) => cutsAfter(stream, () => {
    stream.respond(begin);
    stream.write(MESSAGE);
  }),
  hang: () => {},
  goaway: (stream) => {
    // Nothing above the stream before this one was looked at. Node can't say so of the first.
    if (stream.id > 1) stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR, stream.id - 2);
    else ends(stream, 14);
    stream.session.close();
  },
};

const server = http2.createServer();
server.on('sessionError', () => {});
server.on('stream', (stream, headers) => {
  const now = performance.now();
  stream.on('error', () => {});
  stream.resume();
  const number = seen.get(headers.call) ?? 0;
  seen.set(headers.call, number + 1);
  const action = headers.script.split(',')[number] ?? 'ok';
  const [name, code, pushback] = action.split(':');
  const previous = headers['grpc-previous-rpc-attempts'] ?? null;
  console.log(JSON.stringify({ call: headers.call, previous, at: now }));
  actions[name](stream, code, pushback);
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ address: `127.0.0.1:${server.address().port}` })));
process.stdin.on('end', () => process.exit()).resume();
