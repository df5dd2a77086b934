//! `/_consent/acceptances`: "I have read / I accept this wording of this document", or that one does not.
//!
//! It is answered after the ledger has it on disk, and it never switches a service on.

use std::sync::Arc;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use uuid::Uuid;

use super::form::Form;
use super::origin::{self, Sender};
use super::shown::{self, Hash};
use super::{Call, answer};
use crate::clock::Timestamp;
use crate::consent::{Acceptance, Identity, Subject, cookie};
use crate::documents::{Document, Kind, Text};
use crate::filter::Body;
use crate::ledger::entry::{Action, Verb};
use crate::ledger::{Decision, Method, Person, Recorded, Shown, hexadecimal};
use crate::site::Site;
use crate::telemetry;
use crate::visit::Visit;
use crate::web::page::{Link, Message, Opens};

/// The most acceptances that the cookie carries; the oldest give way.
const MOST: usize = 20;

/// How many days acceptances are remembered: browsers keep no cookie for longer than 400. A new version asks
/// before that.
pub(super) const DAYS: u64 = 400;

/// What a form says to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Accept,
    Decline,
    /// Neither, or both: nobody may guess what was meant.
    Unclear,
}

/// Reads what a form says. A form without any button's value accepts: it was sent to where acceptances go.
fn said(form: &Form) -> Said {
    let one = |word| match word {
        "accept" => Said::Accept,
        "decline" => Said::Decline,
        _ => Said::Unclear,
    };
    let mut words = form.all("decision").map(one);
    let first = words.next().unwrap_or(Said::Accept);
    if words.all(|word| word == first) { first } else { Said::Unclear }
}

/// What a form must carry beside document and version: the hash of what was shown, and that we gave it out for that.
pub(super) fn token(call: &Call<'_>, document: &str, version: &str, shown: &Hash) -> String {
    let shown = hexadecimal::of(shown);
    let code = call.site.visit.secrets.token(&["acceptance", &call.site.name, document, version, &shown]);
    format!("{shown}.{code}")
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

/// What a form is about.
struct Seen<'a> {
    document: &'a Document,
    text: &'a Text,
    /// As its reader saw it.
    shown: Arc<str>,
}

/// The wording that a form names, as it was shown.
async fn wording<'a>(call: &Call<'a>, form: &Form) -> Option<Seen<'a>> {
    let document = call.site.documents.find(form.one("document")?)?;
    let written = form.one("version")?;
    let version = u128::from_str_radix(written, 16).ok()?.to_be_bytes();
    let text = document.wording(&version)?;
    let (hash, code) = form.one("token")?.split_once('.')?;
    let parts = ["acceptance", &*call.site.name, &*document.id, written, hash];
    if !call.site.visit.secrets.confirms(code, &parts) {
        return None;
    }
    let shown = call.own.shown.find(call, text, &shown::read(hash)?).await?;
    Some(Seen { document, text, shown })
}

/// What came of an answer to a document.
pub(super) enum Outcome<'a> {
    /// It is accepted, and the ledger has it on disk.
    Accepted(Accepted),
    /// It is not, and the ledger has that on disk, if it works: saying no opens nothing.
    Declined(Declined<'a>),
    /// The wording is not, or no longer, the document's, or it is not clear what is said to it: nothing is recorded.
    Stale,
    /// The ledger does not work.
    NotRecorded,
}

/// An acceptance that is on disk.
pub(super) struct Accepted {
    subject: Subject,
    receipt: Uuid,
    /// All that the visitor has accepted by now.
    pub(super) acceptances: Vec<Acceptance>,
}

/// A document that somebody said no to.
pub(super) struct Declined<'a> {
    subject: Subject,
    document: &'a Document,
    receipt: Option<Uuid>,
}

/// `POST /_consent/acceptances`
pub(super) async fn answer(call: &Call<'_>, body: Body) -> Response<Body> {
    if origin::sender(&call.head.headers, &call.visit.arrival) == Sender::Elsewhere {
        return call.message(StatusCode::FORBIDDEN, Message::ForeignOrigin);
    }
    let form = match Form::read(&call.head.headers, body).await {
        Ok(form) => form,
        Err(why) => return call.unreadable(&why),
    };
    let return_to = call.return_to(form.one("return"));
    match decide(call, &form).await {
        Outcome::Accepted(accepted) => {
            let mut reply = answer::see_other(&way_back(call, &return_to));
            reply.headers_mut().extend(accepted.headers(call));
            reply
        }
        Outcome::Declined(declined) => declined.answer(call, &return_to),
        Outcome::Stale => stale(call, &form, &return_to),
        Outcome::NotRecorded => call.not_recorded(Message::NotAccepted),
    }
}

/// Records what a visitor says to a document.
pub(super) async fn decide<'a>(call: &Call<'a>, form: &Form) -> Outcome<'a> {
    let said = said(form);
    let Some(seen) = wording(call, form).await.filter(|_| said != Said::Unclear) else {
        return Outcome::Stale;
    };
    let Seen { document, text, shown } = seen;
    let Some(subject) = call.subject() else { return Outcome::NotRecorded };
    if said == Said::Decline {
        let action =
            Action::Decline { document: document.id.clone(), version: text.version.clone(), text: text.hash };
        let recorded = record(call, subject, action, text, shown).await;
        return Outcome::Declined(Declined {
            subject,
            document,
            receipt: recorded.map(|recorded| recorded.id),
        });
    }
    let action = Action::Acceptance {
        document: document.id.clone(),
        verb: match document.kind {
            Kind::Notice => Verb::Acknowledged,
            Kind::Agreement => Verb::Accepted,
        },
        version: text.version.clone(),
        text: text.hash,
    };
    let Some(recorded) = record(call, subject, action, text, shown).await else {
        return Outcome::NotRecorded;
    };
    let acceptance = Acceptance {
        document: document.id.clone(),
        version: short(text),
        receipt: recorded.id,
        accepted_at: recorded.at,
    };
    let acceptances = with(&call.visit.acceptances, acceptance);
    Outcome::Accepted(Accepted { subject, receipt: recorded.id, acceptances })
}

