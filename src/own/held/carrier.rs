//! The form of our own page that brings a held form back: how it is told from a form of the site, and its fields.
//!
//! It is posted to the address of the held form, so that the answer of the application stands under its own address.
//! Any form that a person uploads may be it; the first bytes tell, and nothing else of a body is waited for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use super::super::form::Form;
use super::Place;
use crate::filter::body::{self, Body};
use crate::visit::{Purpose, Visit};

/// The first field of a carrier: the sealed form.
pub(super) const SEALED: &str = "consentry_held";

/// The most that a carrier's own fields take beside the sealed form.
const FIELDS: usize = 64 << 10;

/// What a request turned out to be.
#[derive(Debug)]
pub enum Sorted {
    /// A request to the site, as it came.
    Request(Request<Body>),
    /// A form that was held, with what the visitor says to the document.
    Carrier(Carrier),
    /// A carrier that is too large or broke off.
    Broken,
}

/// A form that comes back.
#[derive(Debug)]
pub struct Carrier {
    pub(super) head: http::request::Parts,
    /// As it stood in the page.
    pub(super) sealed: Bytes,
    /// The other fields.
    pub(super) form: Form,
    /// What it takes of the memory for held forms, until it has been sent on.
    pub(super) place: Place,
}

/// Tells carriers from the site's own forms, which have this boundary; `most` is the size of the largest form that is
/// held.
pub(super) async fn sort(request: Request<Body>, boundary: &str, most: usize, mut place: Place) -> Sorted {
    let (head, mut body) = request.into_parts();
    let start = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{SEALED}\"\r\n\r\n");
    let (read, end) = read_until(&mut body, start.len()).await;
    if !read.get(..start.len()).is_some_and(|read| read.eq_ignore_ascii_case(start.as_bytes())) {
        let body = Peeked { read: Some(read).filter(|read| !read.is_empty()), end, rest: body };
        return Sorted::Request(Request::from_parts(head, body::stream(body)));
    }
    let longest = most.saturating_add(FIELDS).saturating_mul(4) / 3 + FIELDS;
    let rest = match end {
        Some(End::Whole) => Some(Bytes::new()),
        Some(End::Broken(_)) => None,
        None => {
            // The sealed form, and what it is once it is opened.
            let all = longest.saturating_mul(super::AT_ONCE).saturating_mul(2);
            super::read(body, longest, |bytes| place.grow(bytes.saturating_mul(2), all)).await.ok()
        }
    };
    let Some(rest) = rest else { return Sorted::Broken };
    let whole = if rest.is_empty() { read } else { Bytes::from([read, rest].concat()) };
    let Some((sealed, form)) = fields(&whole, boundary) else { return Sorted::Broken };
    Sorted::Carrier(Carrier { head, sealed, form, place })
}

/// The boundary of a form that a person uploads.
pub(super) fn boundary(visit: &Visit, request: &Request<Body>) -> Option<String> {
    if visit.method != Method::POST || visit.purpose == Purpose::Resource || request.body().is_end_stream() {
        return None;
    }
    let written = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let (essence, parameters) = written.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let parameter = parameters.split(';').map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let boundary = parameter.trim_matches('"');
    (1..=200).contains(&boundary.len()).then(|| boundary.to_owned())
}

/// The sealed form and the other fields of a carrier.
fn fields(whole: &Bytes, boundary: &str) -> Option<(Bytes, Form)> {
    let separator = format!("\r\n--{boundary}");
    let mut rest = whole.slice(separator.len() - 2..);
    let mut sealed = None;
    let mut others = Vec::new();
    while rest.starts_with(b"\r\n") {
        let head = memchr::memmem::find(&rest, b"\r\n\r\n")?;
        let name = std::str::from_utf8(rest.get(..head)?).ok()?.split("name=\"").nth(1)?.split('"').next()?;
        let name: Box<str> = name.into();
        let from = head + 4;
        let end = from + memchr::memmem::find(rest.get(from..)?, separator.as_bytes())?;
        if &*name == SEALED {
            sealed = Some(rest.slice(from..end));
        } else {
            others.push((name, std::str::from_utf8(rest.get(from..end)?).ok()?.into()));
        }
        rest = rest.slice(end + separator.len()..);
    }
    rest.starts_with(b"--").then_some((sealed?, Form::of(others)))
}

/// How a body ended while its first bytes were read.
enum End {
    Whole,
    Broken(Option<body::Error>),
}

async fn read_until(body: &mut Body, length: usize) -> (Bytes, Option<End>) {
    let mut read = BytesMut::new();
    while read.len() < length {
        match body.frame().await {
            None => return (read.freeze(), Some(End::Whole)),
            Some(Err(error)) => return (read.freeze(), Some(End::Broken(Some(error)))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => read.extend_from_slice(&data),
                Err(_) => return (read.freeze(), Some(End::Whole)),
            },
        }
    }
    (read.freeze(), None)
}

/// A body whose first bytes were read already.
struct Peeked {
    read: Option<Bytes>,
    end: Option<End>,
    rest: Body,
}

impl http_body::Body for Peeked {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        if let Some(read) = self.read.take() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        match &mut self.end {
            Some(End::Whole) => Poll::Ready(None),
            Some(End::Broken(error)) => Poll::Ready(error.take().map(Err)),
            None => Poll::Ready(ready!(Pin::new(&mut self.rest).poll_frame(context))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && (matches!(self.end, Some(End::Whole)) || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, Bytes::len) as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(value: &str) -> Bytes {
        let field = |name: &str, value: &str| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        format!("{}{}{}--B--\r\n", field(SEALED, value), field("document", "privacy"), field("lang", "sv"))
            .into()
    }

    #[test]
    fn the_fields_of_a_carrier_come_apart() {
        let (sealed, form) = fields(&carrier("abc_-"), "B").unwrap();
        assert_eq!(sealed, "abc_-");
        assert_eq!((form.one("document"), form.one("lang")), (Some("privacy"), Some("sv")));
    }

    #[test]
    fn a_carrier_that_broke_off_is_none() {
        let whole = carrier("abc");
        // Without the line end after its last boundary it is whole.
        for length in 3..whole.len() - 2 {
            assert!(fields(&whole.slice(..length), "B").is_none(), "{length}");
        }
    }
}
