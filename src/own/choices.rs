//! `/_consent/choices`: what a visitor agrees to, refuses or withdraws.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::{HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::form::Form;
use super::origin::{self, Sender};
use super::{Call, answer, once, settings};
use crate::clock::Timestamp;
use crate::consent::signal::{self, Signal};
use crate::consent::{Categories, Category, Choices, Granted, cookie};
use crate::filter::csp::Effect;
use crate::filter::{Body, expire, scope};
use crate::ledger::entry::Action;
use crate::ledger::{Decision, Method, Recorded, Shown};
use crate::services::Set;
use crate::site::{Lifetime, Site};
use crate::telemetry;
use crate::visit::Visit;
use crate::web::guard;
use crate::web::page::Message;

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The most services that may be agreed to one by one: the cookie carries their names.
const MOST_SERVICES: usize = 50;

/// What a form asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    categories: Categories,
    /// Services beyond those of the categories.
    services: BTreeSet<Box<str>>,
}

/// What a wish does to what was agreed to before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Something is agreed to, anew or again: without proof it does not hold (GDPR art. 7(1)).
    Agrees(Rest),
    /// Nothing is agreed to, and nothing was.
    Refuses,
    /// Less is agreed to than before: that holds at once (GDPR art. 7(3)).
    Withdraws,
}

/// What becomes of earlier agreement to other things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It stays, or there was none.
    Kept,
    /// Some of it is withdrawn.
    Withdrawn,
}

impl Change {
    fn withdraws(self) -> bool {
        matches!(self, Change::Withdraws | Change::Agrees(Rest::Withdrawn))
    }

    /// The word of the metric.
    fn reason(self) -> &'static str {
        match self {
            Change::Agrees(_) => "choice",
            Change::Refuses => "refusal",
            Change::Withdraws => "withdrawal",
        }
    }
}

impl Wish {
    /// Reads a form; nothing where it names a category or a service that does not exist. `granted` is what may act
    /// now.
    fn read(form: &Form, granted: &Granted, services: &Set) -> Option<Self> {
        let nothing = Wish { categories: Categories::NONE, services: BTreeSet::new() };
        match form.one("choice")? {
            "accept-all" => Some(Wish { categories: Categories::ALL, ..nothing }),
            "reject-all" => Some(nothing),
            "add" => Wish::beyond(form, granted, services),
            "save" => {
                let categories = form.all("category").map(|word| word.parse::<Category>().ok());
                let categories: Categories = categories.collect::<Option<_>>()?;
                let named = form.all("service").map(|id| services.find(id));
                let named: Vec<_> = named.collect::<Option<_>>()?;
                let beyond = named.into_iter().filter(|service| !categories.covers(service.category));
                let services: BTreeSet<_> = beyond.map(|service| service.id.clone()).collect();
                (services.len() <= MOST_SERVICES).then_some(Wish { categories, services })
            }
            _ => None,
        }
    }

    /// What may act now, and the services that the form names. What a signal has taken back stays taken back, as the
    /// visitor is asked about those services alone.
    fn beyond(form: &Form, granted: &Granted, services: &Set) -> Option<Self> {
        let categories = granted.categories();
        let named: Vec<_> = form.all("service").map(|id| services.find(id)).collect::<Option<_>>()?;
        let added = named.iter().filter(|service| !categories.covers(service.category));
        let added = added.map(|service| service.id.clone());
        let services: BTreeSet<_> = granted.services().map(Into::into).chain(added).collect();
        let is_sound = !named.is_empty() && services.len() <= MOST_SERVICES;
        is_sound.then_some(Wish { categories, services })
    }

    fn is_nothing(&self) -> bool {
        self.categories == Categories::NONE && self.services.is_empty()
    }

    /// Compares the wish with earlier choices.
    fn change(&self, before: Option<&Choices>, services: &Set) -> Change {
        let before = before.map_or_else(
            || Wish { categories: Categories::NONE, services: BTreeSet::new() },
            |before| Wish { categories: before.categories, services: before.services.clone() },
        );
        let withdraws = !self.covers(&before, services);
        if self.is_nothing() {
            return if before.is_nothing() { Change::Refuses } else { Change::Withdraws };
        }
        match (withdraws, before.covers(self, services)) {
            (true, true) => Change::Withdraws,
            (true, false) => Change::Agrees(Rest::Withdrawn),
            (false, _) => Change::Agrees(Rest::Kept),
        }
    }

