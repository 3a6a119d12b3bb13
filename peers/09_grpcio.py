"""Status codes of lesson 09 with grpcio: each code as the other side sees it."""

import grpc
from archive_pb2 import Correction, Document, Page, PageNumber, PageRange
from archive_pb2_grpc import ArchiveServicer, ArchiveStub, add_ArchiveServicer_to_server
from shared import case, channel, client_prints, done, expect, expect_in, grpc_fails, page, serving

Code = grpc.StatusCode
CARD = (("card", "reader"),)
LARGE = "x" * 4 * 1024 * 1024


def main():
    with channel() as it:
        calls_on_our_server(ArchiveStub(it), it)
    with case("our client on a grpcio server prints what the page shows"):
        with serving((add_ArchiveServicer_to_server, Archive())) as address:
            client_prints(page("09", "cargo 09 client"), address)
    done()


def calls_on_our_server(archive, it):
    def read(title, number):
        return lambda: archive.ReadPage(PageNumber(title=title, page=number), metadata=CARD, timeout=10)

    def call(method, request, timeout=10):
        return lambda: method(request, metadata=CARD, timeout=timeout)

    letters = Document(title="letters")
    outdated = Correction(title="codex", page=1, version=7, text="another")
    for code, what, fails in [
        (Code.INVALID_ARGUMENT, "pages are counted from 1", read("codex", 0)),
        (Code.OUT_OF_RANGE, "the last page is 3", read("codex", 9)),
        (Code.NOT_FOUND, "the catalogue has no such title", read("atlas", 1)),
        (Code.PERMISSION_DENIED, "sealed", read("secret", 1)),
        (Code.FAILED_PRECONDITION, "in the depot", read("letters", 1)),
        (Code.DATA_LOSS, "mice", read("codex", 2)),
        (Code.UNAUTHENTICATED, "a card is needed", lambda: archive.ReadPage(PageNumber(), timeout=10)),
        (Code.UNAVAILABLE, "the lift is on its way", call(archive.Order, letters)),
        (Code.ABORTED, "the page has been changed", call(archive.Correct, outdated)),
        (Code.ALREADY_EXISTS, "this title is taken", call(archive.Register, letters)),
        (Code.DEADLINE_EXCEEDED, "", call(archive.Order, Document(title="scrolls"), 0.2)),
        (Code.UNIMPLEMENTED, "", call(archive.CopyPages, PageRange())),
        (Code.RESOURCE_EXHAUSTED, "", call(archive.Register, Document(title=LARGE))),
    ]:
        with case(f"{code.name}: {what}" if what else code.name):
            expect_in(what, grpc_fails(code, fails).details())
    with case("OK, where UNAVAILABLE was told before"):
        expect("letters", archive.Order(letters, metadata=CARD, timeout=10).title)
    with case("CANCELLED, by the client"):
        ordered = archive.Order.future(Document(title="scrolls"), metadata=CARD, timeout=10)
        ordered.cancel()
        expect(Code.CANCELLED, ordered.code())
    with case("INTERNAL: bytes that are no message"):
        raw = it.unary_unary("/archive.v1.Archive/ReadPage")
        grpc_fails(Code.INTERNAL, lambda: raw(b"\xff\xff", metadata=CARD, timeout=10))


class Archive(ArchiveServicer):
    """Ends calls with the codes that the course's archive has for them."""

    PAGES = {
        ("codex", 0): Code.INVALID_ARGUMENT,
        ("codex", 2): Code.DATA_LOSS,
        ("codex", 9): Code.OUT_OF_RANGE,
        ("atlas", 1): Code.NOT_FOUND,
        ("letters", 1): Code.FAILED_PRECONDITION,
        ("secret", 1): Code.PERMISSION_DENIED,
    }

    def __init__(self):
        self.lift_is_up = False

    def ReadPage(self, request, context):
        self.check_card(context)
        code = self.PAGES.get((request.title, request.page))
        if code:
            context.abort(code, "no page for you")
        return Page(text="In the beginning was a lift.")

    def Order(self, request, context):
        self.check_card(context)
        if request.title == "scrolls":
            context.abort(Code.DEADLINE_EXCEEDED, "it would take an hour")
        if not self.lift_is_up:
            self.lift_is_up = True
            context.abort(Code.UNAVAILABLE, "the lift is on its way")
        return request

    def SendBack(self, request, context):
        return request

    def Correct(self, request, context):
        context.abort(Code.ABORTED, "the page has been changed")

    def Register(self, request, context):
        context.abort(Code.ALREADY_EXISTS, "this title is taken")

    def check_card(self, context):
        if CARD[0] not in context.invocation_metadata():
            context.abort(Code.UNAUTHENTICATED, "a card is needed")


main()
