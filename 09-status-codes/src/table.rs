//! For each way in which gRPC itself ends a call: the specification's code, tonic's, and this lesson's.

use tonic::Code;

/// A way to end a call that is no handler's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table has the words")]
pub enum Case {
    Cancelled,
    DeadlinePasses,
    NoSuchMethod,
    UnknownEncoding,
    HandlerPanics,
    RequestTooLarge,
    ReplyTooLarge,
    HeadersTooLarge,
    NobodyListens,
    ConnectionCut,
    GoingAway,
    WebServer503,
    WebServer200,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What happens.
    pub case: Case,
    /// The same in words.
    pub words: &'static str,
    /// What the specification says.
    pub specification: Code,
    /// What tonic 0.14 gives.
    pub tonic: Code,
    /// What tonic gives with this lesson's layers on both sides.
    pub corrected: Code,
}

const fn row(
    case: Case,
    words: &'static str,
    specification: Code,
    tonic: Code,
    corrected: Code,
) -> Row {
    Row {
        case,
        words,
        specification,
        tonic,
        corrected,
    }
}

/// The table. Sources: `statuscodes.md`, `PROTOCOL-HTTP2.md` and `http-grpc-status-mapping.md` of gRPC.
#[rustfmt::skip]
pub const TABLE: [Row; 13] = {
    use Case::*;
    use Code::*;
    [
        row(Case::Cancelled, "the client cancels the call", Code::Cancelled, Code::Cancelled, Code::Cancelled),
        row(DeadlinePasses, "the deadline passes", DeadlineExceeded, Code::Cancelled, DeadlineExceeded),
        row(NoSuchMethod, "the server has no such method", Unimplemented, Unimplemented, Unimplemented),
        row(UnknownEncoding, "the server does not know the encoding", Unimplemented, Unimplemented, Unimplemented),
        row(HandlerPanics, "the handler panics", Unknown, Code::Cancelled, Unknown),
        row(RequestTooLarge, "the request is larger than 4 MiB", ResourceExhausted, OutOfRange, ResourceExhausted),
        row(ReplyTooLarge, "the reply is larger than 4 MiB", ResourceExhausted, OutOfRange, ResourceExhausted),
        row(HeadersTooLarge, "the headers are larger than 16 KiB", Internal, Unknown, Internal),
        row(NobodyListens, "nobody listens", Unavailable, Unavailable, Unavailable),
        row(ConnectionCut, "the connection is cut", Unavailable, Unknown, Unavailable),
        row(GoingAway, "the connection is going away", Unavailable, Code::Cancelled, Unavailable),
        row(WebServer503, "a web server says 503", Unavailable, Internal, Unavailable),
        row(WebServer200, "a web server says 200", Unknown, Internal, Unknown),
    ]
};
