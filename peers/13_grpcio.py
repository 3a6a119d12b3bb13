"""Flow control of lesson 13 with grpcio: a download that waits for its reader, and both directions at once."""

import itertools
import zlib

import grpc
from files_pb2 import Chunk, DownloadRequest, Part
from files_pb2_grpc import FilesServicer, FilesStub, add_FilesServicer_to_server
from shared import case, channel, client_prints, done, expect, grpc_fails, page, server_says, serving

Code = grpc.StatusCode
FILM = DownloadRequest(name="harbour.film")
SIZE = 8 * 1024 * 1024


def main():
    # Without its own measurement of the line, grpcio's window stays as small as it begins.
    with channel(None, ("grpc.http2.bdp_probe", 0)) as it:
        calls_on_our_server(FilesStub(it))
    with case("our client on a grpcio server prints what the page shows"):
        with serving((add_FilesServicer_to_server, Files())) as address:
            client_prints(page("13", "cargo 13 client"), address)
    done()


def calls_on_our_server(files):
    with case("a download is whole: its size and checksum are right"):
        expect((SIZE, True), downloaded(files.Download(FILM, timeout=60)))
        _, line = server_says("harbour.film: handed over")
    with case("a download waits for a reader who pauses, and goes on"):
        parts = files.Download(FILM, timeout=60)
        first = next(parts)
        _, line = server_says("harbour.film: waits for its reader", since=line + 1)
        expect((SIZE, True), downloaded(parts, first))
        _, line = server_says("harbour.film: handed over", since=line)
    with case("a download that is cancelled ends"):
        parts = files.Download(FILM, timeout=60)
        next(parts)
        server_says("harbour.film: waits for its reader", since=line + 1)
        parts.cancel()
        server_says("harbour.film: ", since=line + 2)
        grpc_fails(Code.CANCELLED, lambda: parts)
    with case("names that are no file's: INVALID_ARGUMENT, or NOT_FOUND"):
        for name in ["../Cargo.toml", "/etc/passwd", "", "a\0b", ".hidden", "x" * 256]:
            grpc_fails(Code.INVALID_ARGUMENT, lambda: files.Download(DownloadRequest(name=name), timeout=10))
        grpc_fails(Code.NOT_FOUND, lambda: files.Download(DownloadRequest(name="desert.film"), timeout=10))
    with case("8 MiB written and read at once"):
        chunks = (Chunk(data=bytes(64 * 1024)) for _ in range(128))
        expect(SIZE, sum(len(chunk.data) for chunk in files.Copy(chunks, timeout=60)))


def downloaded(parts, first=None):
    """The number of bytes, and whether size and checksum are those that were promised."""
    size, data, checksum = None, b"", None
    for part in itertools.chain([first] if first else [], parts):
        match part.WhichOneof("content"):
            case "size":
                size = part.size
            case "data":
                data += part.data
            case "checksum":
                checksum = part.checksum
    return len(data), (size, checksum) == (len(data), zlib.crc32(data))


class Files(FilesServicer):
    """One film, and an echo."""

    def Download(self, request, context):
        if not request.name.replace(".", "").isalnum():
            context.abort(Code.INVALID_ARGUMENT, "not a file's name")
        if request.name != FILM.name:
            context.abort(Code.NOT_FOUND, "no such file")
        film = bytes(number % 251 for number in range(64 * 1024)) * 128
        yield Part(size=len(film))
        for begin in range(0, len(film), 64 * 1024):
            yield Part(data=film[begin : begin + 64 * 1024])
        yield Part(checksum=zlib.crc32(film))

    def Copy(self, chunks, context):
        yield from chunks


main()
