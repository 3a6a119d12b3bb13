//! Metadata as gRPC defines it: names, values, trailers, and how much of it.

mod binary;
mod check;
mod limit;
mod split;
mod trailers;

pub use binary::get_all_bin;
pub use check::{check, check_metadata, is_reserved};
pub use limit::{HeaderLimit, HeaderLimitLayer};
pub use split::{ResponseMetadata, SplitMetadata, SplitMetadataLayer};
pub use trailers::{Trailers, TrailersLayer, WithTrailers};
