//! The path of one request, on one page.

mod access_log;
mod frames;
mod held;
mod redirect;
pub mod refuse;
mod reply;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, Request, Response};

use crate::clock::Clock;
use crate::config;
use crate::filter::{self, Body};
use crate::gate::{self, Review, Verdict};
use crate::listener::{self, Peer, client_address};
use crate::own::held::Sorted;
use crate::own::{self, Endpoint, Own};
use crate::site::{Mode, Site};
use crate::telemetry::Metrics;
use crate::upstream::Upstreams;
use crate::visit::{Arrival, Scheme, Visit};
use access_log::{By, Line};
use frames::Frames;
use refuse::Host;

/// What answers every request. Clones share everything.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The settings in force; a reload swaps the whole of them.
    settings: Arc<ArcSwap<config::Settings>>,
    upstreams: Arc<Upstreams>,
    own: Own,
    clock: Clock,
    metrics: Arc<Metrics>,
    sent: held::Sent,
    frames: Arc<Frames>,
}

/// A request, and what was read of it.
struct Received<'a> {
    site: &'a Arc<Site>,
    visit: Visit,
    request: Request<Body>,
}

impl listener::App for Proxy {
    async fn answer(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        // One snapshot for the whole request: a reload takes effect between two requests.
        let settings = self.settings.load_full();
        let caller = client_address::identify(&peer, request.headers(), &settings.trusted_proxies);
        let mut line = self.line(&settings, &request, caller);
        let Received { site, visit, request } =
            match self.receive(&settings, request, &peer, caller, &mut line) {
                Ok(received) => received,
                Err(refusal) => return line.answered(refusal),
            };
        let answer = self.serve(&settings, site, &visit, request, &mut line).await;
        line.answered(answer)
    }

    fn shown(&self, client: IpAddr) -> Option<IpAddr> {
        self.settings.load().log_client_address.shown(client)
    }

    fn lead_to_https(&self, request: Request<Body>, peer: &Peer) -> Response<Body> {
        let settings = self.settings.load();
        let caller = client_address::identify(peer, request.headers(), &settings.trusted_proxies);
        let mut line = self.line(&settings, &request, caller);
        let (parts, _) = request.into_parts();
        let answer = redirect::answer(&settings.sites, &parts, peer, &mut line);
        line.answered(answer)
    }
}

impl Proxy {
    /// A proxy that obeys `settings`, which may be swapped while it runs.
    pub fn new(
        settings: Arc<ArcSwap<config::Settings>>,
        upstreams: Arc<Upstreams>,
        own: Own,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Proxy {
            settings,
            upstreams,
            own,
            clock,
            metrics,
            sent: held::Sent::default(),
            frames: Arc::default(),
        }
    }

    fn line(
        &self,
        settings: &config::Settings,
        request: &Request<Body>,
        (client, scheme): (IpAddr, Scheme),
    ) -> Line {
        Line::start(request, settings.log_client_address.shown(client), scheme, &self.metrics)
    }

