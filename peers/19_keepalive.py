"""Keepalive of lesson 19 with grpcio: its client pings our server too often, our client pings its server."""

import os
import threading
import time

# grpcio says on stderr that it was sent away; here that's what is asked for.
os.environ["GRPC_VERBOSITY"] = "NONE"

import services
from calculator_pb2_grpc import CalculatorStub
from shared import case, channel, done, expect, lesson_program, page, server_says, serving

# As often as grpcio can: it waits for a second between two pings, whatever it's told.
OFTEN = (
    ("grpc.keepalive_time_ms", 300),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.http2.max_pings_without_data", 0),
)
WITHOUT_CALLS = ("grpc.keepalive_permit_without_calls", 1)
GOAWAY = "a connection has ended: too_many_pings"


def main():
    with case("a ping a second while a call is open is permitted"):
        with channel(None, *OFTEN) as it:
            maxima, stop = hold(CalculatorStub(it))
            time.sleep(6)
            expect(True, maxima.is_active())
            stop()
    with case("a ping a second without a call is too many: GOAWAY, and grpcio connects anew when it calls"):
        with channel(None, *OFTEN, WITHOUT_CALLS) as it:
            calculator = CalculatorStub(it)
            expect(4.0, calculator.SquareRoot(services.number(16), timeout=10).value)
            server_says(GOAWAY)
            expect(3.0, calculator.SquareRoot(services.number(9), timeout=10).value)
    with case("our client on a grpcio server that permits as little: sent away, and then borne"):
        permits = ("grpc.http2.min_recv_ping_interval_without_data_ms", 700)
        with serving(services.CALCULATOR, options=(permits,)) as address:
            ended, out, err = lesson_program("client", f"http://{address}")
            expect((0, []), (ended, err))
            # What the end of a stream is put down to may differ.
            without_causes = lambda lines: [line.split("Unavailable, ")[0] for line in lines]
            expect(without_causes(page("19", "cargo 19 client")), without_causes(out))
    done()


def hold(calculator):
    """A stream that has begun, and stays open until the second value is called."""
    over = threading.Event()

    def numbers():
        yield services.number(9)
        over.wait(30)

    maxima = calculator.Maximum(numbers(), timeout=30)
    expect(9.0, next(maxima).value)
    return maxima, over.set


main()
