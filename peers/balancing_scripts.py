"""What happens to backends, and what a channel has to do then: by load-balancing.md, connectivity-semantics-and-api.md,
and gRFC A62 and A61. Players need it to know what to wait for."""

import dataclasses
import math


@dataclasses.dataclass
class Step:
    """Something happens to a backend; then come calls, if it's not a quiet one."""

    event: str
    backend: int
    # Calls that began before, and that the backends answer at the end of the step.
    holds: int
    # The channel loses a connection, and asks for another one at once.
    reconnects: bool
    # The channel's state after the event, and who takes its calls.
    state: str
    takers: list
    # And after the calls, if there are any.
    then: str | None


class Backends:
    """What they are: `well`, `ill`, `mute` or `down`."""

    def __init__(self, chance, count):
        self.are = chance.choices(["well", "well", "well", "ill", "down"], k=count)
        self.are[chance.randrange(count)] = "well"
        # For how many steps one has been as it is.
        self.since = [0] * count

    def serving(self):
        return [number for number, it in enumerate(self.are) if it in ("well", "ill")]

    def event(self, chance, may):
        """One that can happen now, to one of those that `may` have it."""
        overdue = [number for number in may if self.is_overdue(number)]
        backend = chance.choice(overdue or may)
        events = {
            "well": ["kill", "kill", "cut", "goaway", "mute", "ill"],
            "ill": ["kill", "cut", "goaway", "mute", "well"],
            "down": ["well", "well", "mute"],
            "mute": ["well", "kill"],
        }[self.are[backend]]
        if overdue:
            events = ["well"]
        # One at a time: two would have a pass of pick_first end in a way that depends on time.
        if "mute" in self.are:
            events = [event for event in events if event != "mute"]
        return chance.choice(events), backend

    def is_overdue(self, number):
        """Attempts to connect take 20 s at most, and the waits between them become long."""
        return self.since[number] >= {"mute": 2, "down": 3}.get(self.are[number], math.inf)

    def happens(self, event, backend):
        before = self.are[backend]
        self.since = [since + 1 for since in self.since]
        self.are[backend] = {"kill": "down", "cut": before, "goaway": before}.get(event, event)
        if self.are[backend] != before:
            self.since[backend] = 0


class RoundRobin:
    config = {"loadBalancingConfig": [{"round_robin": {}}]}

    def __init__(self, backends):
        self.backends = backends
        self.children = ["READY" if it in ("well", "ill") else "TRANSIENT_FAILURE" for it in backends.are]

    def may(self):
        return list(range(len(self.children)))

    def happens(self, event, backend):
        """Says whether the channel asks for another connection at once."""
        had = self.children[backend] == "READY"
        if event == "kill":
            self.children[backend] = "TRANSIENT_FAILURE"
        elif event == "well":
            self.children[backend] = "READY"
        elif event == "mute" and had:
            # Otherwise it has failed before, and stays so until it's READY: gRFC A61, as pick_first.
            self.children[backend] = "CONNECTING"
        return had and event in ("cut", "goaway", "mute")

    def state(self):
        # load-balancing.md, "round_robin"; gRFC A48, "Aggregated Connectivity State".
        return next(it for it in ("READY", "CONNECTING", "TRANSIENT_FAILURE") if it in self.children)

    def takers(self):
        return [number for number, it in enumerate(self.children) if it == "READY"]

    def calls(self):
        pass


class PickFirst:
    config = {"loadBalancingConfig": [{"pick_first": {}}]}

    def __init__(self, backends):
        self.backends = backends
        self.now = "IDLE"
        self.chosen = None
        self.calls()

    def may(self):
        if self.now == "CONNECTING":
            return [self.backends.are.index("mute")]
        return list(range(len(self.backends.are)))

    def happens(self, event, backend):
        if self.now == "READY" and backend == self.chosen and event in ("kill", "cut", "goaway", "mute"):
            # connectivity-semantics-and-api.md: IDLE until there is a call.
            self.now = "IDLE"
        elif self.now == "CONNECTING" and event == "kill":
            self.now = "TRANSIENT_FAILURE"
        elif self.now in ("CONNECTING", "TRANSIENT_FAILURE") and event == "well":
            # gRFC A62: it tries again by itself until it's READY.
            self.now, self.chosen = "READY", backend
        return False

    def state(self):
        return self.now

    def takers(self):
        return [self.chosen] if self.now == "READY" else self.backends.serving()[:1] if self.now == "IDLE" else []

    def calls(self):
        if self.now != "IDLE":
            return
        serving = self.backends.serving()
        if serving:
            self.now, self.chosen = "READY", serving[0]
        else:
            self.now = "CONNECTING" if "mute" in self.backends.are else "TRANSIENT_FAILURE"


def script(chance, policy, count, length):
    """What the backends are at first, and the steps that follow."""
    backends = Backends(chance, count)
    at_first = list(backends.are)
    model = policy(backends)
    steps = []
    for _ in range(length):
        event, backend = backends.event(chance, model.may())
        takers = model.takers() if model.state() == "READY" else []
        holding = [taker for taker in takers if backends.are[taker] == "well"]
        holds = len(takers) if len(holding) == len(takers) and chance.random() < 0.4 else 0
        backends.happens(event, backend)
        reconnects = model.happens(event, backend)
        state, takers = model.state(), model.takers()
        then = None
        if policy is RoundRobin or chance.random() < 0.8:
            model.calls()
            then = model.state()
        steps.append(Step(event, backend, holds, reconnects, state, takers, then))
    return at_first, steps