    /// Reads a request: whose it is, and the facts of it; or the answer to one that no site sees.
    // Apart from what follows, which would keep room for all of it.
    #[expect(clippy::result_large_err, reason = "an answer, which goes on at once")]
    fn receive<'a>(
        &self,
        settings: &'a config::Settings,
        request: Request<Body>,
        peer: &Peer,
        (client, scheme): (IpAddr, Scheme),
        line: &mut Line,
    ) -> Result<Received<'a>, Response<Body>> {
        let request = request.map(|body| line.receive(body));
        let (parts, body) = request.into_parts();
        let Host { canonical, authority } = refuse::refuse(&parts, peer).map_err(|refusal| {
            line.refused(refusal.reason());
            reply::refused(refusal)
        })?;
        let Some(site) = settings.sites.find(&canonical) else {
            line.refused("unknown-host");
            return Err(reply::unknown_site(&parts));
        };
        let arrival = Arrival { host: canonical, authority, scheme, client, now: self.clock.now() };
        let visit = Visit::read(&site.visit, &parts, arrival);
        line.visit(site, &visit);
        Ok(Received { site, visit, request: Request::from_parts(parts, body) })
    }

    async fn serve(
        &self,
        settings: &config::Settings,
        site: &Arc<Site>,
        visit: &Visit,
        request: Request<Body>,
        line: &mut Line,
    ) -> Response<Body> {
        site.filter.observed.note_time(visit.arrival.now);
        if settings.is_counted_by_site {
            line.count_for(site);
        }
        let mut answer = match site.mode {
            Mode::Enforce => {
                let answering = std::pin::pin!(self.enforce(settings, site, visit, request, line));
                self.own.hear(site, visit, answering).await
            }
            Mode::Observe => self.observe(site, visit, request, line).await,
            Mode::Off => self.pass(site, visit, request, line).await,
        };
        keep_to_https(site, visit.arrival.scheme, answer.headers_mut());
        answer
    }

    async fn enforce(
        &self,
        settings: &config::Settings,
        site: &Arc<Site>,
        visit: &Visit,
        request: Request<Body>,
        line: &mut Line,
    ) -> Response<Body> {
        // Before the gate: documents and choices must be reachable without any acceptance.
        if let Some(endpoint) = own::route(site, &visit.path) {
            line.hand_to(By::Own);
            return Box::pin(self.answer_itself(endpoint, site, visit, request)).await;
        }
        let most = settings.held_form;
        let mut request = match self.own.sort(visit, request, most).await {
            Sorted::Request(request) => request,
            Sorted::Carrier(carrier) => return Box::pin(self.deliver(site, visit, carrier, line)).await,
            Sorted::Broken => return reply::broken_form(site, visit),
        };
        let recognised = self.own.recognise(site, visit).await;
        let visit = recognised.visit();
        let verdict = gate::decide(&site.gate, visit);
        line.gate(verdict.reason());
        let permit = match verdict {
            Verdict::Admit(permit) | Verdict::AskWho(_, permit) => permit,
            Verdict::ShowDocument(gate) => return recognised.mark(reply::see_document(visit, gate)),
            Verdict::HoldForm(gate) => {
                return Box::pin(self.own.hold(site, visit, gate, request, most)).await;
            }
            Verdict::Refuse(gate) => return reply::acceptance_missing(gate),
        };
        let plan = filter::prepare(&site.filter, visit, request.headers_mut());
        line.hand_to(By::Upstream);
        match self.upstreams.send(&site.upstream, permit, visit, request).await {
            Ok(answer) => {
                line.served_by(answer.body().address());
                let recognised = self.own.identify(site, recognised.clone(), answer.headers()).await;
                let visit = recognised.visit();
                let review = gate::review(&site.gate, visit, answer.headers());
                let reason = review.reason();
                let ours = match review {
                    Review::Pass => {
                        let report = line.report(site);
                        let answer = filter::answer(&site.filter, visit, plan, answer, report).await;
                        return recognised.mark(answer);
                    }
                    Review::ShowDocument(gate) => reply::see_document(visit, gate),
                    Review::Refuse(gate) => reply::acceptance_missing(gate),
                };
                line.gate(reason);
                recognised.mark(instead(site, visit, plan, answer.headers(), ours, line))
            }
            Err(failure) => reply::upstream_failed(site, visit, &failure, line),
        }
    }

    /// Answers a request to one of the proxy's own addresses.
    async fn answer_itself(
        &self,
        endpoint: Endpoint<'_>,
        site: &Arc<Site>,
        visit: &Visit,
        mut request: Request<Body>,
    ) -> Response<Body> {
        let Endpoint::Document(document) = endpoint else {
            return self.own.answer(endpoint, site, visit, request).await;
        };
        if let Some(frame) = self.frame(site, visit).await {
            request.extensions_mut().insert(frame);
        }
        let reader = self.own.recognise_reader(site, visit, document).await;
        reader.mark(self.own.answer(endpoint, site, reader.visit(), request).await)
    }

    /// A plain proxy that tells what it would do: in the log, and by what browsers report.
    async fn observe(
        &self,
        site: &Site,
        visit: &Visit,
        request: Request<Body>,
        line: &mut Line,
    ) -> Response<Body> {
        if let Some(endpoint @ Endpoint::Reports) = own::route(site, &visit.path) {
            line.hand_to(By::Own);
            return self.own.answer(endpoint, site, visit, request).await;
        }
        observe(site, visit);
        self.pass(site, visit, request, line).await
    }

    /// A plain proxy: nothing of the request or the answer is changed but what names the upstream, and nothing is looked at but
    /// what a site that is observed sets and loads.
    async fn pass(
        &self,
        site: &Site,
        visit: &Visit,
        request: Request<Body>,
        line: &mut Line,
    ) -> Response<Body> {
        line.hand_to(By::Upstream);
        match self.upstreams.send(&site.upstream, gate::stand_aside(), visit, request).await {
            Ok(answer) => {
                line.served_by(answer.body().address());
                match site.mode {
                    Mode::Observe => filter::watch(&site.filter, visit, answer),
                    Mode::Enforce | Mode::Off => filter::pass(&site.filter, visit, answer),
                }
            }
            Err(failure) => reply::upstream_failed(site, visit, &failure, line),
        }
    }
}

/// An answer of ours in place of the upstream's, whose cookies go on: it has a session to keep.
fn instead(
    site: &Arc<Site>,
    visit: &Visit,
    plan: filter::Plan,
    upstream: &HeaderMap,
    mut ours: Response<Body>,
    line: &mut Line,
) -> Response<Body> {
    let cookies: Vec<_> = upstream.get_all(SET_COOKIE).into_iter().cloned().collect();
    for cookie in cookies {
        ours.headers_mut().append(SET_COOKIE, cookie);
    }
    filter::apply(&site.filter, visit, plan, ours, line.report(site))
}

/// Tells browsers to come over HTTPS alone, where the site wants it, whatever its mode: it is about the transport.
fn keep_to_https(site: &Site, scheme: Scheme, headers: &mut HeaderMap) {
    let Some(hsts) = &site.hsts else { return };
    match scheme {
        Scheme::Https => _ = headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone()),
        // Nobody can vouch for it there (RFC 6797 section 7.2).
        Scheme::Http => _ = headers.remove(STRICT_TRANSPORT_SECURITY),
    }
}

/// Says what a site that is only observed would have done.
fn observe(site: &Site, visit: &Visit) {
    if let Some(gate) = gate::closed(&site.gate, visit) {
        tracing::info!(site = %site.name, gate = %gate.name, path = %visit.path, "the gate would have closed");
    }
}