    /// Whether everything in `other` is in this wish, too.
    fn covers(&self, other: &Wish, services: &Set) -> bool {
        other.categories.iter().all(|category| self.categories.covers(category))
            && other.services.iter().all(|id| {
                let category = services.find(id).map(|service| service.category);
                self.services.contains(id)
                    || category.is_some_and(|category| self.categories.covers(category))
            })
    }
}

/// Until when choices hold. What is left after a withdrawal that could not be recorded lives no longer than the
/// agreement that it is left of.
fn valid_until(lifetime: Lifetime, wish: &Wish, now: Timestamp, left_of: Option<&Choices>) -> Timestamp {
    if wish.is_nothing() {
        return answer::after(now, lifetime.refused);
    }
    answer::after(left_of.map_or(now, |before| before.made_at), lifetime.agreed)
}

/// `POST /_consent/choices`
pub(super) async fn make(call: &Call<'_>, body: Body) -> Response<Body> {
    if origin::sender(&call.head.headers, &call.visit.arrival) == Sender::Elsewhere {
        return call.message(StatusCode::FORBIDDEN, Message::ForeignOrigin);
    }
    let form = match Form::read(&call.head.headers, body).await {
        Ok(form) => form,
        Err(why) => return call.unreadable(&why),
    };
    if form.one("choice") == Some("once") {
        return once::make(call, &form).await;
    }
    let Some(wish) = Wish::read(&form, &call.visit.granted, &call.site.filter.services) else {
        return call.message(StatusCode::BAD_REQUEST, Message::BadRequest);
    };
    let change = wish.change(call.visit.choices.as_ref(), &call.site.filter.services);
    let Some((choices, expires)) = decide(call, &form, wish, change).await else {
        return call.not_recorded(Message::NotRecorded);
    };
    let granted = signal::granted(Some(&choices), call.visit.signal);
    let return_to = call.return_to(form.one("return"));
    let mut reply = if answer::wants_json(&call.head.headers) {
        let told = guard::choices(Some(&choices), &granted, call.visit.signal, Some(expires));
        answer::json(StatusCode::OK, &told)
    } else {
        answer::see_other(&return_to)
    };
    let cookie = signed(call.site, call.visit, &choices, expires);
    reply.headers_mut().append(SET_COOKIE, cookie);
    let host = &call.visit.arrival.host;
    for line in expire::lines(&call.site.filter, &granted, host, &return_to, &call.visit.cookies) {
        reply.headers_mut().append(SET_COOKIE, line);
    }
    finish(&mut reply, &choices, change);
    if form.one("choice") != Some("add") {
        // Who chooses anew has chosen for what was loaded once, too.
        once::end(call, &mut reply);
    }
    reply
}

/// Records a wish and makes the choices of it; nothing where it needs a proof that could not be kept.
async fn decide(call: &Call<'_>, form: &Form, wish: Wish, change: Change) -> Option<(Choices, Timestamp)> {
    let now = call.visit.arrival.now;
    let subject = call.subject()?;
    let lifetime = call.site.lifetime;
    let expires = valid_until(lifetime, &wish, now, None);
    let (method, shown) = shown(call, form);
    let decision = Decision {
        site: call.site.name.clone(),
        action: Action::Choice {
            categories: wish.categories,
            services: wish.services.iter().cloned().collect(),
            withdraws: change.withdraws(),
            under_signal: call.visit.signal.opts_out(),
        },
        method,
        language: form_language(call, form).as_str().into(),
        epoch: call.site.filter.epoch,
        valid_until: Some(expires),
    };
    let recorded = match call.own.ledger.record(subject, decision, shown).await {
        Ok(recorded) => {
            telemetry::count(&call.own.metrics.decisions, change.reason());
            Some(recorded)
        }
        Err(failure) => {
            let site = &*call.site.name;
            let error = &failure as &dyn std::error::Error;
            tracing::error!(site, error, decision = change.reason(), "a decision could not be recorded");
            None
        }
    };
    if recorded.is_none() && matches!(change, Change::Agrees(_)) {
        return None;
    }
    let left_of = call.visit.choices.as_ref().filter(|_| recorded.is_none());
    let expires = valid_until(lifetime, &wish, now, left_of);
    Some((choices(wish, subject, now, recorded, call.visit.signal), expires))
}

