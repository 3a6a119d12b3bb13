"""Load balancing by one service config: conform's channel, grpcio and grpc-js call backends that come and go."""

# server: none

import concurrent.futures
import json
import pathlib
import random
import threading
import time

from balancing_scripts import PickFirst, RoundRobin, script
from clients import Program, all_clients, call
from shared import Unexpected, case, done

HERE = pathlib.Path(__file__).parent

# How long a channel may take to be where it has to be. conform's waits between attempts to connect are gRPC's
# own, 1 s and then 1.6 times as much each time, and a backend is down for three steps at most.
PATIENCE = 30

# pick_first gives an address 250 ms before it tries the next. This keeps its choices from slowing each other down.
CHOOSING = threading.Lock()


def main():
    chance = random.Random(7)
    with Program("node", HERE / "balancing_server.mjs") as server, all_clients() as clients:
        for policy in (RoundRobin, PickFirst):
            scripts = [script(chance, policy, chance.choice([2, 2, 3, 4]), 8) for _ in range(20)]
            compare(server, clients, policy, scripts)
        # Without grpc-js, which takes 20 ms for each call then: it reads anew what a report is.
        weights({name: clients[name] for name in ("conform", "grpcio")})
    done()


def weights(clients):
    """gRFC A58: with the same number of calls a second, a backend half as busy gets twice as many."""
    busy = {"a": 0.25, "b": 0.5, "c": 0.75}
    servers = [clients["conform"].do("serve", name=name, utilization=busy[name]) for name in busy]
    target = "ipv4:" + ",".join(server["address"] for server in servers)
    periods = {"blackoutPeriod": "0.1s", "weightUpdatePeriod": "1s"}
    config = json.dumps({"loadBalancingConfig": [{"weighted_round_robin": periods}]})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {name: pool.submit(find_shares, client, target, config) for name, client in clients.items()}
    for name in clients:
        with case(f"weighted_round_robin on conform's servers: {name} calls them by their reports, as gRFC A58 has it"):
            running[name].result()


def find_shares(client, target, config):
    """Calls until the shares are those of the weights: 100 / 0.25, 100 / 0.5 and 100 / 0.75."""
    expected = {"a": 120, "b": 60, "c": 40}
    client.do("open", channel="weights", target=target, config=config)
    path = "/greeter.v1.Greeter/Greet"
    deadline = time.monotonic() + PATIENCE
    while True:
        calls = [call(client, "weights", path=path).result()["backend"] for _ in range(sum(expected.values()))]
        got = {name: calls.count(name) for name in expected}
        # Schedulers begin anew with each look at the weights, and lose a call or two by that.
        if all(abs(got[name] - expected[name]) <= 8 for name in expected):
            return
        if time.monotonic() > deadline:
            raise Unexpected(f"expected {expected}, got {got}")


def compare(server, clients, policy, scripts):
    """Each client goes through the same scripts; all of them do the same."""
    with concurrent.futures.ThreadPoolExecutor(len(clients) * len(scripts)) as pool:
        plays = {
            name: [Play(number, server, client, policy, *it) for number, it in enumerate(scripts)]
            for name, client in clients.items()
        }
        running = {name: [pool.submit(play.run) for play in plays[name]] for name in plays}
    lines = {name: [play.result() for play in running[name]] for name in running}
    steps = sum(len(steps) for _, steps in scripts)
    for name in clients:
        with case(f"{len(scripts)} scripts of {policy.__name__}, {steps} steps: {name} does what gRPC's documents say"):
            raise_if(line for play in plays[name] for line in play.complaints)
    ours, *others = clients
    for name in others:
        with case(f"{len(scripts)} scripts of {policy.__name__}, {steps} steps: what {ours} does, {name} does too"):
            pairs = [pair for plays in zip(lines[ours], lines[name]) for pair in zip(*plays)]
            raise_if(f"{ours}: {mine}; {name}: {theirs}" for mine, theirs in pairs if mine != theirs)


def raise_if(differences):
    differences = list(differences)
    if differences:
        raise Unexpected(f"{len(differences)} times: " + " | ".join(differences[:12]))


class NotThere(Exception):
    """The channel didn't come to where it has to be."""


