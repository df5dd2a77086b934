//! Talking to the application behind: which of its addresses, over which connection, and the request as it sees it.

mod answer;
mod balance;
mod certificates;
mod connector;
mod health;
mod lease;
mod member;
mod names;
mod outgoing;
mod pool;
mod probe;
mod scrutiny;
mod target;
mod trust_anything;
mod upgrade;
mod upload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::filter::Body;
use crate::gate::Permit;
use crate::listener::CertificateFiles;
use crate::visit::{ClientAddress, Visit};
use answer::Counted;
pub use answer::{Answer, Stalled};
use balance::{Candidate, Standing};
use certificates::Certificates;
use connector::Shared;
pub use health::Thresholds;
use member::Member;
pub use names::{Addresses, Names, Resolver};
pub use probe::Check;
pub use target::{Endpoint, Malformed, Protocol, Target, Tls, Trust};
use upload::{Expectation, Upload};

/// Why something went wrong beneath HTTP.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The application behind one site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its addresses, in the order of the YAML. Never empty.
    pub targets: Vec<Weighted>,
    /// How they are checked beside the requests of visitors (`health`), if at all.
    pub check: Option<Check>,
    /// What it learns of the visitor's address.
    pub client_address: ClientAddress,
    /// Whether the proxy says that it is there.
    pub via: Via,
    /// What runs for it, once it is in use.
    running: OnceLock<Arc<Running>>,
}

/// Whether the proxy names itself in `Via`, in requests and in answers (RFC 9110 section 7.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// It does not: who looks at answers learns nothing of it.
    Omitted,
    /// It does.
    Written,
}

/// An address, and how much of the work it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// The address.
    pub target: Target,
    /// Its share, in proportion to those of the others. Never 0.
    pub weight: u16,
}

/// The addresses of one site while they run.
#[derive(Debug)]
struct Running {
    members: Vec<(Arc<Member>, u16)>,
    /// Whose turn it is among equals.
    turns: Mutex<Vec<i64>>,
}

/// How long the upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the request's end to the head of the answer.
    pub response: Duration,
    /// Between two pieces of the answer's body.
    pub body: Duration,
    /// How long an unused connection is kept, and an upgraded one may be silent.
    pub idle: Duration,
}

