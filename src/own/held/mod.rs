//! Forms that are posted into a gate: kept, carried through the acknowledgement, and sent on as they were.
//!
//! A held form is kept by the browser that sent it: sealed, in a field of the page that asks for the acceptance. So
//! nothing personal lies on the server, nobody can fill its memory or disk, any instance can take the form back, and
//! a restart loses none. What the ledger remembers is which forms were sent on, by a number drawn at random.

mod carrier;
mod parcel;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;

use super::acceptances::{self, Outcome};
use super::form::Form;
use super::origin::{self, Sender};
use super::{Call, Own, answer, documents, return_to};
use crate::filter::{Body, body};
use crate::gate::Gate;
use crate::ledger;
use crate::site::Site;
use crate::visit::Visit;
use crate::web::language::Language;
use crate::web::page::{Link, Message, Opens};
use parcel::Parcel;

pub use crate::ledger::Sending;
pub use carrier::{Carrier, Sorted};

/// What forms are sealed for.
const PURPOSE: &str = "held form";

/// How long a held form can be sent on: a tab may wait over a holiday.
pub const LIFETIME: Duration = Duration::from_secs(14 * 86_400);

/// How many times the largest form may be in memory at once; more are asked to come again.
const AT_ONCE: usize = 16;

/// A held form by its number, drawn at random.
pub type Id = [u8; 16];

/// How much of held forms is in memory.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    taken: Arc<AtomicUsize>,
}

impl Desk {
    fn place(&self) -> Place {
        Place { taken: Arc::clone(&self.taken), bytes: 0 }
    }
}

/// A part of the memory for held forms; given back when it is dropped.
#[derive(Debug)]
struct Place {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl Place {
    fn grow(&mut self, bytes: usize, most: usize) -> Result<(), Unheld> {
        if self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > most {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Unheld::Busy);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Why a form is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unheld {
    TooLarge,
    Busy,
    Broken,
}

/// A held form that is ready to be sent on, as the request that it was.
#[derive(Debug)]
pub struct Ready {
    /// Which form it is.
    pub id: Id,
    /// The facts of it, with what the visitor has accepted by now.
    pub visit: Visit,
    head: Parts,
    body: Bytes,
    sealed: Bytes,
    language: Language,
    /// What the answer must bring beside its own headers: the cookie, and the receipt.
    brings: HeaderMap,
    notice: Notice,
    form_was_at: Box<str>,
    _place: Place,
}

/// What came of a carrier.
#[derive(Debug)]
pub enum Unpacked {
    /// An answer, and nothing to send on.
    Answer(Response<Body>),
    /// The form.
    Ready(Box<Ready>),
}

/// What the page of a held form says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Kept,
    TextChanged,
    NotAccepted,
}

impl Notice {
    pub(super) fn key(self) -> &'static str {
        match self {
            Notice::Kept => "held_text",
            Notice::TextChanged => "held_text_changed",
            Notice::NotAccepted => "held_not_accepted",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            // Nothing that the form asked for has been done.
            Notice::Kept => StatusCode::FORBIDDEN,
            Notice::TextChanged => StatusCode::BAD_REQUEST,
            Notice::NotAccepted => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What a page needs in order to carry a held form.
pub(super) struct Held<'a> {
    /// Where it is posted to.
    pub(super) target: &'a str,
    pub(super) sealed: &'a str,
    pub(super) notice: Notice,
}

impl Own {
    /// Answers a form that was posted into a gate: with the document, and the form kept in its page.
    pub async fn hold(
        &self,
        site: &Site,
        visit: &Visit,
        gate: &Gate,
        request: Request<Body>,
        most: usize,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let call = self.call(site, visit, &head, None);
        match self.keep(&call, &head, body, most).await {
            Ok(sealed) => {
                let held = Held { target: &visit.target, sealed: &sealed, notice: Notice::Kept };
                page(&call, gate, &held)
            }
            Err(why) => {
                let link =
                    Link { href: gate.document_path.as_str(), text: "form_held_link", opens: Opens::NewTab };
                let status = match why {
                    Unheld::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    Unheld::Busy => StatusCode::SERVICE_UNAVAILABLE,
                    Unheld::Broken => StatusCode::BAD_REQUEST,
                };
                call.message_with_link(status, Message::FormHeld, Some(link))
            }
        }
    }