fn choices(
    wish: Wish,
    subject: crate::consent::Subject,
    now: Timestamp,
    recorded: Option<Recorded>,
    signal: Signal,
) -> Choices {
    let Wish { categories, services } = wish;
    Choices {
        subject,
        categories,
        services,
        made_at: recorded.map_or(now, |recorded| recorded.at),
        receipt: recorded.map(|recorded| recorded.id),
        under_signal: signal.opts_out(),
    }
}

/// How the form reached us, and what the visitor had before their eyes (COMPLIANCE C17).
fn shown(call: &Call<'_>, form: &Form) -> (Method, Shown) {
    let language = form_language(call, form);
    let place = crate::web::Place::default();
    let banner = || call.site.filter.banner(&language, call.visit.signal, place).to_string();
    let (method, content) = match form.one("from") {
        Some("banner") if !answer::wants_json(&call.head.headers) => (Method::WithoutScripts, banner()),
        Some("banner") => (Method::Banner, banner()),
        Some("settings") => (Method::Settings, settings::blank_form(call.site, &language)),
        Some("placeholder") => (Method::Placeholder, once::shown(call, form, &language)),
        _ => (Method::Program, String::new()),
    };
    (method, Shown { content: Arc::from(content) })
}

/// The language in which the form was shown, which need not be that of the visitor's wishes.
pub(super) fn form_language(call: &Call<'_>, form: &Form) -> crate::web::language::Language {
    super::language(call.site, call.visit, form.one("language"))
}

pub(super) fn signed(site: &Site, visit: &Visit, choices: &Choices, expires: Timestamp) -> HeaderValue {
    let settings = &site.visit;
    let value = settings.secrets.sign(cookie::CHOICES, &settings.site, expires, &choices.to_payload());
    let arrival = &visit.arrival;
    answer::cookie(cookie::CHOICES, &value, arrival.now, expires, arrival.scheme)
}

/// Adds the receipt, and what ends pages from before a withdrawal.
fn finish(reply: &mut Response<Body>, choices: &Choices, change: Change) {
    let headers = reply.headers_mut();
    if let Some(id) = choices.receipt {
        headers.insert(answer::RECEIPT, answer::receipt(id));
    }
    if change.withdraws() {
        clear_cache(headers);
    }
}

/// Sees to it that pages from before a withdrawal do not come back from the browser's cache.
pub(super) fn clear_cache(headers: &mut HeaderMap) {
    headers.insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
}

/// `GET /_consent/choices`, with the policy that a page takes on which cannot be loaded anew.
pub(super) fn tell(call: &Call<'_>) -> Response<Body> {
    let visit = call.visit;
    let told = guard::choices(visit.choices.as_ref(), &visit.granted, visit.signal, until(call));
    let mut reply = answer::json(StatusCode::OK, &told);
    if let Some(policy) = &scope::of(&call.site.filter, visit).policy {
        policy.write_as(Effect::Enforces, reply.headers_mut(), visit.arrival.scheme);
    }
    reply
}

/// Until when the visitor's present choices hold.
pub(super) fn until(call: &Call<'_>) -> Option<Timestamp> {
    Some(until_of(call.visit.choices.as_ref()?, call.site.lifetime))
}

