//! One address of an upstream while it runs: its connections, its health, and one request on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::answer::{Answer, Counted, Occupied};
use super::balance::Standing;
use super::certificates::Offer;
use super::connector::{Connector, Shared};
use super::health::{Health, Opinion, Turn};
use super::lease::{Channel, Connection, Kept, Lease, Missing, Wanted};
use super::pool::Pool;
use super::probe::{self, Check};
use super::scrutiny::{self, Asked, Lie};
use super::target::Target;
use super::upload::{Interim, Upload};
use super::{Cause, Failure, State, outgoing};
use crate::listener::body::Broken;
use crate::listener::scarcity;

/// One address of an upstream while it runs. Sites that reach it in the same way share it.
#[derive(Debug)]
pub(super) struct Member {
    address: Arc<str>,
    pool: Arc<Pool>,
    health: Arc<Record>,
    under_way: Arc<AtomicUsize>,
    checking: Option<AbortHandle>,
}

/// What is known of an address; requests and checks both write in it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) address: Arc<str>,
    health: Mutex<Health>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(checking) = &self.checking {
            checking.abort();
        }
    }
}

impl Member {
    /// Checks begin at once, and end with it.
    pub(super) fn start(shared: Arc<Shared>, target: Target, check: Option<Check>) -> Self {
        let address: Arc<str> = target.endpoint.to_string().into();
        let health = Arc::new(Record { address: Arc::clone(&address), health: Mutex::new(Health::new()) });
        let connector = Connector::new(shared, Arc::new(target));
        let checking = check.map(|check| {
            let watch = probe::watch(connector.apart(), check, Arc::clone(&health));
            connector.shared.runtime.spawn(watch).abort_handle()
        });
        let pool = Arc::new(Pool::new(connector));
        Member { address, pool, health, under_way: Arc::default(), checking }
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        match self.health.lock().opinion(now) {
            Opinion::Hopeless => Standing::Hopeless,
            Opinion::Worthwhile if self.pool.is_full() => Standing::Full,
            Opinion::Worthwhile => Standing::Free,
        }
    }

    pub(super) fn state(&self, now: Instant) -> State {
        State {
            address: Arc::clone(&self.address),
            is_healthy: self.health.lock().opinion(now) == Opinion::Worthwhile,
            requests: self.under_way(),
            connections: self.pool.connector.open(),
        }
    }

    /// Files of certificates may have changed: what was connected with them takes no new request.
    pub(super) fn forget_certificates(&self) {
        if self.pool.connector.target.scheme() == "https" {
            self.pool.forget();
        }
    }

    /// Counts a request as under way there. Where it is a trial, others keep away until it must have connected.
    pub(super) fn claim(&self, now: Instant) -> Counted {
        self.health.lock().ask(now, self.pool.connector.shared.timeouts.load().connect);
        Counted::one_more(&self.under_way)
    }

    /// Sends one request there, which is counted already.
    pub(super) async fn ask(
        &self,
        parts: &Parts,
        upload: &Upload,
        counted: Counted,
    ) -> Result<Response<Answer>, Failure> {
        let offer = if parts.headers.contains_key(UPGRADE) { Offer::Http1 } else { Offer::Both };
        let mut wanted = Wanted { offer, made_after: None };
        let mut is_repeated = false;
        loop {
            let lease = self.lease(wanted).await?;
            let is_used = lease.is_used;
            let error = match self.send(lease, parts, upload).await? {
                Ok((answer, connection)) => return Ok(self.occupy(answer, counted, connection)),
                Err(error) => error,
            };
            match Fate::of(error, upload) {
                // The upstream had closed the kept connection just then, so it has not seen the request; and had
                // it, asking twice would do no harm (RFC 9110 section 9.2.2).
                Fate::Lost(_) if is_used && !is_repeated && may_repeat(parts, upload) => is_repeated = true,
                Fate::Unsent(_) if is_used => {}
                Fate::Unsent(source) => return Err(self.failed(self.unreachable(source))),
                // A kept connection may have been closed just then, which says nothing of the next one; and one page
                // with too many headers nothing of the others.
                Fate::Lost(source) if is_used || is_too_large(&source) => return Err(self.garbled(source)),
                Fate::Lost(source) => return Err(self.failed(self.garbled(source))),
                Fate::Broken(failure) => return Err(failure),
            }
            wanted.made_after = Some(Instant::now());
        }
    }

