//! HTTP/2 as it is on the wire, and what can be seen of TLS around it; without connections and without
//! gRPC.

mod frame;
mod headers;
mod payload;
mod preface;
mod reader;
mod tls;
mod validate;
mod violation;

pub(crate) use self::frame::{
    DEFAULT_MAX_FRAME_SIZE, END_HEADERS, END_STREAM, HEAD, Head, PADDED, PRIORITY,
};
pub use self::frame::{ErrorCode, FrameType, Setting};
pub use self::headers::Field;
pub(crate) use self::headers::{HeaderBlock, HeaderDecoder, Representation, representations};
pub(crate) use self::payload::{Content, GoAway, Ping, Prelude, RstStream, Settings, WindowUpdate};
pub(crate) use self::preface::{Preface, Protocol};
pub(crate) use self::reader::{FrameReader, Piece};
pub use self::tls::{ClientHello, RecordType};
pub(crate) use self::tls::{Record, Records};
pub(crate) use self::validate::validate;
pub use self::violation::Violation;
