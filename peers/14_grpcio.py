"""Authentication of lesson 14 with grpcio: who gets in, by certificate, token and table."""
# before: certs

import os
import pathlib

import grpc
import services
from calculator_pb2_grpc import CalculatorStub
from shared import case, done, expect, grpc_fails
import sys

Code = grpc.StatusCode
CERTS = pathlib.Path(os.environ["COURSE"]) / "target/certs"
WORDS = "this call needs valid credentials"


def main():
    with case("a member, by certificate and token"), member("ann", "ann") as it:
        expect(4.0, CalculatorStub(it).SquareRoot(services.number(16), timeout=10).value)
        maxima = CalculatorStub(it).Maximum(iter([services.number(1)]), timeout=10)
        expect([1.0], [it.value for it in maxima])
    with case("a member who may not: PERMISSION_DENIED"), member("bob", "bob") as it:
        expect(4.0, CalculatorStub(it).SquareRoot(services.number(16), timeout=10).value)
        denied = lambda: list(CalculatorStub(it).Maximum(iter([services.number(1)]), timeout=10))
        expect("you may not call this method", grpc_fails(Code.PERMISSION_DENIED, denied).details())
    with case("somebody else's token, in all kinds of call: UNAUTHENTICATED"):
        with member("bob", "ann") as it:
            each_is_unauthenticated(CalculatorStub(it))
    with case("no token, garbage, and another scheme: UNAUTHENTICATED in the same words"):
        with over_tls("bob") as it:
            for metadata in [[], [bearer("garbage")], [("authorization", "Basic Ym9iOmJvYg==")]]:
                call = lambda: CalculatorStub(it).SquareRoot(
                    services.number(16), timeout=10, metadata=metadata
                )
                expect(WORDS, grpc_fails(Code.UNAUTHENTICATED, call).details())
    with case("a stranger's certificate, and none: no connection"):
        for name in ["stranger", None]:
            with over_tls(name) as it:
                call = lambda: CalculatorStub(it).SquareRoot(services.number(16), timeout=10)
                grpc_fails(Code.UNAVAILABLE, call)
    with case("another name than the server's, and plain text: no connection"):
        elsewhere = [("grpc.ssl_target_name_override", "elsewhere")]
        with over_tls("ann", elsewhere) as it, grpc.insecure_channel(sys.argv[1]) as plain:
            for channel in [it, plain]:
                call = lambda: CalculatorStub(channel).SquareRoot(services.number(16), timeout=10)
                grpc_fails(Code.UNAVAILABLE, call)
    done()


def each_is_unauthenticated(stub):
    number = services.number(16)
    for call in [
        lambda: stub.SquareRoot(number, timeout=10),
        lambda: list(stub.Factorize(services.integer(12), timeout=10)),
        lambda: stub.Summarize(iter([number]), timeout=10),
        lambda: list(stub.Maximum(iter([number]), timeout=10)),
    ]:
        expect(WORDS, grpc_fails(Code.UNAUTHENTICATED, call).details())


def read(file):
    return (CERTS / file).read_bytes()


def channel_credentials(name):
    key, chain = (read(f"{name}.key"), read(f"{name}.pem")) if name else (None, None)
    return grpc.ssl_channel_credentials(read("ca.pem"), key, chain)


def over_tls(name, options=None):
    return grpc.secure_channel(sys.argv[1], channel_credentials(name), options)


def member(name, token):
    call = grpc.access_token_call_credentials(read(f"{token}.token").decode())
    both = grpc.composite_channel_credentials(channel_credentials(name), call)
    return grpc.secure_channel(sys.argv[1], both)


def bearer(token):
    return ("authorization", f"Bearer {token}")


main()
