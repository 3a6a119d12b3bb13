"""Client streaming of lesson 03 with grpcio: one answer to many readings, sometimes an early one."""

import itertools
import math
import threading

import grpc
import services
from calculator_pb2_grpc import CalculatorStub
from services import number, numbers
from shared import case, channel, client_prints, done, expect, grpc_fails, page, server_says, serving

Code = grpc.StatusCode


def main():
    with channel() as it:
        calls_on_our_server(CalculatorStub(it))
    with case("our client on a grpcio server prints what the page shows"):
        with serving(services.CALCULATOR) as address:
            client_prints(page("03", "cargo 03 client"), address)
    done()


def calls_on_our_server(calculator):
    with case("a summary of three readings"):
        got = calculator.Summarize(numbers(1, 2, 6), timeout=10)
        expect((3, 3.0, 1.0, 6.0), (got.count, got.mean, got.minimum, got.maximum))
        server_says("readings summarized: 3")
    with case("a summary of 500 readings"):
        expect(500, calculator.Summarize((number(n) for n in range(500)), timeout=30).count)
    with case("no readings: INVALID_ARGUMENT"):
        error = grpc_fails(Code.INVALID_ARGUMENT, lambda: calculator.Summarize(iter([]), timeout=10))
        expect("no readings, no summary", error.details())
    with case("a reading that is refused ends an upload that never would"):
        endless = itertools.chain([number(1), number(math.nan)], forever())
        error = grpc_fails(Code.INVALID_ARGUMENT, lambda: calculator.Summarize(endless, timeout=10))
        expect("reading 2 is NaN, not a finite number", error.details())
    with case("an upload that stalls ends with its deadline"):
        stalled = calculator.Summarize.future(itertools.chain([number(1)], forever()), timeout=0.5)
        # tonic's server says CANCELLED where it is the first to see that time is up; lesson 05 has the cure.
        expect(True, stalled.code() in (Code.DEADLINE_EXCEEDED, Code.CANCELLED))
    with case("the server goes on after an upload that was cancelled"):
        call = calculator.Summarize.future(itertools.chain([number(1)], forever()), timeout=30)
        call.cancel()
        expect(Code.CANCELLED, call.code())
        expect(2, calculator.Summarize(numbers(1, 2), timeout=10).count)


def forever():
    """Never gives anything, and ends with the script."""
    threading.Event().wait(15)
    yield from ()


main()
