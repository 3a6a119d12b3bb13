"""Server streaming of lesson 02 with grpcio: replies as they come, and a search that stops in time."""

import time

import grpc
import services
from calculator_pb2_grpc import CalculatorStub
from services import integer, values
from shared import case, channel, client_prints, done, expect, grpc_fails, page, server_says, serving

Code = grpc.StatusCode

# Twice the product of two large primes: one factor at once, the next after seconds.
HARD = 720_000_009_600_000_014


def main():
    with channel() as it:
        calls_on_our_server(CalculatorStub(it))
    with case("our client on a grpcio server prints what the page shows"):
        with serving(services.CALCULATOR) as address:
            client_prints(page("02", "cargo 02 client"), address)
    done()


def calls_on_our_server(calculator):
    with case("the factors of 12, of a large number, of 1"):
        expect([2, 2, 3], values(calculator.Factorize(integer(12), timeout=10)))
        expect([2, 3, 10000000000000061], values(calculator.Factorize(integer(60000000000000366), timeout=30)))
        expect([], values(calculator.Factorize(integer(1), timeout=10)))
    with case("0 is INVALID_ARGUMENT"):
        error = grpc_fails(Code.INVALID_ARGUMENT, lambda: calculator.Factorize(integer(0), timeout=10))
        expect("every number divides 0: it has no prime factors", error.details())
    with case("DEADLINE_EXCEEDED after one reply, and the search stops"):
        began = time.monotonic()
        call = calculator.Factorize(integer(HARD), timeout=0.7)
        expect(2, next(call).value)
        grpc_fails(Code.DEADLINE_EXCEEDED, lambda: call)
        expect(True, 0.5 < time.monotonic() - began < 3)
        _, line = server_says(f"{HARD}: the client went away")
    with case("cancelled after one reply, and the search stops"):
        call = calculator.Factorize(integer(HARD), timeout=30)
        expect(2, next(call).value)
        call.cancel()
        grpc_fails(Code.CANCELLED, lambda: call)
        server_says(f"{HARD}: the client went away", since=line + 1)


main()
