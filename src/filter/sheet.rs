//! Style sheets of the site's own. They load fonts and pictures from others that no policy stops while it leaves those
//! open, so a sheet is read whole before it leaves: what it may not load is made void.
//!
//! A sheet that loads nothing of services that wait for agreement leaves as it came, and may be kept by caches.

use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::WINDOWS_1252;
use http::{Response, StatusCode, header};

use super::body::{self, Body};
use super::case::Case;
use super::encoding;
use super::page::Address;
use super::whole::{self, Unread, Whole};
use super::{Plan, Settings, apply, caching, headers, html};
use crate::visit::Visit;

/// Whether an answer is a style sheet that is read whole.
pub(super) fn is_sheet<B: http_body::Body>(answer: &Response<B>) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let essence = kind.and_then(|kind| kind.as_bytes().split(|byte| *byte == b';').next());
    answer.status() == StatusCode::OK
        && essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"text/css"))
        && !answer.body().is_end_stream()
}

/// Filters a style sheet for this visitor, as [`apply`] does all other answers.
pub(super) async fn filter<B>(
    settings: &Arc<Settings>,
    visit: &Visit,
    plan: Plan,
    answer: Response<B>,
    report: body::Report,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<body::Error> + Send + Unpin,
{
    let (head, upstream) = answer.into_parts();
    let Whole { coded, coding, plain } = match whole::read(&head.headers, upstream, settings.html_token).await
    {
        Ok(whole) => whole,
        Err(Unread::Opaque) => return super::refused(&report, "unknown-coding"),
        Err(Unread::Broken) => return super::refused(&report, "style-sheet"),
    };
    let (rules, _) = WINDOWS_1252.decode_without_bom_handling(&plain);
    let found = html::style_sheet(settings, &visit.granted, &Address::of(visit), &rules);
    let to = encoding::agreed(coding, plan.accept_encoding.as_ref());
    let mut answer =
        apply(settings, visit, plan, Response::from_parts(head, body::full(coded)), report.clone());
    if found == html::Sheet::ForEverybody {
        return answer;
    }
    headers::rewritten(answer.headers_mut(), to);
    caching::rewritten(answer.headers_mut(), || Case::new(settings, visit).epoch(), to);
    let rules = match &found {
        html::Sheet::Without(rules) => rules,
        html::Sheet::ForEverybody | html::Sheet::AsItIs => &*rules,
    };
    match whole::encoded(&WINDOWS_1252.encode(rules).0, to) {
        Some(bytes) => *answer.body_mut() = body::full(bytes),
        None => return super::refused(&report, "encoding"),
    }
    answer
}
