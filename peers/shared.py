"""What the peers in Python share: cases, channels, servers, and the lesson's own programs."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
from concurrent import futures

import grpc

ROOT = pathlib.Path(os.environ.get("COURSE", pathlib.Path(__file__).parent.parent))

# How long anything may take that should happen at once.
PATIENCE = 10

_failures = 0


class Unexpected(Exception):
    pass


@contextlib.contextmanager
def case(sentence):
    """Prints one line: what holds, or what doesn't. The script goes on in either case."""
    global _failures
    try:
        yield
    except Unexpected as error:
        _failures += 1
        print(f"NOT ok: {sentence}: {error}", flush=True)
    except grpc.RpcError as error:
        _failures += 1
        print(f"NOT ok: {sentence}: {error.code().name}: {error.details()!r}", flush=True)
    except Exception as error:
        _failures += 1
        print(f"NOT ok: {sentence}: {type(error).__name__}: {error}", flush=True)
    else:
        print(f"ok: {sentence}", flush=True)


def done():
    """The script's last line."""
    sys.exit(1 if _failures else 0)


def expect(expected, got):
    if expected != got:
        raise Unexpected(f"expected {expected!r}, got {got!r}")


def expect_in(part, whole):
    if part not in whole:
        raise Unexpected(f"expected {part!r} in {whole!r}")


def server_address(number=1):
    """Where the lesson's first server listens, or another one of them."""
    return sys.argv[number]


def channel(address=None, *options):
    """A channel to the lesson's server, past any proxy."""
    options = (("grpc.enable_http_proxy", 0), *options)
    return grpc.insecure_channel(address or server_address(), options=options)


def grpc_fails(code, call):
    """The error of `call`, which must fail with `code`. What it returns is read to its end."""
    try:
        got = call()
        if hasattr(got, "__next__"):
            got = list(got)
    except grpc.RpcError as error:
        expect(code, error.code())
        return error
    raise Unexpected(f"expected {code}, got {got!r}")


def metadata(entries, name):
    """The values of one name, in their order."""
    return [value for key, value in entries or () if key == name]


def server_says(part, since=0):
    """Waits until a line of the lesson's server contains `part`: which line, and its number."""
    log = pathlib.Path(os.environ["SERVER_LOG"])
    deadline = time.monotonic() + PATIENCE
    while True:
        lines = log.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines[since:], since):
            if part in line:
                return line, number
        if time.monotonic() > deadline:
            raise Unexpected(f"expected a line of the server with {part!r}, got {lines[since:]!r}")
        time.sleep(0.02)


def lesson_program(name, *words, stdin="", limit=60):
    """Runs a program of the lesson to its end. Returns its exit code and the lines on stdout and stderr."""
    program = pathlib.Path(os.environ["LESSON_PROGRAMS"]) / name
    ended = subprocess.run(
        [program, *words], input=stdin, capture_output=True, encoding="utf-8", timeout=limit, cwd=ROOT
    )
    return ended.returncode, ended.stdout.splitlines(), ended.stderr.splitlines()


def client_prints(expected, address, program="client"):
    """The lesson's own client succeeds against `address`, and prints these lines."""
    code, out, err = lesson_program(program, f"http://{address}")
    if code != 0:
        raise Unexpected(f"expected success, got {err!r} after {out!r}")
    expect(expected, out)


def page(lesson, command):
    """The lines that the page of a lesson shows below a command, the first time it does."""
    (folder,) = ROOT.glob(f"{lesson}-*")
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    begin = lines.index(f"$ {command}") + 1
    return lines[begin : lines.index("```", begin)]


@contextlib.contextmanager
def serving(*services, options=()):
    """A grpcio server on a free port, with each `(add_to_server, servicer)`. Gives its address."""
    server = grpc.server(futures.ThreadPoolExecutor(32), options=options)
    for add, servicer in services:
        add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def buf_curl(method, *messages, address=None):
    """Calls a method of a lesson's server by `buf curl`. Returns its exit code, its replies, and stderr."""
    words = ["curl", "--schema", str(ROOT / "protos"), "--protocol", "grpc", "--http2-prior-knowledge"]
    url = f"http://{address or server_address()}/{method}"
    ended = subprocess.run(
        [os.environ["BUF"], *words, "--data", "@-", url],
        input="\n".join(json.dumps(message) for message in messages),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    replies, rest = [], ended.stdout.strip()
    while rest:
        reply, end = json.JSONDecoder().raw_decode(rest)
        replies.append(reply)
        rest = rest[end:].strip()
    return ended.returncode, replies, ended.stderr
