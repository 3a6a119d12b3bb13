"""The course's services as another server has them: the same rules, in grpcio."""

import math
import time

import calculator_pb2
import calculator_pb2_grpc
import grpc
import helloworld_pb2
import helloworld_pb2_grpc

INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):
        return helloworld_pb2.HelloReply(message=f"Hello, {request.name}!")

    def SayHelloAgain(self, request, context):
        return helloworld_pb2.HelloReply(message=f"Hello again, {request.name}!")


class Calculator(calculator_pb2_grpc.CalculatorServicer):
    def SquareRoot(self, request, context):
        if not request.value >= 0:
            context.abort(INVALID, f"no real number is the square root of {request.value:g}")
        return number(math.sqrt(request.value))

    def Factorize(self, request, context):
        if request.value == 0:
            context.abort(INVALID, "every number divides 0: it has no prime factors")
        rest, divisor = request.value, 2
        while rest > 1 and context.is_active():
            if is_prime(rest):
                divisor = rest
            if rest % divisor == 0:
                rest //= divisor
                yield calculator_pb2.Integer(value=divisor)
            elif divisor > 100_000:
                # Too hard for Python. The client is to hang up.
                time.sleep(0.05)
            else:
                divisor += 1

    def Summarize(self, requests, context):
        values = []
        for request in requests:
            if not math.isfinite(request.value):
                which = f"reading {len(values) + 1} is NaN, not a finite number"
                context.abort(INVALID, which)
            values.append(request.value)
        if not values:
            context.abort(INVALID, "no readings, no summary")
        mean = sum(values) / len(values)
        return calculator_pb2.Summary(
            count=len(values), mean=mean, minimum=min(values), maximum=max(values)
        )

    def Maximum(self, requests, context):
        largest = -math.inf
        for request in requests:
            if math.isnan(request.value):
                context.abort(INVALID, "NaN can't be compared")
            largest = max(largest, request.value)
            yield number(largest)


def is_prime(number):
    """Fermat's test with small bases: good enough for the numbers here."""
    return number > 1 and all(number == base or pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7))


def number(value):
    return calculator_pb2.Number(value=value)


def numbers(*values):
    return iter([number(value) for value in values])


def integer(value):
    return calculator_pb2.Integer(value=value)


def values(replies):
    return [reply.value for reply in replies]


CALCULATOR = (calculator_pb2_grpc.add_CalculatorServicer_to_server, Calculator())
GREETER = (helloworld_pb2_grpc.add_GreeterServicer_to_server, Greeter())
