"""Channelz of lesson 17 with grpcio: its client reads our servers and channels, ours reads a grpcio server's."""
# server: {address} {address}

import time

import grpc
from calculator_pb2 import Number
from calculator_pb2_grpc import CalculatorStub
from grpc_channelz.v1 import channelz, channelz_pb2 as pb, channelz_pb2_grpc
from shared import case, channel, done, expect, expect_in, grpc_fails, lesson_program, server_says, serving
import services

Code = grpc.StatusCode
READY = pb.ChannelConnectivityState.READY


def main():
    line, _ = server_says("channelz on ")
    with channel() as it, channel(line.split("channelz on ")[1]) as told:
        stub = channelz_pb2_grpc.ChannelzStub(told)
        make_calls(CalculatorStub(it))
        servers(stub)
        channels(stub)
        pages(stub)
        errors(stub)
    with case("our client reads the channelz of a grpcio server"):
        our_client()
    done()


def make_calls(calculator):
    with case("six calls: two reach the slow backend"):
        codes = []
        for number in range(6):
            try:
                calculator.SquareRoot(Number(value=number), timeout=10)
                codes.append(Code.OK)
            except grpc.RpcError as error:
                codes.append(error.code())
        expect([Code.OK, Code.DEADLINE_EXCEEDED, Code.OK] * 2, codes)


def servers(stub):
    with case("GetServers, GetServer: names, calls, and where they listen"):
        deadline = time.monotonic() + 10
        while True:
            all = stub.GetServers(pb.GetServersRequest(), timeout=10)
            calls = {it.ref.name: (it.data.calls_started, it.data.calls_failed) for it in all.server}
            if calls["backend-2"] == (2, 2) or time.monotonic() > deadline:
                break
        expect({"front": (6, 2), "backend-1": (2, 0), "backend-2": (2, 2), "backend-3": (2, 0)}, calls)
        expect(True, all.end)
        for server in all.server:
            one = stub.GetServer(pb.GetServerRequest(server_id=server.ref.server_id), timeout=10).server
            expect(server.ref, one.ref)
            expect(1, len(one.listen_socket))
            expect("created", one.data.trace.events[0].description)
            expect(True, one.data.last_call_started_timestamp.seconds > 1_700_000_000)
    with case("GetServerSockets, GetSocket: the connections of a server, and what they carried"):
        for server in all.server:
            request = pb.GetServerSocketsRequest(server_id=server.ref.server_id)
            sockets = stub.GetServerSockets(request, timeout=10)
            expect((1, True), (len(sockets.socket_ref), sockets.end))
            socket = get_socket(stub, sockets.socket_ref[0])
            expect(server.data.calls_started, socket.data.streams_started)
            expect(server.data.calls_started, socket.data.messages_received)
            expect(bytes([127, 0, 0, 1]), socket.remote.tcpip_address.ip_address)
            expect(True, socket.data.HasField("last_remote_stream_created_timestamp"))
            expect(False, socket.data.HasField("last_local_stream_created_timestamp"))
            listening = get_socket(stub, server.listen_socket[0])
            expect(socket.local, listening.local)
            expect(False, listening.HasField("remote"))


def channels(stub):
    with case("GetTopChannels, GetChannel, GetSubchannel: down to the sockets"):
        all = stub.GetTopChannels(pb.GetTopChannelsRequest(), timeout=10)
        expect((1, True), (len(all.channel), all.end))
        top = stub.GetChannel(pb.GetChannelRequest(channel_id=all.channel[0].ref.channel_id), timeout=10).channel
        expect((READY, 6, 4, 2), numbers(top.data))
        found = {}
        for ref in top.subchannel_ref:
            request = pb.GetSubchannelRequest(subchannel_id=ref.subchannel_id)
            below = stub.GetSubchannel(request, timeout=10).subchannel
            (socket_ref,) = below.socket_ref
            socket = get_socket(stub, socket_ref)
            found[ref.name] = (*numbers(below.data), socket.data.messages_sent, socket.data.messages_received)
            expect(200, socket.data.peer_max_concurrent_streams)
            expect(["bytes_sent", "bytes_received"], [option.name for option in socket.data.option])
            summary = pb.GetSocketRequest(socket_id=socket_ref.socket_id, summary=True)
            expect([], list(stub.GetSocket(summary, timeout=10).socket.data.option))
            states = [event.description for event in below.data.trace.events]
            expect(["created", "CONNECTING", f"READY: socket {socket_ref.socket_id} opened"], states)
        quick, slow = (READY, 2, 2, 0, 2, 2), (READY, 2, 0, 2, 2, 0)
        expect({"backend-1": quick, "backend-2": slow, "backend-3": quick}, found)


def pages(stub):
    with case("pages: two servers at a time, from the highest id plus one"):
        names, start = [], 0
        while True:
            page = stub.GetServers(pb.GetServersRequest(start_server_id=start, max_results=2), timeout=10)
            expect(True, len(page.server) <= 2)
            names += [it.ref.name for it in page.server]
            if page.end:
                break
            start = page.server[-1].ref.server_id + 1
        expect(["front", "backend-1", "backend-2", "backend-3"], names)
        huge = pb.GetServersRequest(start_server_id=-(2**63), max_results=2**63 - 1)
        expect(4, len(stub.GetServers(huge, timeout=10).server))


def errors(stub):
    with case("an id of nothing is NOT_FOUND, a negative max_results INVALID_ARGUMENT"):
        for id in [0, -1, 9999, 2**63 - 1]:
            for call in [
                lambda: stub.GetServer(pb.GetServerRequest(server_id=id), timeout=10),
                lambda: stub.GetServerSockets(pb.GetServerSocketsRequest(server_id=id), timeout=10),
                lambda: stub.GetChannel(pb.GetChannelRequest(channel_id=id), timeout=10),
                lambda: stub.GetSubchannel(pb.GetSubchannelRequest(subchannel_id=id), timeout=10),
                lambda: stub.GetSocket(pb.GetSocketRequest(socket_id=id), timeout=10),
            ]:
                grpc_fails(Code.NOT_FOUND, call)
        negative = pb.GetServersRequest(max_results=-1)
        grpc_fails(Code.INVALID_ARGUMENT, lambda: stub.GetServers(negative, timeout=10))


def our_client():
    with serving(services.CALCULATOR, (lambda _, server: channelz.add_channelz_servicer(server), None)) as address:
        code, out, err = lesson_program("client", f"http://{address}", f"http://{address}")
        expect((0, []), (code, err))
        expect("client-6: 6, served by nobody", out[5])
        expect_in("server ", "\n".join(out[6:]))
        expect_in(" calls, ", out[6])


def get_socket(stub, ref):
    return stub.GetSocket(pb.GetSocketRequest(socket_id=ref.socket_id), timeout=10).socket


def numbers(data):
    return data.state.state, data.calls_started, data.calls_succeeded, data.calls_failed


main()
