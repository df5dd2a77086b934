//! Every answer that the proxy writes itself, but for those of its own endpoints.
//!
//! It alone turns failures into statuses. A visitor never sees an internal message.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, VARY};
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::refuse::Refusal;
use crate::filter::Body;
use crate::filter::body::full;
use crate::gate::{Gate, Verdict};
use crate::site::Site;
use crate::telemetry::{Metrics, count};
use crate::upstream::Failure;
use crate::visit::Visit;

/// What stands unescaped in the value of `return`: a path stays readable in the address bar.
const RETURN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request that no proxy may pass.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    plain(refusal.status(), &format!("This request cannot be passed on: {}.\n", refusal.reason()))
}

/// A host that no site has (RFC 9110 section 15.5.20).
pub(super) fn unknown_site() -> Response<Body> {
    plain(StatusCode::MISDIRECTED_REQUEST, "No site of this name is served here.\n")
}

/// What a gate says to those whom it does not admit.
pub(super) fn gated(site: &Site, visit: &Visit, verdict: Verdict<'_>, metrics: &Metrics) -> Response<Body> {
    match verdict {
        Verdict::Admit(_) => plain(StatusCode::OK, ""),
        Verdict::ShowDocument(gate) => {
            count(&metrics.gates, "shown");
            see_document(site, visit, gate)
        }
        Verdict::HoldForm(gate) => {
            count(&metrics.gates, "held");
            form_not_sent(site, gate)
        }
        Verdict::Refuse(gate) => {
            count(&metrics.gates, "refused");
            acceptance_missing(site, gate)
        }
    }
}

/// The document of a gate, with the way back. The target is a path of this site, as it came.
fn see_document(site: &Site, visit: &Visit, gate: &Gate) -> Response<Body> {
    let Some(path) = document_path(site, gate) else { return without_document() };
    let location = format!("{path}?return={}", utf8_percent_encode(&visit.target, RETURN));
    let mut answer = plain(StatusCode::SEE_OTHER, "");
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Cookie"));
    answer
}

/// A program is told which document is missing, as RFC 9457 writes problems.
fn acceptance_missing(site: &Site, gate: &Gate) -> Response<Body> {
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "A document must be read or accepted first",
        "status": 403,
        "document": gate.document,
        "document_path": document_path(site, gate),
    });
    let mut answer = plain(StatusCode::FORBIDDEN, "");
    *answer.body_mut() = full(problem.to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(path) = document_path(site, gate).and_then(|path| HeaderValue::from_str(path).ok()) {
        answer.headers_mut().insert(HeaderName::from_static("consentry-document"), path);
    }
    answer
}

/// A form that was posted into a gate: it has not reached the application, and nothing of it is lost, because
/// the browser still has it.
fn form_not_sent(site: &Site, gate: &Gate) -> Response<Body> {
    let Some(path) = document_path(site, gate) else { return without_document() };
    let path = escape(path);
    page(
        StatusCode::FORBIDDEN,
        "Not sent yet / Inte skickat än",
        &format!(
            "<p lang=\"en\">Your form has not been sent: a document must be read first. <a href=\"{path}\" \
             target=\"_blank\">Open it in a new tab</a>, then go back here and send the form again.</p>\
             <p lang=\"sv\">Formuläret är inte skickat: ett dokument måste läsas först. <a href=\"{path}\" \
             target=\"_blank\">Öppna det i en ny flik</a>, gå sedan tillbaka hit och skicka formuläret igen.</p>"
        ),
    )
}

/// The upstream gave no answer. The log has the cause, the visitor only the fact.
pub(super) fn upstream_failed(site: &Site, failure: &Failure, metrics: &Metrics) -> Response<Body> {
    let (status, reason) = match failure {
        Failure::Connect { .. } => (StatusCode::BAD_GATEWAY, "connect"),
        Failure::Protocol { .. } => (StatusCode::BAD_GATEWAY, "protocol"),
        Failure::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "timed-out"),
        Failure::Request { .. } => (StatusCode::BAD_REQUEST, "request"),
        Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
    };
    count(&metrics.upstream_failures, reason);
    tracing::warn!(site = %site.name, reason, error = %causes(failure), "no answer from the upstream");
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => page(
            status,
            "Too large / För stort",
            "<p lang=\"en\">What was sent is larger than this site takes.</p>\
             <p lang=\"sv\">Det som skickades är större än webbplatsen tar emot.</p>",
        ),
        StatusCode::BAD_REQUEST => plain(status, "The request broke off.\n"),
        _ => page(
            status,
            "Out of reach just now / Nås inte just nu",
            "<p lang=\"en\">The site does not answer just now. Please try again in a moment.</p>\
             <p lang=\"sv\">Webbplatsen svarar inte just nu. Försök igen om en stund.</p>",
        ),
    }
}

fn document_path<'a>(site: &'a Site, gate: &Gate) -> Option<&'a str> {
    site.documents.find(&gate.document).map(|document| document.path.as_str())
}

/// A gate whose document is not there: `config` lets none through.
fn without_document() -> Response<Body> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "This page cannot be shown just now.\n")
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut answer = Response::new(full(text.to_owned()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn page(status: StatusCode, title: &str, content: &str) -> Response<Body> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}</style>\
         </head><body><main><h1>{title}</h1>{content}</main></body></html>\n"
    );
    let mut answer = plain(status, "");
    *answer.body_mut() = full(html);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"),
    );
    answer
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// An error with all its causes, for the log.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
