"""The clients that are compared: conform's channel, grpcio's and grpc-js's. All are told the same:

open    a channel of this name, to a target, with a service config
call    a unary call of no bytes: what code it got, and the `backend` that answered, by its metadata
state   the state of a channel
bench   calls of a greeter for so many seconds, with so many in flight: how many there were
close   a channel
"""

import asyncio
import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import threading
import time
from concurrent.futures import Future

import grpc
from shared import ROOT

HERE = pathlib.Path(__file__).parent

# How long anything that was asked for may take.
LIMIT = 120


class Program:
    """A program that is told by lines of JSON, and answers each by a line, in any order."""

    def __init__(self, *words):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        self.numbers = itertools.count()
        self.waiting = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.read, daemon=True).start()

    def start(self, command, **more):
        """Says what to do. The answer comes later."""
        future = Future()
        with self.lock:
            number = next(self.numbers)
            self.waiting[number] = future
            self.process.stdin.write(json.dumps({"id": number, "command": command, **more}) + "\n")
            self.process.stdin.flush()
        return future

    def do(self, command, **more):
        return self.start(command, **more).result(LIMIT)

    def read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            self.waiting.pop(answer.pop("id")).set_result(answer)
        for future in list(self.waiting.values()):
            future.set_exception(RuntimeError(f"{self.process.args[0]} has ended"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)


class Grpcio:
    """grpcio, told in the same way."""

    def __init__(self):
        self.channels = {}
        self.states = {}
        # What each channel is made of.
        self.made_of = {}

    def start(self, command, **more):
        future = Future()
        getattr(self, command)(future, **more)
        return future

    def do(self, command, **more):
        return self.start(command, **more).result(LIMIT)

    def open(self, future, channel, target, config):
        options = {
            "grpc.service_config": config,
            "grpc.enable_retries": 1,
            "grpc.enable_http_proxy": 0,
            "grpc.use_local_subchannel_pool": 1,
            "grpc.default_authority": "test",
            # Not shorter: its round_robin begins anew after each attempt that fails.
            "grpc.initial_reconnect_backoff_ms": 1000,
            "grpc.max_reconnect_backoff_ms": 1000,
        }
        self.made_of[channel] = (target, list(options.items()))
        self.channels[channel] = grpc.insecure_channel(*self.made_of[channel])

        def changed(state):
            self.states[channel] = state.name
            if not future.done():
                future.set_result({})

        self.channels[channel].subscribe(changed)

    def call(self, future, channel, path, metadata, wait, seconds):
        method = self.channels[channel].unary_unary(path, _registered_method=True)
        call = method.future(b"", seconds, list(metadata.items()), wait_for_ready=wait)

        def ended(call):
            received = dict([*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())])
            future.set_result({"code": call.code().value[0], "backend": received.get("backend")})

        call.add_done_callback(ended)

    def bench(self, future, channel, seconds, in_flight):
        """By the quicker of its ways: blocking calls if there is one at a time, otherwise asyncio."""
        path = "/greeter.v1.Greeter/Greet"
        if in_flight == 1:
            method = self.channels[channel].unary_unary(path, _registered_method=True)
            end = time.monotonic() + seconds
            calls = 0
            while time.monotonic() < end:
                method(b"")
                calls += 1
        else:
            calls = asyncio.run(self.many(channel, path, seconds, in_flight))
        future.set_result({"calls": calls})

    async def many(self, channel, path, seconds, in_flight):
        async with grpc.aio.insecure_channel(*self.made_of[channel]) as channel:
            method = channel.unary_unary(path, _registered_method=True)
            await method(b"")
            end = time.monotonic() + seconds

            async def caller():
                calls = 0
                while time.monotonic() < end:
                    await method(b"")
                    calls += 1
                return calls

            return sum(await asyncio.gather(*(caller() for _ in range(in_flight))))

    def state(self, future, channel):
        future.set_result({"state": self.states[channel]})

    def close(self, future, channel):
        self.channels.pop(channel).close()
        future.set_result({})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for channel in self.channels.values():
            channel.close()


def conform(profile="dev"):
    return Program(example("peer", profile))


def grpc_js():
    return Program("node", HERE / "client.mjs")


def example(name, profile="dev"):
    """The path of one of conform's examples, which is built if need be."""
    build = ["cargo", "build", "--quiet", "-p", "conform", "--example", name, "--profile", profile]
    subprocess.run(build, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / {"dev": "debug"}.get(profile, profile) / "examples" / name


@contextlib.contextmanager
def all_clients(profile="dev"):
    """Each of them, running, by its name. conform's program is built by this profile."""
    begins = {"conform": lambda: conform(profile), "grpcio": Grpcio, "grpc-js": grpc_js}
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(begin()) for name, begin in begins.items()}


def call(client, channel, *, path="/test.Test/Call", wait=False, seconds=5, **metadata):
    """Begins a call. Gives its answer later."""
    return client.start("call", channel=channel, path=path, metadata=metadata, wait=wait, seconds=seconds)
