//! `POST /_consent/reports`: what browsers tell of the policy that stopped something. It becomes counters and, once in
//! a while, a line in the log; nothing of it says who the visitor was.

mod intake;
mod violation;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;

use super::origin::{Sender, sender};
use super::{Call, answer};
use crate::filter::Body;
use crate::filter::judge::{Judgement, judge};
use crate::site::Site;
use crate::telemetry::{Reported, count};
use crate::web::page::Message;

pub use intake::Intake;
use violation::{Blocked, Violation};

/// The largest report that is read, in bytes.
const LIMIT: usize = 64 << 10;

/// Takes a report in.
pub(super) async fn take(call: &Call<'_>, body: Body) -> Response<Body> {
    let own = call.own;
    let refused = |reason| count(&own.metrics.reports_refused, reason);
    if sender(&call.head.headers, &call.visit.arrival) == Sender::Elsewhere {
        refused("other-origin");
        return call.message(StatusCode::FORBIDDEN, Message::ForeignOrigin);
    }
    let Some(format) = format(&call.head.headers) else {
        refused("type");
        return call.message(StatusCode::UNSUPPORTED_MEDIA_TYPE, Message::BadRequest);
    };
    let now = own.clock.now();
    // Before the body is read: a flood must not cost more than its heads.
    if !own.reports.admits(&call.site.name, now) {
        refused("too-many");
        return answer::of(StatusCode::TOO_MANY_REQUESTS, "text/plain; charset=utf-8", "");
    }
    let bytes = match read(body).await {
        Ok(bytes) => bytes,
        Err(Unread::TooLarge) => {
            refused("too-large");
            return call.message(StatusCode::PAYLOAD_TOO_LARGE, Message::TooLarge);
        }
        Err(Unread::BrokenOff) => {
            refused("unreadable");
            return call.message(StatusCode::BAD_REQUEST, Message::BadRequest);
        }
    };
    let Some(violations) = violation::read(format, &bytes, &call.visit.arrival.host) else {
        refused("unreadable");
        return call.message(StatusCode::BAD_REQUEST, Message::BadRequest);
    };
    for violation in violations {
        note(call, &violation);
    }
    answer::of(StatusCode::NO_CONTENT, "text/plain; charset=utf-8", "")
}

fn note(call: &Call<'_>, violation: &Violation) {
    let Violation { directive, blocked, page, is_enforced } = violation;
    let (party, service) = party(call.site, blocked);
    let kind = Reported { directive, party, disposition: if *is_enforced { "enforce" } else { "report" } };
    call.own.metrics.reports.get_or_create(&kind).inc();
    let host = blocked.host();
    let observed = &call.site.filter.observed;
    match (service, host) {
        (Some(service), _) => observed.saw_service(service),
        (None, Some(host)) if party == "unknown" => observed.saw_host(host),
        (None, _) => {}
    }
    let site = &*call.site.name;
    if call.own.reports.is_news(site, host.unwrap_or(party), directive, call.own.clock.now()) {
        let (host, service) = (host.unwrap_or_default(), service.unwrap_or_default());
        let page = &**page;
        if *is_enforced {
            tracing::info!(site, host, service, directive, page, party, "the policy stopped a request");
        } else {
            tracing::info!(
                site,
                host,
                service,
                directive,
                page,
                party,
                "the policy would have stopped a request"
            );
        }
    }
}

/// Whose the address is that was stopped, and which service's.
fn party<'s>(site: &'s Site, blocked: &Blocked) -> (&'static str, Option<&'s str>) {
    let filter = &site.filter;
    match blocked {
        Blocked::Inline => ("inline", None),
        Blocked::Scheme => ("scheme", None),
        Blocked::Address(url) => match filter.services.identify_url(url) {
            // Someone who granted nothing: whether it waits for an agreement at all.
            Some(service) => match judge(&filter.services, service, &crate::consent::Granted::default()) {
                Judgement::Hold | Judgement::Strip => ("held", Some(&*service.id)),
                Judgement::Allow | Judgement::Anonymize => ("acting", Some(&*service.id)),
            },
            None => ("unknown", None),
        },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// One, of `report-uri`.
    Single,
    /// Many, of the Reporting API.
    Many,
}

fn format(headers: &HeaderMap) -> Option<Format> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/csp-report" => Some(Format::Single),
        "application/reports+json" => Some(Format::Many),
        _ => None,
    }
}

enum Unread {
    TooLarge,
    BrokenOff,
}

async fn read(mut body: Body) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::BrokenOff)?;
        bytes.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        if bytes.len() > LIMIT {
            return Err(Unread::TooLarge);
        }
    }
    Ok(bytes)
}
