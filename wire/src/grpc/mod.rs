//! gRPC as it is in HTTP/2: messages in DATA, and what they mean.

mod descriptors;
mod encoding;
mod message;
mod messages;
mod protobuf;
mod raw;
mod status;
mod timeout;
mod validate;

pub use self::descriptors::Descriptors;
pub(crate) use self::descriptors::Source;
pub use self::encoding::Encoding;
pub use self::message::Message;
pub(crate) use self::message::Schema;
pub(crate) use self::messages::{FIRST_BYTES, Messages, NoPrefix, PREFIX};
pub(crate) use self::protobuf::{fixed32_text, fixed64_text, status_details};
pub(crate) use self::raw::{Raw, fields, raw_text};
pub(crate) use self::status::status_name;
pub(crate) use self::timeout::timeout;
pub use self::validate::Violation;