class Play:
    """One script, by one client."""

    def __init__(self, name, server, client, policy, at_first, steps):
        self.name = name
        self.server = server
        self.client = client
        self.policy = policy
        self.at_first = at_first
        self.steps = steps
        self.channel = f"{policy.__name__} {name}"
        self.complaints = []
        self.pending = []

    def run(self):
        """A line for each step: what the channel did."""
        lines = []
        self.ports = [self.server.do("new", name=str(number))["port"] for number in range(len(self.at_first))]
        for number, what in enumerate(self.at_first):
            if what != "well":
                self.tell(number, {"down": "kill"}.get(what, what))
        target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.client.do("open", channel=self.channel, target=target, config=json.dumps(self.policy.config))
        where = f"{self.name}, at first {','.join(self.at_first)}"
        try:
            lines.append(f"{where}: {self.state()}")
            self.call().result()
            for step in self.steps:
                where = f"{self.name}, then {step.event} {step.backend}"
                lines.append(f"{where}: {self.step(step)}")
        except NotThere as error:
            self.complaints.append(f"{where}: {error}")
            lines.append(f"{where}: {error}")
        finally:
            self.client.do("close", channel=self.channel)
            for number in range(len(self.ports)):
                self.tell(number, "kill")
        return lines

    def step(self, step):
        # grpc-js tries once more, after 50 ms, what its pick_first has left: so that it doesn't find this.
        time.sleep(0.25)
        said = []
        holds = [self.call(hold="yes", seconds=100) for _ in range(step.holds)]
        self.until("calls are there", step.holds, lambda: sum(self.look(it, "held") for it in range(len(self.ports))))
        asked = self.look(step.backend, "asked")
        self.tell(step.backend, step.event)
        if step.reconnects:
            self.until("a new connection", True, lambda: self.look(step.backend, "asked") > asked)
        if step.takers and self.policy is RoundRobin:
            names = [str(taker) for taker in step.takers]
            self.until("turns", names, lambda: [it.split(":")[0] for it in self.turns(len(names), 2)])
        self.until("state", step.state, self.state)
        # What passes by isn't where it has come to.
        time.sleep(0.25)
        self.until("state that stays", step.state, self.state)
        said.append(step.state)
        if step.state in ("READY", "TRANSIENT_FAILURE"):
            said += [f"waited {self.ended(call)}" for kind, call in self.pending if self.ends(step, kind)]
            self.pending = [(kind, call) for kind, call in self.pending if not self.ends(step, kind)]
        if step.then:
            said.append(self.calls(step))
            self.until("state after calls", step.then, self.state)
            said.append(step.then)
        for number in range(len(self.ports)):
            self.tell(number, "release")
        if holds:
            said.append(f"held {sorted(call.result()['code'] for call in holds)}")
        return ", ".join(said)

    def calls(self, step):
        """Makes calls. Says what they got."""
        if step.takers and self.policy is RoundRobin:
            # A policy begins anew at a place by chance when a backend that's down has failed again.
            tries = (self.turns(len(step.takers), 4) for _ in range(10))
            return " ".join(next((it for it in tries if len(it) == len(step.takers)), ["no turns"]))
        if step.takers:
            with CHOOSING:
                first = self.ended(self.call())
            return " ".join([first, *(self.ended(self.call(wait=wait)) for wait in (False, False, True))])
        # Nobody takes calls: those that wait do so until their deadline.
        said = [self.ended(self.call(wait=wait, seconds=seconds)) for wait, seconds in ((False, 0.5), (True, 0.2))]
        self.pending.append(("patient", self.call(wait=True, seconds=100)))
        if step.then == "CONNECTING":
            self.pending.append(("impatient", self.call(seconds=100)))
        return " ".join(said)

    def ends(self, step, kind):
        """Whether a call that waited ends with this step."""
        return step.state == "READY" or kind == "impatient"

    def turns(self, takers, rounds):
        """Who answers in one round, from the first backend on, if all rounds are the same. Otherwise all answers."""
        got = [self.ended(self.call(wait=number % 2 == 1)) for number in range(takers * rounds)]
        if got != got[:takers] * rounds:
            return got
        first = got.index(min(got[:takers]))
        return got[first : first + takers]

    def ended(self, call):
        answer = call.result()
        return f"{answer['backend']}:{answer['code']}"

    def call(self, **more):
        return call(self.client, self.channel, **more)

    def state(self):
        return self.client.do("state", channel=self.channel)["state"]

    def tell(self, number, command):
        return self.server.do(command, port=self.ports[number])

    def look(self, number, what):
        return self.tell(number, "look")[what]

    def until(self, what, expected, look):
        """Waits for what has to be."""
        deadline = time.monotonic() + PATIENCE
        while (got := look()) != expected:
            if time.monotonic() > deadline:
                raise NotThere(f"{what}: expected {expected!r}, got {got!r}")
            time.sleep(0.025)


main()
