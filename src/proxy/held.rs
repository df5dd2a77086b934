//! Held forms on their way to the upstream: each once, whatever the visitor's browser does meanwhile.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use moka::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::Proxy;
use super::access_log::{By, Line};
use super::reply;
use crate::filter::{self, Body};
use crate::gate::{self, Permit, Verdict};
use crate::own::Own;
use crate::own::held::{self, Carrier, Id, LIFETIME, Ready, Unpacked};
use crate::site::Site;
use crate::upstream::{self, Failure, Upstreams};
use crate::visit::Visit;

/// How many forms that were sent on are remembered.
const REMEMBERED: u64 = 1 << 20;

/// How long an answer waits for a visitor who pressed the button twice.
const UNCLAIMED_FOR: Duration = Duration::from_secs(10);

/// What the upstream said to a form whose visitor was gone by then.
type Unclaimed = Mutex<Option<Response<upstream::Answer>>>;

/// The forms that this process has sent on; the ledger knows those of the others, too.
#[derive(Clone, Debug)]
pub(super) struct Sent(Cache<Id, Arc<Unclaimed>>);

impl Default for Sent {
    fn default() -> Self {
        Sent(Cache::builder().max_capacity(REMEMBERED).time_to_live(LIFETIME).build())
    }
}

/// What came of sending a form on.
enum Sending {
    Answer(Box<Response<upstream::Answer>>),
    Failed(Failure),
    /// It was sent before.
    Again,
    /// It was being sent before, and nobody knows how that ended.
    Unsure,
    /// Nobody could note that it is sent, so it was not.
    Unnoted,
}

impl Proxy {
    /// Takes a held form back, and sends it on if nothing stands between it and the site any more.
    pub(super) async fn deliver(
        &self,
        site: &Arc<Site>,
        visit: &Visit,
        carrier: Carrier,
        line: &mut Line,
    ) -> Response<Body> {
        line.hand_to(By::Own);
        let ready = match self.own.unpack(site, visit, carrier).await {
            Unpacked::Answer(answer) => return answer,
            Unpacked::Ready(ready) => ready,
        };
        let verdict = gate::decide(&site.gate, &ready.visit);
        line.gate(verdict.reason());
        let permit = match verdict {
            Verdict::Admit(permit) => permit,
            Verdict::ShowDocument(gate)
            | Verdict::HoldForm(gate)
            | Verdict::Refuse(gate)
            | Verdict::AskWho(gate, _) => {
                return self.own.ask_on(site, &ready, gate);
            }
        };
        let mut request = ready.request();
        let plan = filter::prepare(&site.filter, &ready.visit, request.headers_mut());
        line.hand_to(By::Upstream);
        match self.sent.send(&self.own, &self.upstreams, site, permit, &ready, request).await {
            Sending::Answer(answer) => {
                line.served_by(answer.body().address());
                ready.mark(filter::apply(&site.filter, &ready.visit, plan, *answer, line.report(site)))
            }
            Sending::Again => self.own.sent_already(site, &ready),
            Sending::Unsure => self.own.unsure(site, &ready),
            Sending::Unnoted => self.own.undelivered(site, &ready),
            Sending::Failed(Failure::Connect { .. } | Failure::Busy { .. }) => {
                line.failed("connect");
                self.own.undelivered(site, &ready)
            }
            Sending::Failed(failure) => {
                ready.mark(reply::upstream_failed(site, &ready.visit, &failure, line))
            }
        }
    }
}

impl Sent {
    /// Sends a form on, unless it was sent before.
    ///
    /// A browser whose button is pressed twice gives the first request up, so the sending goes on without it, and its
    /// answer is for the second.
    async fn send(
        &self,
        own: &Own,
        upstreams: &Arc<Upstreams>,
        site: &Arc<Site>,
        permit: Permit,
        ready: &Ready,
        request: Request<Body>,
    ) -> Sending {
        let mut taken = loop {
            let mut taken = None;
            let unclaimed = self.0.get_with(ready.id, || {
                let unclaimed = Arc::<Unclaimed>::default();
                taken = Arc::clone(&unclaimed).try_lock_owned().ok();
                unclaimed
            });
            if let Some(taken) = taken {
                break taken;
            }
            if let Some(answer) = unclaimed.lock().await.take() {
                return Sending::Answer(answer.into());
            }
            // It may have failed before anything left.
            if self.0.contains_key(&ready.id) {
                return Sending::Again;
            }
        };
        match own.begin(ready.id).await {
            Some(held::Sending::Begins) => {}
            Some(held::Sending::Arrived) => return Sending::Again,
            before @ (Some(held::Sending::Begun) | None) => {
                // Another proxy may have more to say of it later, and a ledger that is away comes back.
                self.0.invalidate(&ready.id);
                return if before.is_some() { Sending::Unsure } else { Sending::Unnoted };
            }
        }
        let (answer, answered) = oneshot::channel();
        let (sent, upstreams, site) = (self.clone(), Arc::clone(upstreams), Arc::clone(site));
        let (own, id, visit) = (own.clone(), ready.id, ready.visit.clone());
        tokio::spawn(async move {
            let sending = match upstreams.send(&site.upstream, permit, &visit, request).await {
                Ok(answer) => Sending::Answer(answer.into()),
                Err(failure) => {
                    if matches!(failure, Failure::Connect { .. } | Failure::Busy { .. }) {
                        // Nothing of it has left, so it may be sent again.
                        own.give_back(id).await;
                    }
                    // Who asks once more hears from the ledger that it began, and no more.
                    sent.0.invalidate(&id);
                    Sending::Failed(failure)
                }
            };
            let has_arrived = matches!(sending, Sending::Answer(_));
            let unclaimed = answer.send(sending);
            if has_arrived {
                own.end(id).await;
            }
            if let Err(Sending::Answer(answer)) = unclaimed {
                *taken = Some(*answer);
                let unclaimed = Arc::clone(OwnedMutexGuard::mutex(&taken));
                drop(taken);
                tokio::time::sleep(UNCLAIMED_FOR).await;
                unclaimed.lock().await.take();
            }
        });
        answered.await.unwrap_or(Sending::Again)
    }
}
