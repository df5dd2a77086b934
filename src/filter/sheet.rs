//! Style sheets of the site's own. They load fonts and pictures from others that no policy stops while it leaves those
//! open, so a sheet is read whole before it leaves: what it may not load is made void.
//!
//! A sheet that loads nothing of services that wait for agreement leaves as it came, and may be kept by caches.

use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::WINDOWS_1252;
use http::{Response, StatusCode, header};

use super::body::{self, Body};
use super::page::Address;
use super::{Plan, Settings, html, whole};
use crate::visit::Visit;

/// Whether an answer is a style sheet that is read whole.
pub(super) fn is_sheet<B: http_body::Body>(answer: &Response<B>) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let essence = kind.and_then(|kind| kind.as_bytes().split(|byte| *byte == b';').next());
    answer.status() == StatusCode::OK
        && essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"text/css"))
        && !answer.body().is_end_stream()
}

/// Filters a style sheet for this visitor, as [`super::apply`] does all other answers.
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
    let rewrite = |sheet: &[u8]| {
        let (rules, _) = WINDOWS_1252.decode_without_bom_handling(sheet);
        match html::style_sheet(settings, &visit.granted, &Address::of(visit), &rules) {
            html::Sheet::ForEverybody => None,
            html::Sheet::AsItIs => Some(sheet.to_vec()),
            html::Sheet::Without(rules) => Some(WINDOWS_1252.encode(&rules).0.into_owned()),
        }
    };
    whole::filter(settings, visit, plan, answer, (report, "style-sheet"), rewrite).await
}
