"""Reflection with grpcio: its client on our server, and our `ask` on its server, v1alpha and v1."""

import grpc
import services
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_reflection.v1alpha.reflection import ReflectionServicer
from shared import case, channel, done, expect, expect_in, grpc_fails, lesson_program, serving

CALCULATOR = "calculator.v1.Calculator"
GREETER = "helloworld.Greeter"
ANN = (("authorization", "Bearer token-of-ann"),)


def main():
    with channel() as plain:
        strangers(plain)
        members(grpc.intercept_channel(plain, SignIn()))
    for version in ["v1alpha", "v1"]:
        with serving(services.GREETER, services.CALCULATOR, told(version)) as address:
            our_tool(version, f"http://{address}")
    with serving(services.CALCULATOR) as address:
        with case("ask: a server without reflection says so, exit status 64 + UNIMPLEMENTED"):
            code, out, err = lesson_program("ask", f"http://{address}")
            expect((76, []), (code, out))
            expect_in("the server has no reflection", err[0])


def strangers(it):
    with case("a stranger is told nothing"):
        database = ProtoReflectionDescriptorDatabase(it)
        grpc_fails(grpc.StatusCode.UNAUTHENTICATED, database.get_services)


def members(it):
    with case("a member is told of the calculator, and of nothing else"):
        database = ProtoReflectionDescriptorDatabase(it)
        services_told = set(database.get_services())
        expect({CALCULATOR, "grpc.reflection.v1alpha.ServerReflection"}, services_told)
    with case("a hidden service can't be found by its name"):
        stub = reflection_pb2_grpc.ServerReflectionStub(it)
        question = reflection_pb2.ServerReflectionRequest(file_containing_symbol=GREETER)
        answers = stub.ServerReflectionInfo(iter([question]), timeout=10)
        grpc_fails(grpc.StatusCode.NOT_FOUND, lambda: answers)
    with case("a call by nothing but what reflection has told"):
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(it))
        method = pool.FindServiceByName(CALCULATOR).FindMethodByName("SquareRoot")
        request = GetMessageClass(method.input_type)(value=16)
        reply = GetMessageClass(method.output_type)
        root = it.unary_unary(
            f"/{CALCULATOR}/SquareRoot",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        expect(4.0, root(request, timeout=10).value)


def our_tool(version, url):
    reflection = f"grpc.reflection.{version}.ServerReflection"
    with case(f"ask: a server with {version} only lists its services"):
        expect((0, [CALCULATOR, reflection, GREETER], []), lesson_program("ask", url))
    with case(f"ask: {version}: a service is printed as proto text"):
        code, out, err = lesson_program("ask", url, CALCULATOR)
        expect((0, []), (code, err))
        expect('syntax = "proto3";', out[0])
        expect_in("  rpc Maximum(stream Number) returns (stream Number);", out)
    for method, messages, expected in [
        ("SquareRoot", '{"value": 16}', ['{"value":4.0}']),
        ("Factorize", '{"value": "6"}', ['{"value":"2"}', '{"value":"3"}']),
        (
            "Summarize",
            '{"value": 1} {"value": 3}',
            ['{"count":"2","mean":2.0,"minimum":1.0,"maximum":3.0}'],
        ),
        ("Maximum", '{"value": 3}{"value": 9}{"value": 4}', [f'{{"value":{it}}}' for it in (3.0, 9.0, 9.0)]),
    ]:
        with case(f"ask: {version}: {method}, its messages from standard input"):
            got = lesson_program("ask", url, f"{CALCULATOR}/{method}", stdin=messages)
            expect((0, expected, []), got)
    with case(f"ask: {version}: an error's code is the exit status, its message on stderr"):
        code, out, err = lesson_program("ask", url, f"{CALCULATOR}/SquareRoot", '{"value": -4}')
        expect((64 + 3, []), (code, out))
        expect_in("InvalidArgument: no real number is the square root of -4", err[-1])
    with case(f"ask: {version}: a name that the server doesn't know"):
        code, _, err = lesson_program("ask", url, "nowhere.v1.Nothing")
        expect((1, 1), (code, len(err)))
        expect_in("the server knows no `nowhere.v1.Nothing`", err[0])


def told(version):
    """grpcio's reflection, which is v1alpha's, under the name of `version`: the messages are the same."""
    name = f"grpc.reflection.{version}.ServerReflection"
    servicer = ReflectionServicer([CALCULATOR, GREETER, name])

    def add(servicer, server):
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers((handlers,))

    return add, servicer


class SignIn(grpc.StreamStreamClientInterceptor):
    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=ANN), requests)


main()
done()
