//! What a status says beside its message.

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tonic::Status;

/// The most details that are read of one status. Headers have room for few.
const MOST: usize = 64;

/// One detail of a status.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Detail {
    /// The full name of its type.
    pub type_name: String,
    /// The message, if the type is known.
    pub message: Option<DynamicMessage>,
    value: Bytes,
}

impl Detail {
    /// The same detail, by the types in `types`.
    #[must_use]
    pub fn read(self, types: &DescriptorPool) -> Self {
        let message = types.get_message_by_name(&self.type_name);
        let message = message.and_then(|it| super::call::decode(&it, self.value.clone()).ok());
        Self { message, ..self }
    }
}

/// The details of `status`, by the types in `types`: at most 64.
///
/// Empty if there are none, or none that can be read.
pub fn details(status: &Status, types: &DescriptorPool) -> Vec<Detail> {
    let details = RpcStatus::decode(status.details())
        .unwrap_or_default()
        .details;
    let details = details.into_iter().take(MOST);
    details
        .map(|Any { type_url, value }| {
            let detail = Detail {
                type_name: type_url.rsplit('/').next().unwrap_or_default().to_owned(),
                message: None,
                value,
            };
            detail.read(types)
        })
        .collect()
}

/// What is used of `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}