/// Why the upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection could be made.
    #[error("no connection to {address}")]
    Connect {
        /// Host and port.
        address: Box<str>,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer came in time (`timeouts.upstream_response`).
    #[error("no answer from {address} in time")]
    TimedOut {
        /// Host and port.
        address: Box<str>,
    },
    /// What came was no HTTP, or broke off before the head of the answer was whole.
    #[error("no HTTP answer from {address}")]
    Protocol {
        /// Host and port.
        address: Box<str>,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The visitor's own request broke off while it was sent on.
    #[error("the request broke off")]
    Request {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address has as many connections as it may, and none came free in time.
    #[error("all connections to {address} are in use")]
    Busy {
        /// Host and port.
        address: Box<str>,
    },
    /// The request's body is larger than `limits.request_body`.
    #[error("the request's body is too large")]
    TooLarge,
    /// The next piece of the request's body did not come within `timeouts.request_body`.
    #[error("the request's body did not come in time")]
    SlowBody,
}

/// How an address is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// `HOST:PORT` or `unix:PATH`.
    pub address: Arc<str>,
    /// Whether requests go there: not while it refuses connections, nor while it fails its checks.
    pub is_healthy: bool,
    /// Requests under way there, to the end of their answers; checks are none.
    pub requests: usize,
    /// Connections that are open, idle ones and upgraded ones too.
    pub connections: usize,
}

/// What runs, by what it is for.
type Members = HashMap<(Target, Option<Check>), Weak<Member>>;

/// All upstreams: their connections, and what is known of their health.
#[derive(Debug)]
pub struct Upstreams {
    shared: Arc<Shared>,
    /// Sites that reach an address in the same way share what runs for it; it ends with the last of them.
    members: Mutex<Members>,
}

impl Upstreams {
    /// No connections yet; names are resolved as the machine does. To be called where the proxy runs, inside its
    /// runtime.
    pub fn new(timeouts: Timeouts) -> Self {
        Upstreams::following(timeouts, Names::default())
    }

    /// The same, with names of one's own.
    pub fn following(timeouts: Timeouts, names: Names) -> Self {
        let (certificates, runtime) = (Certificates::default(), Handle::current());
        let timeouts = ArcSwap::from_pointee(timeouts);
        let shared = Shared { timeouts, names, certificates, runtime };
        Upstreams { shared: Arc::new(shared), members: Mutex::default() }
    }

    /// Starts what these sites need before their first request: active checks. What they have in common with the
    /// settings in force goes on as it is, so call it before those are dropped.
    pub fn adopt<'a>(&self, sites: impl IntoIterator<Item = &'a Settings>) {
        for site in sites {
            self.running(site);
        }
        self.members().retain(|_, member| member.strong_count() > 0);
    }

    /// Lets other timeouts hold from the next request on.
    pub fn change(&self, timeouts: Timeouts) {
        self.shared.timeouts.store(Arc::new(timeouts));
    }

    /// Forgets what was read from files of certificates, and the connections that were made with it: a reload may
    /// have changed those files. What is under way goes on.
    pub fn forget_certificates(&self) {
        self.shared.certificates.forget();
        for member in self.alive() {
            member.forget_certificates();
        }
    }

    /// How each address is doing, in the order of their names. Where sites reach one address in different ways,
    /// it counts once: healthy if it is for all of them.
    pub fn states(&self) -> Vec<State> {
        let now = Instant::now();
        let mut states: Vec<State> = self.alive().iter().map(|member| member.state(now)).collect();
        states.sort_by(|one, other| one.address.cmp(&other.address));
        states.dedup_by(|next, first| {
            let is_same = next.address == first.address;
            if is_same {
                first.is_healthy &= next.is_healthy;
                first.requests += next.requests;
                first.connections += next.connections;
            }
            is_same
        });
        states
    }

    /// Sends a request on and gives back the head of the answer; the body follows as it comes.
    ///
    /// The caller has already run `filter::prepare` on the headers; this removes what belongs to one connection
    /// only (RFC 9110 section 7.6.1) and writes the forwarding headers. A request for WebSocket is passed on, and
    /// after an answer 101 both connections are tied together: the caller sends that answer back as it is.
    ///
    /// Where the visitor waits for `100 Continue`, nothing of the body is asked for before an upstream of HTTP/1.1 has
    /// said so, or has said nothing for a second (RFC 9110 section 10.1.1): one that refuses at once spares the
    /// visitor the upload. Over HTTP/2 the body goes at once.
    pub fn send(
        &self,
        to: &Settings,
        _permit: Permit,
        visit: &Visit,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Answer>, Failure>> + Send {
        // Before the future, which would keep room for all of it.
        let (mut parts, body) = request.into_parts();
        let visitor = upgrade::asked_for(&mut parts);
        let tie = parts.extensions.remove();
        let expectation = Expectation::of(&parts, &body);
        outgoing::rewrite(&mut parts.headers, &visit.arrival, to.client_address);
        if to.via == Via::Written {
            outgoing::sign(&mut parts.headers, parts.version);
        }
        if visitor.is_some() {
            upgrade::announce(&mut parts.headers);
        }
        if expectation == Expectation::None {
            parts.headers.remove(EXPECT);
        }
        let upload = Upload::new(body, expectation);
        let (running, via) = (self.running(to), to.via);
        async move {
            let mut answer = running.ask(&parts, &upload).await?;
            answer.body_mut().note_unwanted(upload.answered());
            outgoing::strip_hop_by_hop(answer.headers_mut());
            // The version is that of one connection, too (RFC 9112 section 2.3): in HTTP/1.0, an answer that breaks off
            // would end as a whole one does.
            let version = std::mem::replace(answer.version_mut(), Version::HTTP_11);
            if via == Via::Written {
                outgoing::sign(answer.headers_mut(), version);
            }
            if let (StatusCode::SWITCHING_PROTOCOLS, Some(visitor)) = (answer.status(), visitor) {
                upgrade::announce(answer.headers_mut());
                let upstream = hyper::upgrade::on(&mut answer);
                let occupied = answer.body_mut().take_occupied();
                let idle = self.shared.timeouts.load().idle;
                tokio::spawn(async move {
                    upgrade::tunnel(visitor, upstream, idle, tie).await;
                    drop(occupied);
                });
            }
            Ok(answer)
        }
    }

    fn running<'a>(&self, site: &'a Settings) -> &'a Running {
        site.running.get_or_init(|| {
            let mut members = self.members();
            let running = site.targets.iter().map(|Weighted { target, weight }| {
                let key = (target.clone(), site.check.clone());
                let known = members.get(&key).and_then(Weak::upgrade);
                let member = known.unwrap_or_else(|| {
                    let shared = Arc::clone(&self.shared);
                    let member = Arc::new(Member::start(shared, target.clone(), site.check.clone()));
                    members.insert(key, Arc::downgrade(&member));
                    member
                });
                (member, *weight)
            });
            let members = running.collect();
            Arc::new(Running { members, turns: Mutex::new(vec![0; site.targets.len()]) })
        })
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> Vec<Arc<Member>> {
        self.members().values().filter_map(Weak::upgrade).collect()
    }
}

