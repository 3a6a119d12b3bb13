"""Metadata of lesson 06 with grpcio: binary and many values, headers, trailers, Trailers-Only."""

import grpc
import services
from calculator_pb2_grpc import CalculatorStub, add_CalculatorServicer_to_server
from services import Calculator, integer, number, numbers
from shared import (
    case,
    channel,
    client_prints,
    done,
    expect,
    grpc_fails,
    metadata,
    page,
    server_says,
    serving,
)

Code = grpc.StatusCode
ZOE = (("caller-bin", "Zoë".encode()), ("tag", "homework"), ("tag", "urgent"))


def main():
    with channel() as it:
        calls_on_our_server(CalculatorStub(it))
    calls_of_our_client()
    done()


def calls_on_our_server(calculator):
    with case("binary metadata and two values of one name arrive, in order"):
        reply, call = calculator.SquareRoot.with_call(number(9), metadata=ZOE, timeout=10)
        expect(3.0, reply.value)
        server_says("Zoë (homework, urgent) asked for SquareRoot")
        ours(call, cost="1")
    with case("any bytes are binary metadata"):
        every = bytes(range(256))
        calculator.SquareRoot(number(9), metadata=(("caller-bin", every),), timeout=10)
        calculator.SquareRoot(number(9), metadata=(("caller-bin", b""),), timeout=10)
    with case("headers before and trailers after a stream of replies"):
        call = calculator.Factorize(integer(60), metadata=ZOE, timeout=10)
        expect(["abacus"], metadata(call.initial_metadata(), "served-by"))
        expect([2, 2, 3, 5], services.values(call))
        ours(call, cost="4")
    with case("headers and trailers of an upload"):
        _, call = calculator.Summarize.with_call(numbers(9, 16), metadata=ZOE, timeout=10)
        ours(call, cost="2")
    with case("headers and trailers of a call in both directions"):
        call = calculator.Maximum(numbers(9, 16), metadata=ZOE, timeout=10)
        expect([9.0, 16.0], services.values(call))
        ours(call, cost="2")
    with case("trailers of a call that fails"):
        error = grpc_fails(Code.INVALID_ARGUMENT, lambda: calculator.SquareRoot(number(-4), metadata=ZOE, timeout=10))
        expect(["1"], metadata(error.trailing_metadata(), "cost"))


def ours(call, cost):
    """The call's metadata is the server's, each in its place."""
    expect(["abacus"], metadata(call.initial_metadata(), "served-by"))
    expect([], metadata(call.trailing_metadata(), "served-by"))
    expect([cost], metadata(call.trailing_metadata(), "cost"))


def calls_of_our_client():
    abacus = Abacus()
    with serving((add_CalculatorServicer_to_server, abacus)) as address:
        with case("our client on a grpcio server prints what the page shows"):
            client_prints(page("06", "cargo 06 client"), address)
    with case("a grpcio server gets its metadata, binary and with two values"):
        expect(5, len(abacus.callers))
        for caller in abacus.callers:
            expect(["Zoë".encode()], metadata(caller, "caller-bin"))
            expect(["homework", "urgent"], metadata(caller, "tag"))


class Abacus(Calculator):
    """The calculator that says who answers, and what it costs."""

    def __init__(self):
        self.callers = []

    def open(self, context, cost):
        self.callers.append(context.invocation_metadata())
        context.send_initial_metadata((("served-by", "abacus"),))
        context.set_trailing_metadata((("cost", str(cost)),))

    def SquareRoot(self, request, context):
        if request.value < 0:
            self.callers.append(context.invocation_metadata())
            context.set_trailing_metadata((("cost", "1"),))
        else:
            self.open(context, 1)
        return super().SquareRoot(request, context)

    def Factorize(self, request, context):
        self.open(context, 4)
        yield from super().Factorize(request, context)

    def Summarize(self, requests, context):
        self.open(context, 2)
        return super().Summarize(requests, context)

    def Maximum(self, requests, context):
        self.open(context, 2)
        yield from super().Maximum(requests, context)


main()
