"""How many calls a second conform's channel, grpcio and grpc-js make, with the same service config, to one server.

Run by hand, as README.md says. What counts are the ratios: all three have the same machine and the same server.
"""

import json
import statistics

from clients import all_clients, conform

CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{
        "name": [{"service": "greeter.v1.Greeter"}],
        "timeout": "10s",
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        },
    }],
}
IN_FLIGHT = [1, 32]
ROUNDS = 5
SECONDS = 1


def main():
    with conform("release") as server, all_clients("release") as clients:
        target = "ipv4:" + server.do("serve", name="a")["address"]
        for client in clients.values():
            client.do("open", channel="bench", target=target, config=json.dumps(CONFIG))
        rates = {(in_flight, name): [] for in_flight in IN_FLIGHT for name in clients}
        # The first round connects and warms up. The clients take turns, so that all see the same of other programs.
        for number in range(ROUNDS + 1):
            for in_flight, name in rates:
                calls = clients[name].do("bench", channel="bench", seconds=SECONDS, in_flight=in_flight)["calls"]
                if number > 0:
                    rates[in_flight, name].append(calls / SECONDS)
    print("in flight   client     calls a second   conform's are")
    for (in_flight, name), rate in rates.items():
        ratio = statistics.median(rates[in_flight, "conform"]) / statistics.median(rate)
        print(f"{in_flight:9}   {name:8} {statistics.median(rate):16.0f}   {ratio:9.1f} times as many")


main()
