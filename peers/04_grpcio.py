"""Bidirectional streaming of lesson 04 with grpcio: ping-pong, and a guest in the chat."""

import itertools
import math
import queue
import threading

import chat_pb2
import grpc
import services
from calculator_pb2_grpc import CalculatorStub
from chat_pb2_grpc import ChatServicer, ChatStub, add_ChatServicer_to_server
from services import numbers, values
from shared import case, channel, client_prints, done, expect, grpc_fails, page, server_says, serving

Code = grpc.StatusCode


def main():
    with channel() as it:
        maxima_of_our_server(CalculatorStub(it))
        guests_of_our_server(ChatStub(it))
    with case("our client on a grpcio server prints what the page shows"):
        with serving(services.CALCULATOR, (add_ChatServicer_to_server, Room())) as address:
            client_prints(page("04", "cargo 04 client"), address)
    done()


def maxima_of_our_server(calculator):
    with case("a running maximum"):
        expect([1.0, 5.0, 5.0], values(calculator.Maximum(numbers(1, 5, 2), timeout=10)))
    with case("each reply comes before the next request is sent"):
        requests = queue.Queue()
        replies = calculator.Maximum(iter(requests.get, None), timeout=10)
        for value, largest in [(3, 3), (1, 3), (4, 4)]:
            requests.put(services.number(value))
            expect(largest, next(replies).value)
        requests.put(None)
        expect([], list(replies))
    with case("a reply, then INVALID_ARGUMENT"):
        replies = calculator.Maximum(numbers(1, math.nan, 2), timeout=10)
        expect(1.0, next(replies).value)
        error = grpc_fails(Code.INVALID_ARGUMENT, lambda: replies)
        expect("NaN can't be compared", error.details())
    with case("DEADLINE_EXCEEDED while both sides wait"):
        requests = queue.Queue()
        replies = calculator.Maximum(iter(requests.get, None), timeout=0.5)
        grpc_fails(Code.DEADLINE_EXCEEDED, lambda: replies)
        requests.put(None)


def guests_of_our_server(chat):
    with case("two guests hear each other, and who comes and goes"):
        ann, ann_hears = enter(chat, "Ann")
        server_says("Ann joins")
        bob, bob_hears = enter(chat, "Bob")
        expect("* Bob joins", heard(ann_hears))
        ann.put(chat_pb2.Line(text="Hello, Bob."))
        expect("Ann: Hello, Bob.", heard(bob_hears))
        bob.put(None)
        expect([], list(bob_hears))
        expect("* Bob leaves", heard(ann_hears))
    with case("a guest who hangs up has left"):
        ann_hears.cancel()
        server_says("Ann leaves")
        ann.put(None)


def enter(chat, name):
    lines = queue.Queue()
    lines.put(chat_pb2.Line(speaker=name))
    hears = chat.Talk(iter(lines.get, None), timeout=20)
    hears.initial_metadata()
    return lines, hears


def heard(lines):
    line = next(lines)
    return f"{line.speaker}: {line.text}" if line.speaker else f"* {line.text}"


class Room(ChatServicer):
    """Passes on what each guest says to all others."""

    def __init__(self):
        self.guests = {}
        self.lock = threading.Lock()

    def Talk(self, lines, context):
        name = next(lines).speaker
        hears = queue.Queue()
        with self.lock:
            self.tell(chat_pb2.Line(text=f"{name} joins"))
            self.guests[name] = hears
        context.send_initial_metadata(())
        threading.Thread(target=self.listen, args=(name, lines, hears), daemon=True).start()
        yield from iter(hears.get, None)

    def listen(self, name, lines, hears):
        try:
            for line in lines:
                self.tell(chat_pb2.Line(speaker=name, text=line.text), besides=name)
        except Exception:
            pass  # The call is over, whether it was ended or broke off.
        with self.lock:
            self.guests.pop(name)
            self.tell(chat_pb2.Line(text=f"{name} leaves"))
        hears.put(None)

    def tell(self, line, besides=None):
        for name, hears in list(self.guests.items()):
            if name != besides:
                hears.put(line)


main()
