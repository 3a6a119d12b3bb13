"""Retries and hedging by one service config: conform's channel, grpcio and grpc-js against the same servers."""

# server: none

import json
import pathlib
import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

from attempts_grpcio import GrpcioServer
from clients import all_clients, call
from shared import Unexpected, case, done, expect

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
THROTTLED = {**RETRY, "retryThrottling": {"maxTokens": 6, "tokenRatio": 0.7}}
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
AFTER_HEADERS = ["headers:14", "message:14"]
ANSWERS = [
    "ok", "fail:14", "fail:14", "fail:8", "fail:13", "fail:3", "push:14:5", "push:14:-1", *AFTER_HEADERS
]
CONNECTIONS = ["cut", "cut-headers", "cut-message", "goaway"]


def main():
    chance = random.Random(7)

    def scripts(actions, count, longest):
        return [",".join(chance.choices(actions, k=chance.randint(1, longest))) for _ in range(count)]

    hangs = ["hang", "fail:14,hang", "push:14:5,fail:8,hang", "fail:14,fail:14,fail:14,hang"]
    with all_clients() as clients:
        compare(clients, NodeServer, "retries", RETRY, scripts(ANSWERS + CONNECTIONS, 150, 5) + hangs)
        # What each call leaves of the tokens decides over those that follow. gRFC A6, "Throttling Retry Attempts and
        # Hedged RPCs": a call that fails after its headers counts too. Not for grpc-js.
        with_grpcio = {name: clients[name] for name in ("conform", "grpcio")}
        without_grpcio = {name: clients[name] for name in ("conform", "grpc-js")}
        throttled = scripts([*ANSWERS, *["ok"] * 6], 100, 3)
        compare(with_grpcio, NodeServer, "retries that are throttled", THROTTLED, throttled)
        throttled = scripts([it for it in ANSWERS if it not in AFTER_HEADERS] + ["ok"] * 4, 100, 3)
        compare(without_grpcio, NodeServer, "retries that are throttled", THROTTLED, throttled)
        # gRFC A6, "Transparent Retries": a refused stream is sent again once, and not as an attempt. grpcio takes
        # it for one.
        refused = scripts([*ANSWERS, "refuse", "refuse", "refuse"], 50, 5)
        compare(without_grpcio, NodeServer, "streams that are refused", RETRY, refused)
        # grpcio doesn't hedge. And only failures do here: the delay is longer than a busy machine takes for an answer.
        compare(without_grpcio, NodeServer, "hedging", HEDGING, scripts(ANSWERS, 100, 4))
        on_grpcio = scripts([*ANSWERS, "push:14:soon", "goaway"], 60, 5) + hangs
        compare(clients, GrpcioServer, "retries of a grpcio server", RETRY, on_grpcio)
        compare(without_grpcio, GrpcioServer, "hedging to a grpcio server", HEDGING, scripts(ANSWERS, 40, 4))
        alone(clients["conform"])
    done()


def alone(conform):
    """Where the others differ from gRFC A6, and in what none of them can be seen to agree."""
    with case("a pushback that is no number ends the retries: gRFC A6, \"Pushback\""):
        # grpc-js overlooks it, and grpcio makes INTERNAL of it.
        (got,), _ = attempts(conform, NodeServer, RETRY, ["push:14:soon"])
        expect((14, [None]), got)
    with case("each wait lies within the jitter of its backoff: gRFC A6, \"Exponential Backoff\""):
        _, each = attempts(conform, NodeServer, SLOWER, ["fail:14,fail:14,fail:14"] * 20)
        for number, backoff in enumerate([50, 100, 150]):
            waits = [times[number + 1] - times[number] for times in each]
            # The server looks a moment later, and on a busy machine much later: so not each is held to the longest.
            if min(waits) < 0.8 * backoff - 2 or min(waits) > 1.2 * backoff + 20:
                raise Unexpected(f"waits from {min(waits):.1f} ms on for a backoff of {backoff} ms")


def compare(clients, begin, what, config, scripts):
    """Each client makes the same calls; all of them get the same, and look the same to the server."""
    with ThreadPoolExecutor() as pool:
        running = {name: pool.submit(attempts, client, begin, config, scripts) for name, client in clients.items()}
    ours, *others = clients
    for name in others:
        with case(f"{len(scripts)} calls with {what}: what {ours}'s channel does, {name} does too"):
            both = zip(scripts, running[ours].result()[0], running[name].result()[0])
            different = [it for it in both if it[1] != it[2]]
            differences = [f"{script}: {ours} {mine}, {name} {theirs}" for script, mine, theirs in different]
            if differences:
                raise Unexpected(f"{len(differences)} differ: " + "; ".join(differences[:12]))


def attempts(client, begin, config, scripts):
    """Makes a call for each script, one after another. Gives the code of each with the headers that say how many
    attempts there were before; and when each attempt came, in milliseconds."""
    with begin() as server:
        client.do("open", channel=server.address, target=f"ipv4:{server.address}", config=json.dumps(config))
        calls = []
        for number, script in enumerate(scripts):
            # Those that hang run together: nothing else happens to them.
            seconds = 2 if "hang" in script else 5
            calls.append(call(client, server.address, seconds=seconds, call=str(number), script=script))
            if "hang" not in script:
                calls[-1].result()
        codes = [it.result()["code"] for it in calls]
        client.do("close", channel=server.address)
    seen = [[attempt for attempt in server.seen if attempt["call"] == str(number)] for number in range(len(scripts))]
    previous = [[attempt["previous"] for attempt in each] for each in seen]
    return list(zip(codes, previous)), [[attempt.get("at") for attempt in each] for each in seen]


class NodeServer:
    """The server of scripts, and what it has seen."""

    def __enter__(self):
        words = ["node", HERE / "attempts_server.mjs"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        self.address = json.loads(self.process.stdout.readline())["address"]
        self.seen = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        return self

    def read(self):
        for line in self.process.stdout:
            self.seen.append(json.loads(line))

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.reader.join()


main()
