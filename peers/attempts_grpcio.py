"""A server of grpcio that answers each attempt of a call as the call's script says, like attempts_server.mjs."""

import contextlib
import random
import socket
import threading
import time
from concurrent import futures

import grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcioServer:
    """On one port, for one client: its GOAWAY is for all connections."""

    def __enter__(self):
        self.seen = []
        # Below those that systems give to clients: nobody takes it while one server follows another.
        self.port = None
        while not self.port:
            with contextlib.suppress(RuntimeError):
                self.begin(random.randrange(15_000, 30_000))
        self.address = f"127.0.0.1:{self.port}"
        return self

    def begin(self, port):
        self.server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        method = grpc.unary_stream_rpc_method_handler(self.attempt)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", {"Call": method})])
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def attempt(self, _, context):
        metadata = dict(context.invocation_metadata())
        call, script = metadata["call"], metadata["script"].split(",")
        number = sum(attempt["call"] == call for attempt in self.seen)
        self.seen.append({"call": call, "previous": metadata.get("grpc-previous-rpc-attempts")})
        action, *more = script[number].split(":") if number < len(script) else ["ok"]
        if action == "hang":
            gone = threading.Event()
            if context.add_callback(gone.set):
                gone.wait()
            return
        if action == "goaway":
            self.goaway()
            more = ["14"]
        elif action == "push":
            context.set_trailing_metadata([("grpc-retry-pushback-ms", more[1])])
        elif action == "headers":
            # If there is nothing in them, grpcio may leave the headers out, and send trailers only.
            context.send_initial_metadata([("begins", "yes")])
        elif action in ("ok", "message"):
            yield b""
        if action != "ok":
            context.abort(CODES[int(more[0])], "as the script says")

    def goaway(self):
        """The connections end once their calls have; whoever connects again finds another server."""
        self.server.stop(30)
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                socket.create_connection(("127.0.0.1", self.port)).close()
                time.sleep(0.002)
        self.begin(self.port)

    def __exit__(self, *_):
        self.server.stop(None).wait()