/// Where the way leads after an acceptance: back, but for browsers that have shown no cookie yet. Those go by a page
/// that looks whether they keep any, so that nobody is asked in a circle.
fn way_back(call: &Call<'_>, return_to: &str) -> String {
    if call.head.headers.contains_key(COOKIE) {
        return return_to.to_owned();
    }
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("return", return_to).finish();
    format!("{}acceptances?{query}", call.site.own_path)
}

/// `GET /_consent/acceptances`: where browsers come by that had no cookie before.
pub(super) fn look(call: &Call<'_>) -> Response<Body> {
    let return_to = call.return_to(call.query.one("return"));
    if call.visit.acceptances.is_empty() {
        let link = Link { href: &return_to, text: "no_cookies_link", opens: Opens::Here };
        return call.message_with_link(StatusCode::OK, Message::NoCookies, Some(link));
    }
    answer::see_other(&return_to)
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

async fn record(
    call: &Call<'_>,
    subject: Subject,
    action: Action,
    text: &Text,
    shown: Arc<str>,
) -> Option<Recorded> {
    let kind = action.kind();
    let decision = Decision {
        site: call.site.name.clone(),
        action,
        method: Method::Document,
        language: text.language.as_str().into(),
        epoch: call.site.filter.epoch,
        valid_until: None,
    };
    let shown = Shown { content: shown };
    let identity = call.visit.identity.as_ref();
    let person = Person { subject, identity: identity.map(Identity::newest) };
    match call.own.ledger.record(person, decision, shown).await {
        Ok(recorded) => {
            if let Some(identity) = identity {
                call.own.persons.forget(&call.site.name, identity);
            }
            telemetry::count(&call.own.metrics.decisions, kind);
            Some(recorded)
        }
        Err(failure) => {
            let site = &*call.site.name;
            let error = &failure as &dyn std::error::Error;
            tracing::error!(site, error, decision = kind, "a decision could not be recorded");
            None
        }
    }
}

impl Accepted {
    /// What the answer brings: the cookie, and the receipt.
    pub(super) fn headers(&self, call: &Call<'_>) -> HeaderMap {
        headers(call, self.subject, &self.acceptances, Some(self.receipt))
    }
}

impl Declined<'_> {
    /// Leads to the page that says what follows.
    pub(super) fn answer(&self, call: &Call<'_>, return_to: &str) -> Response<Body> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("document", &self.document.id)
            .append_pair("lang", call.language.as_str())
            .append_pair("return", return_to)
            .finish();
        let mut reply = answer::see_other(&format!("{}declined?{query}", call.site.own_path));
        // The subject is remembered, so that the receipt can be fetched.
        reply.headers_mut().extend(headers(call, self.subject, &call.visit.acceptances, self.receipt));
        reply
    }
}

/// The cookie of acceptances, and the receipt of the newest where there is one.
pub(super) fn headers(
    call: &Call<'_>,
    subject: Subject,
    acceptances: &[Acceptance],
    receipt: Option<Uuid>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SET_COOKIE, signed(call.site, call.visit, subject, acceptances));
    if let Some(receipt) = receipt {
        headers.insert(answer::RECEIPT, answer::receipt(receipt));
    }
    headers
}

/// The cookie with what a visitor has accepted, and who they are to the application where that is known.
pub(super) fn signed(
    site: &Site,
    visit: &Visit,
    subject: Subject,
    acceptances: &[Acceptance],
) -> HeaderValue {
    let arrival = &visit.arrival;
    let expires = answer::after(arrival.now, std::time::Duration::from_secs(DAYS * 86_400));
    let settings = &site.visit;
    let person = visit.identity.as_ref().map(Identity::newest);
    let payload = cookie::acceptances_to_payload(subject, person.as_ref(), acceptances);
    let value = settings.secrets.sign(cookie::ACCEPTED, &settings.site, expires, &payload);
    answer::cookie(cookie::ACCEPTED, &value, arrival.now, expires, arrival.scheme)
}

/// The acceptances with a new one, which takes the place of an earlier one of its document.
pub(super) fn with(before: &[Acceptance], new: Acceptance) -> Vec<Acceptance> {
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
    fn a_form_that_says_two_things_or_none_that_is_known_says_nothing() {
        for (form, expected) in [
            ("", Said::Accept),
            ("decision=accept", Said::Accept),
            ("decision=accept&decision=accept", Said::Accept),
            ("decision=decline", Said::Decline),
            ("decision=accept&decision=decline", Said::Unclear),
            ("decision=decline&decision=accept", Said::Unclear),
            ("decision=", Said::Unclear),
            ("decision=Accept", Said::Unclear),
        ] {
            assert_eq!(said(&Form::parse(form.as_bytes())), expected, "{form}");
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
        let payload = cookie::acceptances_to_payload(Subject(Uuid::nil()), Some(&[1; 32]), &all);
        assert!(payload.len() < 2_600, "{}", payload.len());
    }
}
