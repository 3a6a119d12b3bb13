"""Unary calls of lesson 01 with grpcio: its client on our server, and our client on its server."""

import grpc
import services
from concurrent.futures import ThreadPoolExecutor
from helloworld_pb2 import HelloReply, HelloRequest
from helloworld_pb2_grpc import GreeterServicer, GreeterStub, add_GreeterServicer_to_server
from calculator_pb2 import Operands
from calculator_pb2_grpc import CalculatorStub
from shared import case, channel, client_prints, done, expect, grpc_fails, lesson_program, page, serving

Code = grpc.StatusCode


def main():
    with channel() as it:
        calls_on_our_server(GreeterStub(it), CalculatorStub(it), it)
    calls_of_our_client()
    done()


def calls_on_our_server(greeter, calculator, it):
    ann = HelloRequest(name="Ann")
    with case("two greetings"):
        expect("Hello, Ann!", greeter.SayHello(ann, timeout=10).message)
        expect("Hello again, Ann!", greeter.SayHelloAgain(ann, timeout=10).message)
    with case("a name with all kinds of letters"):
        name = "Zoë 株式会社 \x00\x1b 🙂"
        expect(f"Hello, {name}!", greeter.SayHello(HelloRequest(name=name), timeout=10).message)
    with case("the square root of 16 is 4"):
        expect(4.0, calculator.SquareRoot(services.number(16), timeout=10).value)
    with case("the square root of -4 and of NaN is INVALID_ARGUMENT, with a sentence"):
        for value, text in [(-4.0, "-4"), (float("nan"), "NaN")]:
            root = lambda: calculator.SquareRoot(services.number(value), timeout=10)
            error = grpc_fails(Code.INVALID_ARGUMENT, root)
            expect(f"no real number is the square root of {text}", error.details())
    with case("a method that nobody has written, and one that is in no proto: UNIMPLEMENTED"):
        grpc_fails(Code.UNIMPLEMENTED, lambda: calculator.Divide(Operands(left=1), timeout=10))
        unknown = it.unary_unary("/calculator.v1.Calculator/Unknown")
        grpc_fails(Code.UNIMPLEMENTED, lambda: unknown(b"", timeout=10))
        elsewhere = it.unary_unary("/nowhere.v1.Nothing/Call")
        grpc_fails(Code.UNIMPLEMENTED, lambda: elsewhere(b"", timeout=10))
    with case("200 calls at once over one connection"):
        with ThreadPoolExecutor(50) as pool:
            roots = pool.map(lambda n: calculator.SquareRoot(services.number(n * n), timeout=30).value, range(200))
            expect([float(n) for n in range(200)], list(roots))


def calls_of_our_client():
    with case("our client on a grpcio server prints what the page shows"):
        with serving(services.GREETER, services.CALCULATOR) as address:
            client_prints(page("01", "cargo 01 client"), address)
    for code in Code:
        if code is Code.OK:
            continue
        with case(f"our client is told {code.name}, and says so in one line"):
            with serving((add_GreeterServicer_to_server, Refusing(code))) as address:
                url = f"http://{address}"
                ended, out, err = lesson_program("client", url)
                name = code.name.title().replace("_", "")
                first = f"calling {url} failed: {name}: because of {code.name}"
                expect((1, [], first), (ended, out, err[0]))


class Refusing(GreeterServicer):
    """Refuses every call with one code."""

    def __init__(self, code):
        self.code = code

    def SayHello(self, request, context):
        context.set_code(self.code)
        context.set_details(f"because of {self.code.name}")
        return HelloReply()


main()
