//! `/_consent/acceptances`: "I have read / I accept this wording of this document".
//!
//! It is answered after the ledger has it on disk, and it never switches a service on.

use http::header::SET_COOKIE;
use http::{Response, StatusCode};

use super::form::Form;
use super::origin::{self, Sender};
use super::{Call, answer, documents};
use crate::clock::Timestamp;
use crate::consent::{Acceptance, Subject, cookie};
use crate::documents::{Document, Kind, Text};
use crate::filter::Body;
use crate::ledger::entry::{Action, Verb};
use crate::ledger::{Decision, Method, Recorded, Shown, hexadecimal};
use crate::telemetry;
use crate::web::page::{Link, Message, Opens};

/// The most acceptances that the cookie carries; the oldest give way.
const MOST: usize = 20;

/// How many days acceptances are remembered: browsers keep no cookie for longer than 400. A new version asks
/// before that.
pub(super) const DAYS: u64 = 400;

/// What a form must carry beside document and version: it was given out by us, for this very wording.
pub(super) fn token(call: &Call<'_>, document: &str, version: &str) -> String {
    call.site.visit.secrets.token(&["acceptance", &call.site.name, document, version])
}

/// How a wording is named in forms: by the first 128 bits of its hash.
pub(super) fn version(text: &Text) -> String {
    hexadecimal::of(&short(text))
}

fn short(text: &Text) -> [u8; 16] {
    let mut version = [0; 16];
    version.iter_mut().zip(text.hash).for_each(|(to, from)| *to = from);
    version
}

/// The wording that a form names.
fn wording<'a>(call: &Call<'a>, form: &Form) -> Option<(&'a Document, &'a Text)> {
    let document = call.site.documents.find(form.one("document")?)?;
    let written = form.one("version")?;
    let version = u128::from_str_radix(written, 16).ok()?.to_be_bytes();
    let text = document.wording(&version)?;
    let parts = ["acceptance", &*call.site.name, &*document.id, written];
    call.site.visit.secrets.confirms(form.one("token")?, &parts).then_some((document, text))
}

/// `POST /_consent/acceptances`
pub(super) async fn accept(call: &Call<'_>, body: Body) -> Response<Body> {
    if origin::sender(&call.head.headers, &call.visit.arrival) == Sender::Elsewhere {
        return call.message(StatusCode::FORBIDDEN, Message::ForeignOrigin);
    }
    let form = match Form::read(&call.head.headers, body).await {
        Ok(form) => form,
        Err(why) => return call.unreadable(&why),
    };
    let return_to = call.return_to(form.one("return"));
    let Some((document, text)) = wording(call, &form) else {
        return stale(call, &form, &return_to);
    };
    let Some(subject) = call.subject() else { return call.not_recorded(Message::NotAccepted) };
    match record(call, subject, document, text).await {
        Some(recorded) => accepted(call, subject, document, text, recorded, &return_to),
        None => call.not_recorded(Message::NotAccepted),
    }
}

/// The wording is not, or no longer, the document's: nothing is recorded, and the way leads to the present one.
fn stale(call: &Call<'_>, form: &Form, return_to: &str) -> Response<Body> {
    let document = form.one("document").and_then(|id| call.site.documents.find(id));
    let href = document.filter(|document| !document.texts.is_empty()).map(|document| {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("return", return_to).finish();
        format!("{}?{query}", document.path)
    });
    let link = href.as_deref().map(|href| Link { href, text: "text_changed_link", opens: Opens::Here });
    let message = if link.is_some() { Message::TextChanged } else { Message::BadRequest };
    call.message_with_link(StatusCode::BAD_REQUEST, message, link)
}

async fn record(call: &Call<'_>, subject: Subject, document: &Document, text: &Text) -> Option<Recorded> {
    let decision = Decision {
        site: call.site.name.clone(),
        action: Action::Acceptance {
            document: document.id.clone(),
            verb: match document.kind {
                Kind::Notice => Verb::Acknowledged,
                Kind::Agreement => Verb::Accepted,
            },
            version: text.version.clone(),
            text: text.hash,
        },
        method: Method::Document,
        language: text.language.as_str().into(),
        epoch: call.site.filter.epoch,
        valid_until: None,
    };
    let shown = Shown { content: documents::html(call.site, text) };
    match call.own.ledger.record(subject, decision, shown).await {
        Ok(recorded) => {
            telemetry::count(&call.own.metrics.decisions, "acceptance");
            Some(recorded)
        }
        Err(failure) => {
            let site = &*call.site.name;
            let error = &failure as &dyn std::error::Error;
            tracing::error!(site, error, decision = "acceptance", "a decision could not be recorded");
            None
        }
    }
}

fn accepted(
    call: &Call<'_>,
    subject: Subject,
    document: &Document,
    text: &Text,
    recorded: Recorded,
    return_to: &str,
) -> Response<Body> {
    let acceptance = Acceptance {
        document: document.id.clone(),
        version: short(text),
        receipt: recorded.id,
        accepted_at: recorded.at,
    };
    let acceptances = with(&call.visit.acceptances, acceptance);
    let arrival = &call.visit.arrival;
    let expires = answer::after(arrival.now, std::time::Duration::from_secs(DAYS * 86_400));
    let settings = &call.site.visit;
    let payload = cookie::acceptances_to_payload(subject, &acceptances);
    let value = settings.secrets.sign(cookie::ACCEPTED, &settings.site, expires, &payload);
    let mut reply = answer::see_other(return_to);
    let headers = reply.headers_mut();
    let line = answer::cookie(cookie::ACCEPTED, &value, arrival.now, expires, arrival.scheme);
    headers.append(SET_COOKIE, line);
    headers.insert(answer::RECEIPT, answer::receipt(recorded.id));
    reply
}

/// The acceptances with a new one, which takes the place of an earlier one of its document.
fn with(before: &[Acceptance], new: Acceptance) -> Vec<Acceptance> {
    let mut all: Vec<_> = before.iter().filter(|old| old.document != new.document).cloned().collect();
    all.push(new);
    let superfluous = all.len().saturating_sub(MOST);
    all.drain(..superfluous);
    all
}

/// When the visitor accepted a document, if they did.
pub(super) fn accepted_at(call: &Call<'_>, document: &Document) -> Option<Timestamp> {
    let of_document = call.visit.acceptances.iter().filter(|acceptance| acceptance.document == document.id);
    of_document.map(|acceptance| acceptance.accepted_at).max()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn acceptance(document: usize, version: u8) -> Acceptance {
        Acceptance {
            document: format!("document-{document}").into(),
            version: [version; 16],
            receipt: Uuid::nil(),
            accepted_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_new_acceptance_takes_the_place_of_the_earlier_one() {
        let all = with(&[acceptance(1, 1), acceptance(2, 1)], acceptance(1, 2));
        assert_eq!(all, [acceptance(2, 1), acceptance(1, 2)]);
    }

    #[test]
    fn the_oldest_give_way_so_that_the_cookie_stays_small() {
        let all = (0..30).fold(Vec::new(), |all, document| with(&all, acceptance(document, 1)));
        assert_eq!((all.len(), all.first()), (MOST, Some(&acceptance(10, 1))));
        let payload = cookie::acceptances_to_payload(Subject(Uuid::nil()), &all);
        assert!(payload.len() < 2_600, "{}", payload.len());
    }
}
