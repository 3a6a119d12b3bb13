"""Deadlines of lesson 05 with grpcio: both sides give up in time, and what is left is passed on."""

import time

import grpc
from calculator_pb2_grpc import CalculatorServicer, CalculatorStub, add_CalculatorServicer_to_server
from services import integer, number
from shared import Unexpected, case, channel, done, expect, grpc_fails, lesson_program, server_says, serving

Code = grpc.StatusCode

# Twice the product of two large primes: one factor at once, the next after seconds.
HARD = 720_000_009_600_000_014


def main():
    with channel() as it:
        calls_on_our_server(CalculatorStub(it))
    calls_of_our_client()
    done()


def calls_on_our_server(calculator):
    with case("a square root in time"):
        expect(4.0, calculator.SquareRoot(number(16), timeout=5).value)
        server_says("front: square root done")
    with case("DEADLINE_EXCEEDED after 100 ms"):
        began = time.monotonic()
        grpc_fails(Code.DEADLINE_EXCEEDED, lambda: calculator.SquareRoot(number(16), timeout=0.1))
        expect(True, time.monotonic() - began < 1)
    with case("half a second less is passed on, and the work behind stops"):
        call = calculator.Factorize(integer(HARD), timeout=0.9)
        expect(2, next(call).value)
        grpc_fails(Code.DEADLINE_EXCEEDED, lambda: call)
        _, line = server_says("back: at most 0.5 s to factor")
        server_says(f"back: {HARD} stopped", since=line)
    with case("the server's own limit ends a call whose deadline is in a minute"):
        began = time.monotonic()
        error = grpc_fails(Code.DEADLINE_EXCEEDED, lambda: calculator.Factorize(integer(HARD), timeout=60))
        expect("the deadline has passed", error.details())
        expect(True, 1 < time.monotonic() - began < 10)
    with case("too little time to begin is refused at once"):
        error = grpc_fails(Code.DEADLINE_EXCEEDED, lambda: calculator.Factorize(integer(HARD), timeout=0.4))
        expect("too little time is left to begin", error.details())
    with case("a deadline in a day is no reason to refuse"):
        expect(4.0, calculator.SquareRoot(number(16), timeout=86_400).value)


def calls_of_our_client():
    slow = Slow()
    with case("our client gives up in time on a grpcio server that doesn't"):
        with serving((add_CalculatorServicer_to_server, slow)) as address:
            ended, out, err = lesson_program("client", f"http://{address}")
            late = "  DeadlineExceeded: the deadline has passed"
            expect((0, []), (ended, err))
            # The call within a minute ends because this server says so.
            expect(2 * [late], [line for line in out if "Exceeded" in line][:2])
            expect("  Cancelled: enough", out[-1])
    with case("a grpcio server learns what time is left, and that its calls are over"):
        expect(5, len(slow.left))
        for promised, left in zip([0.1, 1, 0.4, 1, 60], slow.left):
            if not promised - 0.1 < left <= promised:
                raise Unexpected(f"expected at most {promised} s, got {left} s")
        deadline = time.monotonic() + 10
        while slow.ended < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        expect(5, slow.ended)


class Slow(CalculatorServicer):
    """Answers nothing in time, and notes what time its callers give it."""

    def __init__(self):
        self.left = []
        self.ended = 0

    def SquareRoot(self, request, context):
        self.note(context)
        if self.left[-1] < 0.5:
            time.sleep(0.5)
        return number(4)

    def Factorize(self, request, context):
        self.note(context)
        if self.left[-1] > 10:
            context.abort(Code.CANCELLED, "enough")
        while context.is_active():
            time.sleep(0.01)
        yield from ()

    def note(self, context):
        self.left.append(context.time_remaining())
        context.add_callback(self.count)

    def count(self):
        self.ended += 1


main()
