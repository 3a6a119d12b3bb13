"""Retries and hedging by one service config: conform's channel, grpcio and grpc-js against the same server."""

# server: none

import json
import os
import pathlib
import random
import subprocess
import threading

import grpc
from shared import ROOT, Unexpected, case, done, expect

HERE = pathlib.Path(__file__).parent

RETRY = {
    "methodConfig": [{
        "name": [{"service": "test.Test"}],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.01s",
            "maxBackoff": "0.04s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
        },
    }],
}
SLOWER = {
    "methodConfig": [{
        "name": [{}],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.05s",
            "maxBackoff": "0.15s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        },
    }],
}
HEDGING = {
    "methodConfig": [{
        "name": [{"service": "test.Test"}],
        "hedgingPolicy": {
            "maxAttempts": 3,
            "hedgingDelay": "2s",
            "nonFatalStatusCodes": ["UNAVAILABLE"],
        },
    }],
}

# What an attempt may meet. 14 is UNAVAILABLE, 8 RESOURCE_EXHAUSTED, 13 INTERNAL, 3 INVALID_ARGUMENT.
ANSWERS = [
    "ok", "fail:14", "fail:14", "fail:8", "fail:13", "fail:3", "push:14:5", "push:14:-1", "headers:14", "message:14"
]
CONNECTIONS = ["cut", "goaway"]


def main():
    chance = random.Random(7)

    def scripts(actions, count, longest):
        return [",".join(chance.choices(actions, k=chance.randint(1, longest))) for _ in range(count)]

    with Server() as server:
        compare(server, "retries", RETRY, scripts(ANSWERS + CONNECTIONS, 150, 5), [ours, grpcio, grpc_js])
        # gRFC A6, "Transparent Retries": a refused stream is sent again once, and not as an attempt. grpcio takes
        # it for one.
        refused = scripts([*ANSWERS, "refuse", "refuse", "refuse"], 50, 5)
        compare(server, "streams that are refused", RETRY, refused, [ours, grpc_js])
        # Only failures hedge: the delay is longer than a busy machine takes for an answer.
        compare(server, "hedging", HEDGING, scripts(ANSWERS, 100, 4), [ours, grpc_js])
        alone(server)
    done()


def alone(server):
    """Where the others differ from gRFC A6, and in what none of them can be seen to agree."""
    with case("a pushback that is no number ends the retries: gRFC A6, \"Pushback\""):
        codes = ours(server.address, json.dumps(RETRY), "soon-", [{"call": "soon", "script": "push:14:soon"}])
        # grpc-js overlooks it, and grpcio makes INTERNAL of it.
        expect(({"soon": 14}, [None]), (codes, server.previous("soon-soon")))
    with case("each wait lies within the jitter of its backoff: gRFC A6, \"Exponential Backoff\""):
        calls = [{"call": f"wait-{number}", "script": "fail:14,fail:14,fail:14"} for number in range(20)]
        ours(server.address, json.dumps(SLOWER), "gaps-", calls)
        each = [server.times(f"gaps-{call['call']}") for call in calls]
        for number, backoff in enumerate([50, 100, 150]):
            waits = [times[number + 1] - times[number] for times in each]
            # The server looks a moment later, and on a busy machine much later: so not each is held to the longest.
            if min(waits) < 0.8 * backoff - 2 or min(waits) > 1.2 * backoff + 20:
                raise Unexpected(f"waits from {min(waits):.1f} ms on for a backoff of {backoff} ms")


def compare(server, what, config, scripts, clients):
    """Each client makes the same calls; all of them get the same, and look the same to the server."""
    calls = [{"call": f"{what}-{number}", "script": script} for number, script in enumerate(scripts)]
    results = {}
    for client in clients:
        name = client.__name__
        codes = client(server.address, json.dumps(config), f"{name}-", calls)
        results[name] = {
            call["call"]: (codes.get(call["call"]), server.previous(f"{name}-{call['call']}")) for call in calls
        }
    for client in clients[1:]:
        name = client.__name__
        with case(f"{len(calls)} calls with {what}: what conform's channel does, {name} does too"):
            differences = [
                f"{call['script']}: conform {results['ours'][call['call']]}, {name} {results[name][call['call']]}"
                for call in calls
                if results["ours"][call["call"]] != results[name][call["call"]]
            ]
            if differences:
                raise Unexpected(f"{len(differences)} differ: " + "; ".join(differences[:12]))


class Server:
    """The server of scripts, and what it has seen."""

    def __enter__(self):
        words = ["node", str(HERE / "attempts_server.mjs")]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self.address = json.loads(self.process.stdout.readline())["address"]
        self.seen = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        return self

    def read(self):
        for line in self.process.stdout:
            self.seen.append(json.loads(line))

    def previous(self, call):
        """The header of each attempt that says how many there were before."""
        return [attempt["previous"] for attempt in self.seen if attempt["call"] == call]

    def times(self, call):
        """When each attempt came, in milliseconds."""
        return [attempt["at"] for attempt in self.seen if attempt["call"] == call]

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)


def by_lines(words, calls):
    """A client in a program of its own: a line for each call, in and out."""
    lines = "".join(json.dumps(call) + "\n" for call in calls)
    ended = subprocess.run(words, input=lines, capture_output=True, encoding="utf-8", timeout=120)
    if ended.returncode != 0:
        raise RuntimeError(ended.stderr)
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    return {answer["call"]: answer["code"] for answer in answers}


def ours(address, config, prefix, calls):
    build = ["cargo", "build", "--quiet", "-p", "conform", "--example", "attempts"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return by_lines([target / "debug" / "examples" / "attempts", address, config, prefix], calls)


def grpc_js(address, config, prefix, calls):
    return by_lines(["node", HERE / "attempts_client.mjs", address, config, prefix], calls)


def grpcio(address, config, prefix, calls):
    options = (("grpc.service_config", config), ("grpc.enable_retries", 1), ("grpc.enable_http_proxy", 0))
    codes = {}
    with grpc.insecure_channel(address, options) as channel:
        method = channel.unary_unary("/test.Test/Call")
        for call in calls:
            metadata = (("call", prefix + call["call"]), ("script", call["script"]))
            try:
                method(b"", metadata=metadata, timeout=5)
                codes[call["call"]] = 0
            except grpc.RpcError as error:
                codes[call["call"]] = error.code().value[0]
    return codes


main()
