"""Cancellation of lesson 08 with grpcio: work that stops with its call, and work that must not."""

import contextlib
import threading
import time

import grpc
from bank_pb2 import Balances, Order, Receipt
from bank_pb2_grpc import BankServicer, BankStub, add_BankServicer_to_server
from google.protobuf.empty_pb2 import Empty
from shared import PATIENCE, case, channel, client_prints, done, expect, grpc_fails, page, server_says, serving

Code = grpc.StatusCode


def main():
    with channel() as it:
        calls_on_our_server(BankStub(it))
    bank = Bank()
    with serving((add_BankServicer_to_server, bank)) as address:
        with case("our client on a grpcio server prints what the page shows"):
            client_prints(page("08", "cargo 08 client"), address)
        with case("a grpcio server learns of each call that our client drops"):
            deadline = time.monotonic() + PATIENCE
            while bank.cancelled < 3 and time.monotonic() < deadline:
                time.sleep(0.02)
            expect(3, bank.cancelled)
    done()


def calls_on_our_server(bank):
    with case("a transfer, and the same order again"):
        expect(False, bank.Transfer(order("1"), timeout=10).done_before)
        expect(True, bank.Transfer(order("1"), timeout=10).done_before)
        expect((90, 110), balances(bank))
    with case("a naive transfer that is cancelled stops half-way"):
        _, line = server_says("branch: credit 1: done")
        cancelled(bank.TransferNaively.future(order("2"), timeout=10))
        server_says("branch: credit 2: stopped", since=line)
        expect((80, 110), balances(bank))
    with case("a safe transfer that is cancelled is carried out all the same"):
        cancelled(bank.Transfer.future(order("3"), timeout=10))
        server_says("branch: credit 3: done")
        expect((70, 120), balances(bank))
    with case("one whose deadline passes too: DEADLINE_EXCEEDED, and it is done"):
        grpc_fails(Code.DEADLINE_EXCEEDED, lambda: bank.Transfer(order("4"), timeout=0.3))
        server_says("branch: credit 4: done")
        bank.Transfer(order("4"), timeout=10)
        expect((60, 130), balances(bank))
    with case("an audit that is cancelled stops reading"):
        cancelled(bank.Audit.future(Empty(), timeout=10))
        server_says("bank: audit: stopped")
    with case("nobody has that account: NOT_FOUND; no order: INVALID_ARGUMENT"):
        grpc_fails(Code.NOT_FOUND, lambda: bank.Transfer(order("5", to="Eve"), timeout=10))
        for wrong in [order("x" * 37), order("6", to=""), Order(id="7", to="Ben"), order("\x1b[2J")]:
            grpc_fails(Code.INVALID_ARGUMENT, lambda: bank.Transfer(wrong, timeout=10))


def order(id, to="Ben"):
    return Order(id=id, to=to, coins=10)


def balances(bank):
    got = bank.GetBalances(Empty(), timeout=10)
    return got.ann, got.ben


def cancelled(call):
    """Cancels a call that has begun."""
    time.sleep(0.3)
    call.cancel()
    expect(Code.CANCELLED, call.code())


class Bank(BankServicer):
    """Both accounts in one place. A transfer takes a second, whether its caller waits or not."""

    def __init__(self):
        self.ann, self.ben = 100, 100
        self.debited, self.credited = set(), set()
        self.cancelled = 0

    def GetBalances(self, request, context):
        return Balances(ann=self.ann, ben=self.ben)

    def TransferNaively(self, request, context):
        with self.call(context) as gone:
            return self.carry_out(request, gone)

    def Transfer(self, request, context):
        with self.call(context):
            return self.carry_out(request, threading.Event())

    def Audit(self, request, context):
        with self.call(context) as gone:
            gone.wait(PATIENCE)
            return Empty()

    @contextlib.contextmanager
    def call(self, context):
        """Gives an event that is set when the caller hangs up."""
        gone = threading.Event()
        answered = threading.Event()

        def over():
            gone.set()
            self.cancelled += not answered.is_set()

        context.add_callback(over)
        yield gone
        answered.set()

    def carry_out(self, order, gone):
        if order.id not in self.debited:
            self.debited.add(order.id)
            self.ann -= order.coins
        done_before = order.id in self.credited
        if not done_before and not gone.wait(1):
            self.credited.add(order.id)
            self.ben += order.coins
        return Receipt(done_before=done_before)


main()
