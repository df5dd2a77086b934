//! Persons whom the application knows: what they have accepted on one device counts on the others.
//!
//! The ledger is asked only where a gate would close otherwise. One that does not answer opens nothing: the person is
//! asked again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Response};
use moka::sync::Cache;
use tokio::sync::OnceCell;

use super::{Own, acceptances, answer, new_subject};
use crate::consent::{Acceptance, Code, Identity};
use crate::documents::Document;
use crate::filter::Body;
use crate::gate;
use crate::ledger::Ledger;
use crate::site::Site;
use crate::visit::{Naming, Purpose, Visit};

/// How long an answer of the ledger is believed: what is accepted on another device is seen that soon.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// How many persons are remembered.
const REMEMBERED: u64 = 10_000;

/// How long a ledger that did not answer is left alone, so that not every page waits for it.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(2);

/// What one person has accepted; those who ask at once wait for one answer.
type Found = Arc<OnceCell<Arc<[Acceptance]>>>;

/// What persons have accepted, as the ledger said a moment ago.
#[derive(Clone, Debug)]
pub struct Persons {
    found: Cache<(Box<str>, Code), Found>,
    away_until: Arc<Mutex<Option<Instant>>>,
}

impl Default for Persons {
    fn default() -> Self {
        let found = Cache::builder().max_capacity(REMEMBERED).time_to_live(FRESH_FOR).build();
        Persons { found, away_until: Arc::default() }
    }
}

impl Persons {
    /// Has the ledger asked again for somebody who has just accepted something.
    pub(super) fn forget(&self, site: &str, who: &Identity) {
        self.found.invalidate(&(site.into(), who.newest()));
    }

    async fn accepted(&self, ledger: &Ledger, site: &str, who: &Identity) -> Arc<[Acceptance]> {
        let found = self.found.get_with((site.into(), who.newest()), Found::default);
        let asked = found.get_or_try_init(|| async {
            if self.is_away() {
                return Err(());
            }
            ledger.accepted_by(site, who).await.map(Into::into).map_err(|failure| {
                let error = &failure as &dyn std::error::Error;
                tracing::error!(
                    site,
                    error,
                    "the ledger does not say what somebody has accepted: they are asked"
                );
                *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Instant::now() + LEFT_ALONE_FOR);
            })
        });
        asked.await.cloned().unwrap_or_default()
    }

    fn is_away(&self) -> bool {
        let until = *self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

/// A visit with all that is known of its person.
#[derive(Clone, Debug)]
pub struct Recognised<'a> {
    asked: &'a Visit,
    /// The visit, where more is known of it.
    changed: Option<Box<Visit>>,
    /// The cookie that its browser should keep from now on.
    brings: Option<HeaderValue>,
}

impl Own {
    /// Looks up what the person of a visit has accepted elsewhere, where a gate would stop them otherwise.
    pub async fn recognise<'a>(&self, site: &Site, visit: &'a Visit) -> Recognised<'a> {
        self.recognise_for(site, visit, |visit| gate::is_wanting(&site.gate, visit)).await
    }

    /// The same for somebody who reads a document, so that they are not asked for what they have given.
    pub async fn recognise_reader<'a>(
        &self,
        site: &Site,
        visit: &'a Visit,
        document: &Document,
    ) -> Recognised<'a> {
        let mut gates = site.gate.gates.iter().filter(|gate| gate.document == document.id);
        self.recognise_for(site, visit, |visit| gates.any(|gate| !gate.is_accepted(visit))).await
    }

    async fn recognise_for<'a>(
        &self,
        site: &Site,
        visit: &'a Visit,
        is_wanting: impl FnOnce(&Visit) -> bool,
    ) -> Recognised<'a> {
        let mut recognised = Recognised { asked: visit, changed: None, brings: None };
        let Some(identity) = &visit.identity else { return recognised };
        let is_news = is_wanting(visit) && Box::pin(self.add_known(site, &mut recognised, identity)).await;
        if is_news || visit.is_unclaimed {
            recognised.keep(site);
        }
        recognised
    }

    /// Reads who the visitor is out of an answer of the upstream, where it says so, and looks up what they have accepted.
    pub async fn identify<'a>(
        &self,
        site: &Site,
        recognised: Recognised<'a>,
        answer: &HeaderMap,
    ) -> Recognised<'a> {
        let Some(Naming::Header(name)) = &site.visit.naming else { return recognised };
        let Some(written) = answer.get(name) else { return recognised };
        let told = site.visit.secrets.identity(&site.visit.site, written.as_bytes().trim_ascii());
        let known = recognised.visit().identity.as_ref();
        if known.map(Identity::newest) == told.as_ref().map(Identity::newest) {
            return recognised;
        }
        let is_same = match (known, &told) {
            (Some(known), Some(told)) => told.covers(&known.newest()),
            // What was accepted before logging in is theirs.
            (None, Some(_)) => true,
            // Logged out: what they accepted waits in the ledger.
            (_, None) => false,
        };
        let mut recognised = Recognised { brings: None, ..recognised };
        let changed = recognised.change();
        changed.identity = told;
        if !is_same {
            changed.acceptances.clear();
        }
        if let Some(identity) = &recognised.visit().identity.clone()
            && gate::is_wanting(&site.gate, recognised.visit())
        {
            Box::pin(self.add_known(site, &mut recognised, identity)).await;
        }
        recognised.keep(site);
        recognised
    }

    /// Adds what the ledger knows of somebody, and says whether it was news.
    async fn add_known(&self, site: &Site, recognised: &mut Recognised<'_>, who: &Identity) -> bool {
        let found = self.persons.accepted(&self.ledger, &site.name, who).await;
        let known = &recognised.visit().acceptances;
        let is_news = |found: &&Acceptance| {
            let mut same = known.iter().filter(|known| known.document == found.document);
            same.all(|known| known.accepted_at < found.accepted_at)
        };
        // The newest comes first, and the cookie drops the oldest.
        let news: Vec<Acceptance> = found.iter().filter(is_news).rev().cloned().collect();
        if news.is_empty() {
            return false;
        }
        let visit = recognised.change();
        for acceptance in news {
            visit.acceptances = acceptances::with(&visit.acceptances, acceptance);
        }
        true
    }
}

impl Recognised<'_> {
    /// The visit, with what is known of its person.
    pub fn visit(&self) -> &Visit {
        self.changed.as_deref().unwrap_or(self.asked)
    }

    fn change(&mut self) -> &mut Visit {
        self.changed.get_or_insert_with(|| Box::new(self.asked.clone()))
    }

    /// Has the browser keep what is known.
    fn keep(&mut self, site: &Site) {
        let visit = self.visit();
        let Some(subject) = visit.subject.or_else(new_subject) else { return };
        self.brings = Some(acceptances::signed(site, visit, subject, &visit.acceptances));
    }

    /// Adds to an answer what the browser is to keep: to those that no cache keeps for others.
    pub fn mark(&self, mut reply: Response<Body>) -> Response<Body> {
        let is_page = self.visit().purpose != Purpose::Resource;
        let Some(cookie) = self.brings.as_ref().filter(|_| is_page || !self.visit().method.is_safe()) else {
            return reply;
        };
        let headers = reply.headers_mut();
        headers.append(SET_COOKIE, cookie.clone());
        answer::keep_private(headers);
        reply
    }
}
