"""Compression of lesson 12 with grpcio: gzip and deflate in both directions, and what is refused."""

import grpc
from grpc import Compression
from reports_pb2 import Findings, Receipt, Report, Station, Words
from reports_pb2_grpc import ReportsServicer, ReportsStub, add_ReportsServicer_to_server
from shared import case, channel, done, expect, expect_in, grpc_fails, lesson_program, serving

Code = grpc.StatusCode
BERGEN = Station(name="Bergen")


def main():
    with channel() as it:
        calls_on_our_server(ReportsStub(it))
    with case("our client unpacks gzip and deflate of a grpcio server, and sends it gzip"):
        office = Office()
        with serving((add_ReportsServicer_to_server, office)) as address:
            ended, out, err = lesson_program("client", f"http://{address}")
            expect((0, []), (ended, err))
            expect("fetching a year of Bergen:", out[0])
            for line, encoding in zip(out[1:7], ["plain", "plain", "gzip", "gzip", "plain", "deflate"]):
                expect_in(f", {encoding}", line)
            expect_in("365 messages", out[8])
            # The second time in deflate, which this server reads too.
            expect([365, 365], office.filed)
            expect("  plain: the lengths give nothing away", out[-1])
    done()


def calls_on_our_server(reports):
    with case("a report in plain, gzip and deflate is the same report"):
        plain = reports.Fetch(BERGEN, timeout=10)
        expect(365, len(plain.days))
        gzip, call = reports.Fetch.with_call(BERGEN, timeout=10, compression=Compression.Gzip)
        expect(plain, gzip)
    with case("a stream of 365 compressed replies"):
        days = list(reports.Days(BERGEN, timeout=10, compression=Compression.Gzip))
        expect(365, len(days))
    with case("a report that is filed in gzip"):
        report = reports.Fetch(BERGEN, timeout=10)
        expect(365, reports.File(report, timeout=10, compression=Compression.Gzip).days)
    with case("filed in deflate: UNIMPLEMENTED, and the server names what it reads"):
        filed = lambda: reports.File(report, timeout=10, compression=Compression.Deflate)
        error = grpc_fails(Code.UNIMPLEMENTED, filed)
        expect_in("deflate", error.details())
    with case("a message that is larger unpacked than the limit: refused"):
        bomb = Report(station="0" * 64 * 1024 * 1024)
        try:
            reports.File(bomb, timeout=20, compression=Compression.Gzip)
            expect("refused", "accepted")
        except grpc.RpcError as error:
            expect(True, error.code() in (Code.RESOURCE_EXHAUSTED, Code.OUT_OF_RANGE))
    with case("an answer with a secret comes plain if asked for"):
        private = reports.LookUp(Words(text="pass=", private=True), timeout=10)
        expect("pass=", getattr(private, "pass")[:5])


class Office(ReportsServicer):
    """Answers a report in the encoding that the course's client reads at that time."""

    def __init__(self):
        self.filed = []
        self.encodings = iter([Compression.NoCompression, Compression.Gzip, Compression.Deflate])

    def Fetch(self, request, context):
        context.set_compression(next(self.encodings))
        return year()

    def Days(self, request, context):
        context.set_compression(Compression.Gzip)
        yield from year().days

    def File(self, request, context):
        self.filed.append(len(request.days))
        return Receipt(days=len(request.days))

    def LookUp(self, request, context):
        if not request.private:
            context.set_compression(Compression.Gzip)
        return Findings(**{"text": request.text, "pass": "pass=481516"})


def year():
    report = Report(station="Bergen")
    for number in range(1, 366):
        report.days.add(number=number, temperature=number % 30 - 10, sky="cloudy with rain")
    return report


main()
