//! `/_consent/receipts`: a visitor's receipts, to read, to keep, and to erase. Whose they are is known by the signed
//! cookie alone, so that nobody comes by another's with an id.

use http::header::{CONTENT_DISPOSITION, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::form::Form;
use super::origin::{self, Sender};
use super::{Call, acceptances, answer, choices, documents, new_subject, once, receipt};
use crate::consent::once::Once;
use crate::consent::{Acceptance, Choices, Subject, cookie};
use crate::filter::Body;
use crate::ledger::{Entry, Failure};
use crate::telemetry;
use crate::visit::{self, Visit};
use crate::web::page::{self, Message};
use crate::web::shown;
use crate::web::texts::direction;

/// `GET /_consent/receipts?id=ID`: one receipt as a page, with the text as it was shown.
pub(super) async fn show(call: &Call<'_>) -> Response<Body> {
    let entry = match find(call, call.query.one("id").unwrap_or_default()).await {
        Ok(entry) => entry,
        Err(answer) => return *answer,
    };
    let wording = match call.own.ledger.wording(entry.record.shown).await {
        Ok(wording) => wording.unwrap_or_default(),
        Err(failure) => return unreadable(call, &failure),
    };
    let texts = call.look().texts(&call.language);
    let values = json!({
        "at": texts.moment(entry.at()),
        "what": receipt::sentence(&entry, call.site, &texts, &call.language),
        "until": entry.decision.valid_until.map(|until| texts.moment(until)),
        "number": entry.id(),
        "shown": shown::to_read(&wording),
        "shown_lang": entry.decision.language,
        "shown_dir": direction(&entry.decision.language),
    });
    answer::page(StatusCode::OK, documents::POLICY, page::receipt(call.look(), &call.language, values))
}

/// One receipt as a file, for the visitor whose it is (GDPR articles 15 and 20).
pub(super) async fn download(call: &Call<'_>, id: &str) -> Response<Body> {
    let entry = match find(call, id).await {
        Ok(entry) => entry,
        Err(answer) => return *answer,
    };
    let mut answer = answer::json(StatusCode::OK, &receipt::file(&entry, call.site));
    let name = format!("attachment; filename=\"receipt-{}.json\"", entry.id());
    if let Ok(name) = HeaderValue::from_str(&name) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    answer
}

/// A receipt of this visitor. Another's, and one that there is not, are answered alike.
async fn find(call: &Call<'_>, id: &str) -> Result<Entry, Box<Response<Body>>> {
    let missing = || Box::new(call.message(StatusCode::NOT_FOUND, Message::NotFound));
    let (Some(subject), Ok(id)) = (call.visit.subject, Uuid::parse_str(id)) else { return Err(missing()) };
    match call.own.ledger.receipt(&call.site.name, subject, id).await {
        Ok(entry) => entry.ok_or_else(missing),
        Err(failure) => Err(Box::new(unreadable(call, &failure))),
    }
}

fn unreadable(call: &Call<'_>, failure: &Failure) -> Response<Body> {
    let error = failure as &dyn std::error::Error;
    tracing::error!(site = &*call.site.name, error, "receipts could not be read");
    call.not_recorded(Message::Unreachable)
}

/// `POST /_consent/receipts` with `erase=all`: takes the visitor out of all their receipts (GDPR art. 17).
pub(super) async fn erase(call: &Call<'_>, body: Body) -> Response<Body> {
    if origin::sender(&call.head.headers, &call.visit.arrival) == Sender::Elsewhere {
        return call.message(StatusCode::FORBIDDEN, Message::ForeignOrigin);
    }
    let form = match Form::read(&call.head.headers, body).await {
        Ok(form) => form,
        Err(why) => return call.unreadable(&why),
    };
    if form.one("erase") != Some("all") {
        return call.message(StatusCode::BAD_REQUEST, Message::BadRequest);
    }
    let erased = match call.visit.subject {
        Some(subject) => call.own.ledger.erase(&call.site.name, subject).await,
        None => Ok(0),
    };
    let erased = match erased {
        Ok(erased) => erased,
        Err(failure) => {
            let error = &failure as &dyn std::error::Error;
            tracing::error!(site = &*call.site.name, error, "receipts could not be erased");
            return call.not_recorded(Message::NotErased);
        }
    };
    telemetry::count(&call.own.metrics.decisions, "erasure");
    let mut reply = told(call, &form, erased);
    // Without random numbers the old one stays in the cookie, and is in no entry any more.
    if let Some(subject) = new_subject() {
        cookies(call, subject).into_iter().for_each(|line| {
            reply.headers_mut().append(SET_COOKIE, line);
        });
    }
    reply
}

/// Says what was taken out, and what stays.
fn told(call: &Call<'_>, form: &Form, erased: usize) -> Response<Body> {
    if answer::wants_json(&call.head.headers) {
        return answer::json(StatusCode::OK, &json!({ "erased": erased }));
    }
    let texts = call.look().texts(&call.language);
    let values = json!({
        "count": texts.fill("erased_count", &[("n", &erased.to_string())]),
        "return_to": &*call.return_to(form.one("return")),
    });
    answer::page(StatusCode::OK, documents::POLICY, page::erased(call.look(), &call.language, values))
}

/// The visitor's cookies anew: what they say still holds, for somebody whom the ledger does not know. The ids of
/// receipts go, too, or a cookie would still lead to entries that are nobody's.
fn cookies(call: &Call<'_>, subject: Subject) -> Vec<HeaderValue> {
    let Visit { choices, acceptances: accepted, once, .. } = call.visit;
    let mut lines = Vec::new();
    if let (Some(choices), Some(until)) = (choices, choices::until(call)) {
        let choices = Choices { subject, receipt: None, ..choices.clone() };
        lines.push(choices::signed(call.site, call.visit, &choices, until));
    }
    // Who has declined everything has a cookie without acceptances, and a subject in it.
    if visit::pairs(&call.head.headers).any(|(name, _)| name == cookie::ACCEPTED) {
        let anonymous = |acceptance: &Acceptance| Acceptance { receipt: Uuid::nil(), ..acceptance.clone() };
        let all: Vec<_> = accepted.iter().map(anonymous).collect();
        lines.extend(acceptances::headers(call, subject, &all, None).remove(SET_COOKIE));
    }
    if let Some(once) = once {
        lines.push(once::signed(call, &Once { subject, ..once.clone() }));
    }
    lines
}
