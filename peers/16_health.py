"""Health checking of lesson 16 with grpcio: its client asks our server, ours keeps away from its backends."""
# server: {address} {address}

import json
import threading
import time

import grpc
from calculator_pb2 import Number
from calculator_pb2_grpc import CalculatorStub, add_CalculatorServicer_to_server
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from services import Calculator
from shared import case, channel, done, expect, expect_in, grpc_fails, lesson_program, page, server_address
from shared import server_says, serving

SERVICE = "calculator.v1.Calculator"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = (
    health_pb2.HealthCheckResponse.ServingStatus.Value(name)
    for name in ["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
)
# A17, as grpcio is told to do it: calls go round, past the backends that are ill.
CONFIG = json.dumps(
    {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": SERVICE}}
)


def main():
    with channel() as it:
        calls_on_our_server(it)
    with case("grpcio's own client-side health checking keeps away from our backend while it's ill"):
        round_robin()
    with case("our client on two grpcio backends prints what the page shows"):
        our_client()
    with case("our probe on a grpcio server: 0 for SERVING, 1 for anything else"):
        our_probe()
    done()


def calls_on_our_server(it):
    stub, calculator = health_pb2_grpc.HealthStub(it), CalculatorStub(it)

    def check(service):
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status

    def watch(service):
        return stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=30)

    with case("Check: the server, a service, and one that nobody knows"):
        expect([SERVING] * 3, [check(name) for name in ["", SERVICE, "liveness"]])
        grpc_fails(grpc.StatusCode.NOT_FOUND, lambda: check("calculator.Calculator"))
    # The generated code of some versions is older than the method.
    if hasattr(stub, "List"):
        with case("List: all services"):
            statuses = stub.List(health_pb2.HealthListRequest(), timeout=10).statuses
            expect(["", SERVICE, "liveness"], sorted(statuses))
    with case("Watch: an unknown service is SERVICE_UNKNOWN, and the call goes on"):
        unknown = watch("calculator.Calculator")
        expect(SERVICE_UNKNOWN, next(unknown).status)
        time.sleep(0.2)
        expect(True, unknown.is_active())
        unknown.cancel()
    with case("Watch: ill with the database, and well again with it"):
        changes = watch(SERVICE)
        expect(SERVING, next(changes).status)
        grpc_fails(grpc.StatusCode.UNAVAILABLE, lambda: calculator.SquareRoot(Number(value=13), timeout=10))
        expect(NOT_SERVING, next(changes).status)
        expect([NOT_SERVING, SERVING], [check(SERVICE), check("liveness")])
        expect(SERVING, next(changes).status)
        changes.cancel()


def round_robin():
    _, first = server_says("listening on ")
    beta, _ = server_says("listening on ", first + 1)
    addresses = f"ipv4:{server_address()},{beta.removeprefix('listening on ')}"
    # Two addresses are no name of a host, as a request's `:authority` must be.
    authority = ("grpc.default_authority", "localhost")
    with channel(addresses, authority, ("grpc.service_config", CONFIG)) as it:
        calculator = CalculatorStub(it)

        def who(value=16):
            try:
                _, call = calculator.SquareRoot.with_call(Number(value=value), timeout=10)
                return dict(call.initial_metadata())["served-by"]
            except grpc.RpcError as error:
                expect(grpc.StatusCode.UNAVAILABLE, error.code())
                return dict(error.trailing_metadata() or ()).get("served-by", "nobody")

        def settles(expected):
            deadline = time.monotonic() + 20
            while (got := {who() for _ in range(4)}) != expected:
                if time.monotonic() > deadline:
                    expect(expected, got)
                time.sleep(0.05)

        settles({"alpha", "beta"})
        ill = who(13)
        other = "beta" if ill == "alpha" else "alpha"
        settles({other})
        expect({other}, {who() for _ in range(20)})
        expect(other, who(13))
        settles({"nobody"})
        settles({"alpha", "beta"})


class Backend(Calculator):
    """Says who it is, and is ill for a while after the root of 13."""

    def __init__(self, name, reporter):
        self.name, self.reporter = name, reporter

    def SquareRoot(self, request, context):
        if request.value == 13:
            self.reporter.set(SERVICE, NOT_SERVING)
            threading.Timer(4, self.reporter.set, [SERVICE, SERVING]).start()
            context.set_trailing_metadata([("served-by", self.name)])
            context.abort(grpc.StatusCode.UNAVAILABLE, "the database is gone")
        context.send_initial_metadata([("served-by", self.name)])
        return super().SquareRoot(request, context)


def backend(name):
    reporter = health.HealthServicer()
    for service in ["", SERVICE]:
        reporter.set(service, SERVING)
    return reporter, serving(
        (health_pb2_grpc.add_HealthServicer_to_server, reporter),
        (add_CalculatorServicer_to_server, Backend(name, reporter)),
    )


def our_client():
    with backend("alpha")[1] as alpha, backend("beta")[1] as beta:
        lines = page("16", "cargo 16 client")
        lines = [line.replace("127.0.0.1:50051", alpha).replace("127.0.0.1:50061", beta) for line in lines]
        code, out, err = lesson_program("client", f"http://{alpha}", f"http://{beta}")
        expect(([], lines, 0), (err, out, code))


def our_probe():
    reporter, server = backend("alpha")
    with server as address:

        def probe(*service):
            return lesson_program("probe", f"http://{address}", *service)

        expect((0, ["SERVING"], []), probe())
        reporter.set(SERVICE, NOT_SERVING)
        expect((0, ["SERVING"], []), probe(""))
        code, out, err = probe(SERVICE)
        expect((1, []), (code, out))
        expect_in("NOT_SERVING", err[0])
        code, out, err = probe("nobody")
        expect((1, []), (code, out))
        expect_in("no service of this name", err[0])
        reporter.enter_graceful_shutdown()
        expect(1, probe()[0])


main()