/// Until when choices hold.
pub(super) fn until_of(choices: &Choices, lifetime: Lifetime) -> Timestamp {
    let lifetime = if choices.is_refusal() { lifetime.refused } else { lifetime.agreed };
    answer::after(choices.made_at, lifetime)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::super::tests::services;
    use super::*;
    use crate::consent::Subject;

    fn wish(form: &str) -> Option<Wish> {
        Wish::read(&Form::parse(form.as_bytes()), &Granted::default(), &services())
    }

    fn choices(wish: &Wish) -> Choices {
        Choices {
            subject: Subject(Uuid::nil()),
            categories: wish.categories,
            services: wish.services.clone(),
            made_at: Timestamp::UNIX_EPOCH,
            receipt: None,
            under_signal: false,
        }
    }

    #[test]
    fn a_form_is_read_or_refused_whole() {
        for (form, expected) in [
            ("choice=accept-all", Some((0b111, &[][..]))),
            ("choice=accept-all&category=statistics", Some((0b111, &[]))),
            ("choice=reject-all&category=statistics", Some((0, &[]))),
            ("choice=save", Some((0, &[]))),
            ("choice=save&category=statistics&category=necessary", Some((0b10, &[]))),
            ("choice=save&service=acme-stats", Some((0, &["acme-stats"]))),
            ("choice=save&category=statistics&service=acme-stats", Some((0b10, &[]))),
            ("choice=save&category=everything", None),
            ("choice=save&service=no-such", None),
            ("choice=yes", None),
            ("category=statistics", None),
            ("", None),
        ] {
            let read = wish(form);
            let expected = expected.map(|(bits, services)| Wish {
                categories: Categories::from_bits(bits),
                services: services.iter().map(|id| Box::from(*id)).collect(),
            });
            assert_eq!(read, expected, "{form}");
        }
    }

    // A signal that took marketing back must not be outranked by a choice about something else.
    #[test]
    fn a_service_is_added_to_what_may_act_now() {
        let statistics = Categories::NONE.with(Category::Statistics);
        let granted = Granted::new(statistics, BTreeSet::from(["meta-pixel".into()]));
        for (form, expected) in [
            ("choice=add&service=meta-pixel", Some(&["meta-pixel"][..])),
            ("choice=add&service=youtube", Some(&["meta-pixel", "youtube"])),
            ("choice=add&service=acme-stats", Some(&["meta-pixel"])),
            ("choice=add&service=youtube&category=marketing", Some(&["meta-pixel", "youtube"])),
            ("choice=add", None),
            ("choice=add&service=no-such", None),
        ] {
            let read = Wish::read(&Form::parse(form.as_bytes()), &granted, &services());
            let expected = expected.map(|ids| Wish {
                categories: statistics,
                services: ids.iter().map(|id| Box::from(*id)).collect(),
            });
            assert_eq!(read, expected, "{form}");
        }
    }

    #[test]
    fn only_agreement_needs_a_proof() {
        use Change::{Agrees, Refuses, Withdraws};
        for (before, after, expected) in [
            (None, "choice=accept-all", Agrees(Rest::Kept)),
            (None, "choice=reject-all", Refuses),
            (None, "choice=save", Refuses),
            (Some("choice=reject-all"), "choice=reject-all", Refuses),
            (Some("choice=reject-all"), "choice=save&category=marketing", Agrees(Rest::Kept)),
            (Some("choice=accept-all"), "choice=accept-all", Agrees(Rest::Kept)),
            (Some("choice=accept-all"), "choice=reject-all", Withdraws),
            (Some("choice=accept-all"), "choice=save&category=statistics", Withdraws),
            (Some("choice=accept-all"), "choice=save&service=acme-stats", Withdraws),
            (Some("choice=save&category=statistics"), "choice=save&service=acme-stats", Withdraws),
            (Some("choice=save&service=acme-stats"), "choice=save&category=statistics", Agrees(Rest::Kept)),
            (
                Some("choice=save&category=statistics"),
                "choice=save&category=marketing",
                Agrees(Rest::Withdrawn),
            ),
        ] {
            let before = before.map(|form| choices(&wish(form).unwrap()));
            let change = wish(after).unwrap().change(before.as_ref(), &services());
            assert_eq!(change, expected, "{after}");
        }
    }

    // COMPLIANCE C22.
    #[test]
    fn each_choice_is_remembered_for_its_own_time() {
        let day = Duration::from_secs(86_400);
        let lifetime = Lifetime { agreed: 100 * day, refused: 200 * day };
        let now = answer::after(Timestamp::UNIX_EPOCH, 30 * day);
        let before = choices(&wish("choice=accept-all").unwrap());
        for (form, left_of, expected) in [
            ("choice=accept-all", None, 130),
            ("choice=reject-all", None, 230),
            ("choice=save&category=statistics", Some(&before), 100),
            ("choice=reject-all", Some(&before), 230),
        ] {
            let until = valid_until(lifetime, &wish(form).unwrap(), now, left_of);
            assert_eq!(until, answer::after(Timestamp::UNIX_EPOCH, expected * day), "{form}");
        }
    }
}