    async fn keep(&self, call: &Call<'_>, head: &Parts, body: Body, most: usize) -> Result<String, Unheld> {
        let said =
            head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if said.is_some_and(|said| said > most) {
            return Err(Unheld::TooLarge);
        }
        let mut place = self.desk.place();
        let all = most.saturating_mul(AT_ONCE);
        let body = read(body, most, |bytes| place.grow(bytes, all)).await?;
        let expires = answer::after(call.visit.arrival.now, LIFETIME);
        let parcel = Parcel::pack(head, call.visit, body, expires);
        let mut id: Id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| Unheld::Busy)?;
        let settings = &call.site.visit;
        let sealed =
            settings.secrets.seal(PURPOSE, &settings.site, id, parcel.encode()).ok_or(Unheld::Busy)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Tells held forms that come back from the site's own forms; `most` is the size of the largest that is held.
    pub async fn sort(&self, visit: &Visit, request: Request<Body>, most: usize) -> Sorted {
        match carrier::boundary(visit, &request) {
            Some(boundary) => Box::pin(carrier::sort(request, &boundary, most, self.desk.place())).await,
            None => Sorted::Request(request),
        }
    }

    /// Takes a held form back, and records what the visitor says to the document.
    pub async fn unpack(&self, site: &Site, visit: &Visit, carrier: Carrier) -> Unpacked {
        let Carrier { head, sealed, form, place } = carrier;
        let call = self.call(site, visit, &head, form.one("lang"));
        if origin::sender(&head.headers, &visit.arrival) == Sender::Elsewhere {
            return Unpacked::Answer(call.message(StatusCode::FORBIDDEN, Message::ForeignOrigin));
        }
        let opened = opened(&call, &sealed);
        let Some((id, parcel, then)) = opened.and_then(|(id, parcel)| {
            let then = parcel.head(&head)?;
            Some((id, parcel, then))
        }) else {
            return Unpacked::Answer(call.message(StatusCode::BAD_REQUEST, Message::BadRequest));
        };
        let mut ready = Ready {
            id,
            visit: Visit::read(&site.visit, &then, visit.arrival.clone()),
            form_was_at: form_was_at(&parcel, visit),
            head: then,
            body: parcel.body,
            sealed,
            language: call.language.clone(),
            brings: HeaderMap::new(),
            notice: Notice::Kept,
            _place: place,
        };
        // The cookies of a form of another origin may lack those of the proxy.
        ready.visit.acceptances.clone_from(&visit.acceptances);
        if form.one("decision").is_none() {
            return Unpacked::Ready(Box::new(ready));
        }
        match acceptances::decide(&call, &form).await {
            Outcome::Accepted(accepted) => {
                ready.brings = accepted.headers(&call);
                ready.visit.acceptances = accepted.acceptances;
            }
            Outcome::Declined(declined) => {
                return Unpacked::Answer(declined.answer(&call, &ready.form_was_at));
            }
            Outcome::Stale => ready.notice = Notice::TextChanged,
            Outcome::NotRecorded => ready.notice = Notice::NotAccepted,
        }
        Unpacked::Ready(Box::new(ready))
    }

    /// The next document that stands between a held form and the site, or the same once more.
    pub fn ask_on(&self, site: &Site, ready: &Ready, gate: &Gate) -> Response<Body> {
        let call = self.call(site, &ready.visit, &ready.head, Some(ready.language.as_str()));
        let sealed = String::from_utf8_lossy(&ready.sealed);
        let held = Held { target: &ready.visit.target, sealed: &sealed, notice: ready.notice };
        ready.mark(page(&call, gate, &held))
    }

    /// Notes that a form is sent on, and says how far it had come before; nothing where nobody can note it: then it must
    /// not be sent.
    pub async fn begin(&self, form: Id) -> Option<Sending> {
        self.noted(self.ledger.begin_form(form, LIFETIME).await)
    }

    /// Notes that the application has answered a form.
    pub async fn end(&self, form: Id) {
        self.noted(self.ledger.end_form(form).await);
    }

