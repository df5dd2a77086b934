//! Bodies: as they come, or decoded, rewritten and encoded again.

mod gathered;
mod page;
mod repeated;
mod start;
mod watched;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

pub use page::{CutOff, Fate, Forms, Page, Report};
pub use repeated::Repeated;
pub use watched::Watched;

/// Why a body broke off.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer that the proxy gives.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// A body that passes as it comes.
pub fn stream<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