    async fn lease(&self, wanted: Wanted) -> Result<Lease, Failure> {
        self.pool.take(wanted).await.map_err(|missing| match missing {
            Missing::Busy => Failure::Busy { address: (*self.address).into() },
            Missing::Unreachable(source) => self.failed(self.unreachable(source)),
        })
    }

    /// Notes what speaks against the address.
    fn failed(&self, failure: Failure) -> Failure {
        let why = match &failure {
            Failure::Connect { source, .. } | Failure::Protocol { source, .. } => &**source,
            timed_out => timed_out,
        };
        self.health.note(|health| health.failed(Instant::now()), Some(why));
        failure
    }

    /// Sends the request on this connection; the outer error is final.
    async fn send(&self, lease: Lease, parts: &Parts, upload: &Upload) -> Result<Outcome, Failure> {
        let Lease { mut channel, held, .. } = lease;
        let interim = Arc::<Interim>::default();
        let request = match channel {
            Channel::Http1(_) => with_its_end(request(parts, upload, &interim)),
            Channel::Http2(_) => {
                upload.expect_nothing();
                let scheme = self.pool.connector.target.scheme();
                // No fault of the address.
                outgoing::as_http2(request(parts, upload, &interim), scheme)
                    .map_err(|source| self.garbled(source.into()))?
            }
        };
        let sent = tokio::select! {
            biased;
            () = interim.flooded() => {
                return Err(self.failed(self.garbled("interim answers without end".into())));
            }
            sent = channel.send(request) => sent,
            () = upload.overdue(self.pool.connector.shared.timeouts.load().response) => {
                return Err(self.failed(self.timed_out()));
            }
        };
        let answer = match sent {
            Ok(answer) => accept(answer, parts),
            Err(error) => return Ok(Err(error)),
        };
        // Before anybody else gets the connection: what follows a lie on it is nobody's answer.
        let answer = answer.map_err(|lie| {
            if let Some(unwanted) = upload.answered() {
                unwanted.abandon();
            }
            self.failed(self.garbled(lie.into()))
        })?;
        let connection = match channel {
            // After a switch, what comes over the connection next is no HTTP.
            Channel::Http1(connection) if answer.status() != StatusCode::SWITCHING_PROTOCOLS => {
                Connection::Kept { _kept: Kept::new(&self.pool, connection, held) }
            }
            Channel::Http1(_) | Channel::Http2(_) => Connection::Held { _held: held },
        };
        Ok(Ok((answer, connection)))
    }

    fn occupy(
        &self,
        answer: Response<Incoming>,
        counted: Counted,
        connection: Connection,
    ) -> Response<Answer> {
        self.health.note(Health::answered, None);
        let occupied = Occupied { _counted: counted, _connection: connection };
        let pause = self.pool.connector.shared.timeouts.load().body;
        let of = match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => Answer::switched,
            _ => Answer::new,
        };
        answer.map(|body| of(&self.address, body, occupied, pause))
    }

    fn unreachable(&self, source: Cause) -> Failure {
        Failure::Connect { address: (*self.address).into(), source }
    }

    fn garbled(&self, source: Cause) -> Failure {
        Failure::Protocol { address: (*self.address).into(), source }
    }

    fn timed_out(&self) -> Failure {
        Failure::TimedOut { address: (*self.address).into() }
    }
}

/// An answer with its connection, or why there is none.
type Outcome = Result<(Response<Incoming>, Connection), TrySendError<Request<Upload>>>;

/// What has become of a request that got no answer.
enum Fate {
    /// Nothing of it has left.
    Unsent(Cause),
    /// Some of it may have arrived.
    Lost(Cause),
    /// It broke off at the visitor's side.
    Broken(Failure),
}