    /// Notes that nothing of a form has left.
    pub async fn give_back(&self, form: Id) {
        self.noted(self.ledger.return_form(form).await);
    }

    fn noted<T>(&self, outcome: Result<T, ledger::Failure>) -> Option<T> {
        let failed = |failure: &ledger::Failure| {
            let error = failure as &dyn std::error::Error;
            tracing::error!(error, "the ledger could not note how far a held form has come");
        };
        outcome.inspect_err(failed).ok()
    }

    /// Nobody knows whether the form has reached the application: nothing is sent a second time.
    pub fn unsure(&self, site: &Site, ready: &Ready) -> Response<Body> {
        self.told(site, ready, Message::FormUnsure)
    }

    /// The form has reached the application before: nothing is sent a second time.
    pub fn sent_already(&self, site: &Site, ready: &Ready) -> Response<Body> {
        self.told(site, ready, Message::FormSent)
    }

    fn told(&self, site: &Site, ready: &Ready, message: Message) -> Response<Body> {
        let call = self.call(site, &ready.visit, &ready.head, Some(ready.language.as_str()));
        let link = Link { href: &ready.form_was_at, text: "form_sent_link", opens: Opens::Here };
        ready.mark(call.message_with_link(StatusCode::CONFLICT, message, Some(link)))
    }

    /// The application could not be reached: the form is still kept, and can be sent once more.
    pub fn undelivered(&self, site: &Site, ready: &Ready) -> Response<Body> {
        let call = self.call(site, &ready.visit, &ready.head, Some(ready.language.as_str()));
        let sealed = String::from_utf8_lossy(&ready.sealed);
        let html = documents::undelivered(&call, &ready.visit.target, &sealed);
        ready.mark(answer::page(StatusCode::BAD_GATEWAY, documents::POLICY, html))
    }

    fn call<'a>(&'a self, site: &'a Site, visit: &'a Visit, head: &'a Parts, lang: Option<&str>) -> Call<'a> {
        let language = super::language(site, visit, lang);
        Call { own: self, site, visit, head, query: Form::of(Vec::new()), language }
    }
}

impl Ready {
    /// The request that the form was.
    pub fn request(&self) -> Request<Body> {
        Request::from_parts(self.head.clone(), body::full(self.body.clone()))
    }

    /// Adds to an answer what the acceptance brings.
    pub fn mark(&self, mut answer: Response<Body>) -> Response<Body> {
        for (name, value) in &self.brings {
            answer.headers_mut().append(name, value.clone());
        }
        answer
    }
}

fn opened(call: &Call<'_>, sealed: &[u8]) -> Option<(Id, Parcel)> {
    let envelope = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let settings = &call.site.visit;
    let (id, content) = settings.secrets.open(PURPOSE, &settings.site, envelope)?;
    let parcel = Parcel::decode(content)?;
    (call.visit.arrival.now < parcel.expires).then_some((id, parcel))
}

/// The page of this site on which the form stood, else the front page.
fn form_was_at(parcel: &Parcel, visit: &Visit) -> Box<str> {
    let arrival = &visit.arrival;
    parcel
        .referer()
        .and_then(|page| return_to::within(page, arrival.scheme.as_str(), &arrival.authority))
        .unwrap_or_else(|| "/".into())
}

/// The document of a gate, with a held form in its page.
fn page(call: &Call<'_>, gate: &Gate, held: &Held<'_>) -> Response<Body> {
    let document = call.site.documents.find(&gate.document);
    let Some(document) = document else { return call.message(StatusCode::NOT_FOUND, Message::NotFound) };
    let mut page = documents::show_held(call, document, held);
    *page.status_mut() = held.notice.status();
    page.headers_mut().insert(VARY, HeaderValue::from_static("Cookie"));
    page
}

/// Reads a body of at most `most` bytes; `grow` is told of each piece, and may end it.
async fn read(
    mut body: Body,
    most: usize,
    mut grow: impl FnMut(usize) -> Result<(), Unheld>,
) -> Result<Bytes, Unheld> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unheld::Broken)?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len().saturating_add(data.len()) > most {
            return Err(Unheld::TooLarge);
        }
        grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}
