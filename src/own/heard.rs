//! What a browser's signal takes back of an earlier choice: a withdrawal, which holds at once and is recorded like any
//! other (GDPR art. 7(3)), beside the page that the visitor asked for.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::SET_COOKIE;
use http::{Method as Verb, Response};

use super::{Own, answer, choices};
use crate::consent::signal;
use crate::consent::{Choices, Granted};
use crate::filter::Body;
use crate::ledger::entry::Action;
use crate::ledger::{Decision, Method, Recorded, Shown};
use crate::site::Site;
use crate::telemetry;
use crate::visit::Visit;

/// How long a page waits for the ledger.
const PATIENCE: Duration = Duration::from_secs(1);

impl Own {
    /// Records what the signal of a visit takes back while the visit is answered, and has the browser keep what is left.
    /// Where the ledger does not work, the signal is heard all the same, and the next page tries again.
    pub async fn hear(
        &self,
        site: &Site,
        visit: &Visit,
        answering: Pin<&mut impl Future<Output = Response<Body>>>,
    ) -> Response<Body> {
        let Some((before, left)) = taken_back(visit).filter(|_| self.ledger.works()) else {
            return answering.await;
        };
        let recording = Box::pin(self.record_withdrawal(site, visit, before, &left));
        let (mut reply, recorded) = tokio::join!(answering, recording);
        let Some(recorded) = recorded else { return reply };
        let after = after(before, &left, recorded);
        let headers = reply.headers_mut();
        let expires = choices::until_of(&after, site.lifetime);
        headers.append(SET_COOKIE, choices::signed(site, visit, &after, expires));
        choices::clear_cache(headers);
        answer::keep_private(headers);
        reply
    }

    async fn record_withdrawal(
        &self,
        site: &Site,
        visit: &Visit,
        before: &Choices,
        left: &Granted,
    ) -> Option<Recorded> {
        let decision = Decision {
            site: site.name.clone(),
            action: Action::Choice {
                categories: left.categories(),
                services: left.services().map(Into::into).collect(),
                withdraws: true,
                under_signal: visit.signal.opts_out(),
            },
            method: Method::Signal,
            language: site.filter.language(visit).as_str().into(),
            epoch: site.filter.epoch,
            valid_until: Some(choices::until_of(&left_at(before, left, visit.arrival.now), site.lifetime)),
        };
        // Nobody was asked: what decided is the signal.
        let shown = Shown { content: Arc::from(visit.signal.name().unwrap_or_default()) };
        let recording = self.ledger.record(before.subject, decision, shown);
        match tokio::time::timeout(PATIENCE, recording).await {
            Ok(Ok(recorded)) => {
                telemetry::count(&self.metrics.decisions, "withdrawal");
                return Some(recorded);
            }
            Ok(Err(failure)) => {
                let error = &failure as &dyn std::error::Error;
                tracing::error!(site = &*site.name, error, "what a signal takes back could not be recorded");
            }
            Err(_) => {
                tracing::error!(site = &*site.name, "what a signal takes back could not be recorded in time");
            }
        }
        None
    }
}

/// What was agreed to before, and what is left of it, where somebody navigates to a page with a signal that takes
/// something back. Whatever a page loads comes after it.
fn taken_back(visit: &Visit) -> Option<(&Choices, Granted)> {
    let asks_for_a_page = visit.purpose.is_navigation() && visit.method == Verb::GET;
    let before = visit.choices.as_ref().filter(|_| asks_for_a_page)?;
    Some((before, signal::left_of(before, visit.signal)?))
}

/// What holds from `now` on. What is left is no new agreement: it ends when the old one would have.
fn left_at(before: &Choices, left: &Granted, now: crate::clock::Timestamp) -> Choices {
    let left = Choices {
        categories: left.categories(),
        services: left.services().map(Into::into).collect(),
        receipt: None,
        under_signal: true,
        ..before.clone()
    };
    let made_at = if left.is_refusal() { now } else { left.made_at };
    Choices { made_at, ..left }
}

fn after(before: &Choices, left: &Granted, recorded: Recorded) -> Choices {
    Choices { receipt: Some(recorded.id), ..left_at(before, left, recorded.at) }
}
