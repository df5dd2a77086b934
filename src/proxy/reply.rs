//! Every answer that the proxy writes itself, but for those of its own endpoints.
//!
//! It alone turns failures into statuses. A visitor never sees an internal message.

use http::header::{CONNECTION, HeaderName, LINK, RETRY_AFTER, VARY};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::access_log::Line;
use super::refuse::Refusal;
use crate::filter::Body;
use crate::gate::Gate;
use crate::own::answer;
use crate::site::Site;
use crate::upstream::Failure;
use crate::visit::{self, Purpose, Visit};
use crate::web::language::Language;
use crate::web::page::{self, Link, Message};
use crate::web::{Look, texts};

/// What stands unescaped in the value of `return`: a path stays readable in the address bar.
const RETURN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const TEXT: &str = "text/plain; charset=utf-8";

/// A request that no proxy may pass.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let text = format!("This request cannot be passed on: {}.\n", refusal.reason());
    let mut reply = answer::of(refusal.status(), TEXT, text);
    if refusal.ends_connection() {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

/// A host that no site has (RFC 9110 section 15.5.20).
pub(super) fn unknown_site(request: &Parts) -> Response<Body> {
    let wishes = visit::wishes(&request.headers);
    let language = wishes.choose(texts::languages()).unwrap_or(texts::english());
    let purpose = visit::purpose(&request.method, &request.headers);
    message(purpose, None, language, StatusCode::MISDIRECTED_REQUEST, Message::UnknownSite, None)
}

/// The document of a gate, with the way back. The target is a path of this site, as it came.
pub(super) fn see_document(visit: &Visit, gate: &Gate) -> Response<Body> {
    let back = utf8_percent_encode(&visit.target, RETURN);
    let mut reply = answer::see_other(&format!("{}?return={back}", gate.document_path));
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Cookie"));
    reply
}

/// A program is told which document is missing, as RFC 9457 writes problems.
pub(super) fn acceptance_missing(gate: &Gate) -> Response<Body> {
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "A document must be read or accepted first",
        "status": 403,
        "document": gate.document,
        "document_path": gate.document_path.as_str(),
    });
    let mut reply = answer::of(StatusCode::FORBIDDEN, "application/problem+json", problem.to_string());
    let path = gate.document_path.as_str();
    let link = format!("<{}>; rel=\"{}\"", utf8_percent_encode(path, RETURN), gate.relation.as_str());
    let headers = reply.headers_mut();
    for (name, value) in [(HeaderName::from_static("consentry-document"), path), (LINK, &link)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(VARY, HeaderValue::from_static("Cookie"));
    reply
}

/// A form that was held came back damaged.
pub(super) fn broken_form(site: &Site, visit: &Visit) -> Response<Body> {
    told(site, visit, StatusCode::BAD_REQUEST, Message::BadRequest, None)
}

/// The upstream gave no answer. The log has the cause, the visitor only the fact.
pub(super) fn upstream_failed(
    site: &Site,
    visit: &Visit,
    failure: &Failure,
    line: &mut Line,
) -> Response<Body> {
    let (status, message, reason) = match failure {
        Failure::Connect { .. } => (StatusCode::BAD_GATEWAY, Message::Unreachable, "connect"),
        Failure::Protocol { .. } => (StatusCode::BAD_GATEWAY, Message::Unreachable, "protocol"),
        Failure::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, Message::TooSlow, "timed-out"),
        Failure::Request { .. } => (StatusCode::BAD_REQUEST, Message::BadRequest, "request"),
        Failure::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, Message::Unreachable, "busy"),
        Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Message::TooLarge, "too-large"),
        Failure::SlowBody => (StatusCode::REQUEST_TIMEOUT, Message::BadRequest, "slow-body"),
    };
    if matches!(failure, Failure::Request { .. } | Failure::TooLarge | Failure::SlowBody) {
        line.refused(reason);
        tracing::info!(site = %site.name, reason, error = %causes(failure), "a request is refused");
    } else {
        line.failed(reason);
        tracing::warn!(site = %site.name, reason, error = %causes(failure), "no answer from the upstream");
    }
    let mut reply = told(site, visit, status, message, None);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // Connections come free all the time.
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

fn told(
    site: &Site,
    visit: &Visit,
    status: StatusCode,
    what: Message,
    link: Option<Link<'_>>,
) -> Response<Body> {
    let look = &*site.filter.look;
    message(visit.purpose, Some(look), site.filter.language(visit), status, what, link)
}

/// A plain page for people, and a line of text for programs.
fn message(
    purpose: Purpose,
    look: Option<&Look>,
    language: &Language,
    status: StatusCode,
    message: Message,
    link: Option<Link<'_>>,
) -> Response<Body> {
    if purpose == Purpose::Resource {
        return answer::of(status, TEXT, page::line(message));
    }
    answer::page(status, page::message_policy(), page::message(look, language, message, link))
}

/// An error with all its causes, for the log.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