impl Fate {
    fn of(mut error: TrySendError<Request<Upload>>, upload: &Upload) -> Self {
        match upload.take_broken() {
            Some(source) => Fate::Broken(match source.downcast_ref() {
                Some(Broken::TooLarge) => Failure::TooLarge,
                Some(Broken::TimedOut) => Failure::SlowBody,
                None => Failure::Request { source },
            }),
            None if error.take_message().is_some() => Fate::Unsent(error.into_error().into()),
            None => Fate::Lost(error.into_error().into()),
        }
    }
}

/// Whether the head of an answer has more, or more lines, than there is room for.
fn is_too_large(cause: &Cause) -> bool {
    cause.downcast_ref().is_some_and(hyper::Error::is_parse_too_large)
}

/// Whether a request may be sent again though it may have arrived.
pub(super) fn may_repeat(parts: &Parts, upload: &Upload) -> bool {
    upload.is_empty() && parts.method.is_idempotent()
}

/// Path and query, byte for byte, as HTTP/1.1 writes them.
fn request(parts: &Parts, upload: &Upload, interim: &Arc<Interim>) -> Request<Upload> {
    let mut request = Request::new(upload.clone());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() =
        Uri::from(parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    *request.headers_mut() = parts.headers.clone();
    let (listening, interim) = (upload.clone(), Arc::clone(interim));
    hyper::ext::on_informational(&mut request, move |answer| listening.heard(&interim, answer.status()));
    request
}

/// Of a GET, hyper would drop a body whose length it does not know.
fn with_its_end(mut request: Request<Upload>) -> Request<Upload> {
    if request.body().has_open_end() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    request
}

/// Takes an answer, unless it is a lie.
fn accept(mut answer: Response<Incoming>, parts: &Parts) -> Result<Response<Incoming>, Lie> {
    let asked = if parts.headers.contains_key(UPGRADE) { Asked::WebSocket } else { Asked::Nothing };
    scrutiny::check(&mut answer, asked)?;
    Ok(answer)
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what was learnt, and says so where that changes things; `why` is what was wrong, if anything.
    pub(super) fn note(
        &self,
        learnt: impl FnOnce(&mut Health) -> Turn,
        why: Option<&(dyn std::error::Error + 'static)>,
    ) {
        // Then it is this machine that could not ask.
        if why.and_then(|why| why.downcast_ref()).is_some_and(scarcity::is_of_files) {
            return;
        }
        let turn = learnt(&mut self.lock());
        match turn {
            Turn::Same => {}
            Turn::WentDown => {
                tracing::warn!(
                    address = &*self.address,
                    error = why,
                    "the upstream's address is left alone for now"
                )
            }
            Turn::CameUp => tracing::info!(address = &*self.address, "the upstream's address is back"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::upload::Expectation;
    use super::*;

    #[test]
    fn that_this_machine_has_no_file_left_says_nothing_of_the_address() {
        let record = Record { address: "a".into(), health: Mutex::new(Health::new()) };
        let now = Instant::now();
        // EMFILE, and as a contrast ECONNREFUSED.
        for (number, opinion) in [(24, Opinion::Worthwhile), (111, Opinion::Hopeless)] {
            let error = std::io::Error::from_raw_os_error(number);
            for _ in 0..9 {
                record.note(|health| health.failed(now), Some(&error));
            }
            assert_eq!(record.lock().opinion(now), opinion, "{error}");
        }
    }

    #[test]
    fn the_upstream_gets_path_and_query_byte_for_byte() {
        for asked in ["/", "/a/../b//c%2f%zz;d?e=%20&f", "/?", "/\u{e5}", "*"] {
            let uri: Uri = asked.parse().unwrap();
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.uri = uri;
            let request = request(
                &parts,
                &Upload::new(crate::filter::body::full(""), Expectation::None),
                &Arc::default(),
            );
            assert_eq!(request.uri().to_string(), asked);
            assert_eq!(request.version(), http::Version::HTTP_11);
        }
    }
}