impl Settings {
    /// An application at these addresses.
    pub fn new(targets: Vec<Weighted>, check: Option<Check>, client_address: ClientAddress) -> Self {
        Settings { targets, check, client_address, via: Via::Omitted, running: OnceLock::new() }
    }
}

impl Settings {
    /// What is shown to those of its addresses that ask for a certificate.
    pub fn identities(&self) -> impl Iterator<Item = &CertificateFiles> {
        let protocols = self.targets.iter().map(|weighted| &weighted.target.protocol);
        protocols.filter_map(|protocol| match protocol {
            Protocol::Tls(tls) => tls.identity.as_ref(),
            Protocol::Http | Protocol::Http2 => None,
        })
    }
}

impl Running {
    /// Asks one address after the other until one answers. Nothing of the body is read before a connection stands.
    async fn ask(&self, parts: &Parts, upload: &Upload) -> Result<Response<Answer>, Failure> {
        let mut tried = Vec::new();
        let mut is_repeated = false;
        let mut failure = Failure::Connect { address: "".into(), source: "the site has no upstream".into() };
        while let Some((index, member, counted)) = self.choose(&tried) {
            failure = match member.ask(parts, upload, counted).await {
                Ok(answer) => return Ok(answer),
                Err(failure @ Failure::Connect { .. }) => failure,
                // Once: a request that brings an application down should not visit all of it.
                Err(failure @ Failure::Protocol { .. })
                    if !is_repeated && member::may_repeat(parts, upload) =>
                {
                    is_repeated = true;
                    failure
                }
                Err(failure) => return Err(failure),
            };
            tried.push(index);
        }
        Err(failure)
    }

    fn choose(&self, tried: &[usize]) -> Option<(usize, &Member, Counted)> {
        let now = Instant::now();
        if let [(only, _)] = self.members.as_slice() {
            return tried.is_empty().then(|| (0, &**only, only.claim(now)));
        }
        // Kept until the chosen one is counted, so that nobody chooses by what is no longer so.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let candidate = |(index, (member, weight)): (usize, &(Arc<Member>, u16))| Candidate {
            standing: if tried.contains(&index) { Standing::Tried } else { member.standing(now) },
            under_way: member.under_way(),
            weight: *weight,
        };
        let candidates: Vec<Candidate> = self.members.iter().enumerate().map(candidate).collect();
        let index = balance::choose(&candidates, &mut turns)?;
        let (member, _) = self.members.get(index)?;
        Some((index, member, member.claim(now)))
    }
}
