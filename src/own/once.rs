//! "Load this one": agreement to one embedded thing on one page, recorded like every other, and kept for an hour.

use std::sync::Arc;

use http::header::SET_COOKIE;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::form::Form;
use super::{Call, answer, choices};
use crate::consent::once::{self, Extent, Grant, Name, Once};
use crate::consent::{Categories, cookie};
use crate::filter::Body;
use crate::ledger::entry::Action;
use crate::ledger::{Decision, Method, Recorded, Shown};
use crate::services::Service;
use crate::telemetry;
use crate::web::language::Language;
use crate::web::page::Message;

/// What a placeholder's form asks for.
struct Wish<'a> {
    service: &'a Service,
    page: Name,
    extent: Extent,
}

impl<'a> Wish<'a> {
    /// Reads a form; nothing where it names no service, or no page.
    fn read(call: &Call<'a>, form: &Form) -> Option<Self> {
        let service = call.site.filter.services.find(form.one("service")?)?;
        let page = form.one("page")?.parse().ok()?;
        let extent = match form.one("embed") {
            Some(embed) => Extent::Embed(embed.parse().ok()?),
            None => Extent::Page,
        };
        Some(Wish { service, page, extent })
    }
}

/// `POST /_consent/choices` with `choice=once`
pub(super) async fn make(call: &Call<'_>, form: &Form) -> Response<Body> {
    let Some(wish) = Wish::read(call, form) else {
        return call.message(StatusCode::BAD_REQUEST, Message::BadRequest);
    };
    let until = answer::after(call.visit.arrival.now, once::LIFETIME);
    let grant = Grant { service: wish.service.id.clone(), page: wish.page, extent: wish.extent, until };
    let Some((once, recorded)) = record(call, form, grant).await else {
        return call.not_recorded(Message::NotRecorded);
    };
    let mut reply = if answer::wants_json(&call.head.headers) {
        answer::json(StatusCode::OK, &json!({ "receipt": recorded.id, "valid_until": until.to_string() }))
    } else {
        answer::see_other(&call.return_to(form.one("return")))
    };
    let headers = reply.headers_mut();
    headers.append(SET_COOKIE, signed(call, &once));
    headers.insert(answer::RECEIPT, answer::receipt(recorded.id));
    reply
}

/// Records the agreement, and adds it to those that hold; nothing where no proof of it could be kept
/// (GDPR art. 7(1)).
async fn record(call: &Call<'_>, form: &Form, grant: Grant) -> Option<(Once, Recorded)> {
    let subject = call.subject()?;
    let language = choices::form_language(call, form);
    let decision = Decision {
        site: call.site.name.clone(),
        action: Action::Choice {
            categories: Categories::NONE,
            services: vec![grant.service.clone()],
            withdraws: false,
            under_signal: call.visit.signal.opts_out(),
        },
        method: Method::PlaceholderOnce,
        language: language.as_str().into(),
        epoch: call.site.filter.epoch,
        valid_until: Some(grant.until),
    };
    let content = Arc::from(shown(call, form, &language));
    match call.own.ledger.record(subject, decision, Shown { content }).await {
        Ok(recorded) => {
            telemetry::count(&call.own.metrics.decisions, "once");
            let before = call.visit.once.clone().unwrap_or(Once { subject, grants: Vec::new() });
            Some((Once { subject, ..before }.with(grant), recorded))
        }
        Err(failure) => {
            let site = &*call.site.name;
            let error = &failure as &dyn std::error::Error;
            tracing::error!(site, error, decision = "once", "a decision could not be recorded");
            None
        }
    }
}

/// The placeholder that the visitor had before their eyes, without what is one page's.
pub(super) fn shown(call: &Call<'_>, form: &Form, language: &Language) -> String {
    let services = &call.site.filter.services;
    let service = form.one("service").and_then(|id| services.find(id));
    service.map(|service| call.look().embed_words(service, language)).unwrap_or_default()
}

/// Ends what was loaded once.
pub(super) fn end(call: &Call<'_>, reply: &mut Response<Body>) {
    if let Some(once) = &call.visit.once {
        let nothing = Once { subject: once.subject, grants: Vec::new() };
        reply.headers_mut().append(SET_COOKIE, signed(call, &nothing));
    }
}

pub(super) fn signed(call: &Call<'_>, once: &Once) -> HeaderValue {
    let (settings, arrival) = (&call.site.visit, &call.visit.arrival);
    // Without grants it ends at once.
    let expires = once.grants.iter().map(|grant| grant.until).max().unwrap_or(arrival.now);
    let value = settings.secrets.sign(cookie::ONCE, &settings.site, expires, &once.to_payload());
    answer::cookie(cookie::ONCE, &value, arrival.now, expires, arrival.scheme)
}
