"""A server of lesson 18 that is replaced three times while grpcio calls it: nothing is lost, and a stream moves."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import grpc
import services
from calculator_pb2 import Integer
from calculator_pb2_grpc import CalculatorStub
from restart_pb2 import WAY_DRAIN, ReplaceRequest
from restart_pb2_grpc import RestartStub
from shared import case, channel, done, expect, server_says

REPLACEMENTS = 3


def main():
    with channel() as it, channel(None, ("grpc.use_local_subchannel_pool", 1)) as other:
        replace = lambda: RestartStub(other).Replace(ReplaceRequest(way=WAY_DRAIN), timeout=10)
        nothing_is_lost(CalculatorStub(it), replace)
        a_stream_moves(CalculatorStub(it), replace)
    done()


def nothing_is_lost(calculator, replace):
    over = False

    def calls(first):
        """Makes calls, one after the other, until it's over. Returns how many there were."""
        for made in count():
            if over:
                return made
            root = calculator.SquareRoot(services.number(first * first), timeout=10)
            expect(float(first), root.value)

    with case(f"{REPLACEMENTS} servers are drained below eight callers, and each call is answered"):
        with ThreadPoolExecutor(8) as pool:
            callers = [pool.submit(calls, first) for first in range(8)]
            try:
                for worker in range(1, REPLACEMENTS + 1):
                    replace()
                    server_says(f"worker {worker}: gone")
            finally:
                over = True
            for caller in callers:
                expect(True, caller.result() >= REPLACEMENTS)


def a_stream_moves(calculator, replace):
    with case("a stream is told with UNAVAILABLE, and goes on at the next server without a gap"):
        primes, moves = [1], 0
        while moves == 0 or len(primes) < 100:
            stream = calculator.Primes(Integer(value=primes[-1] + 1), timeout=10)
            try:
                for prime in stream:
                    primes.append(prime.value)
                    if len(primes) == 10:
                        replace()
                    if moves and len(primes) >= 100:
                        stream.cancel()
                        break
            except grpc.RpcError as error:
                expect((grpc.StatusCode.UNAVAILABLE, True), (error.code(), moves < 5))
                moves += 1
        expect([n for n in range(2, primes[-1] + 1) if services.is_prime(n)], primes[1:])


main()
