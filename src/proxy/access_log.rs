//! One line in the log for each request, written when its answer has been sent to the end or broke off; and the
//! counters that go with it.
//!
//! No query, no cookie, no user agent, and no more of the address than the settings say. Whatever way a request
//! ends, it is dropped: so the line is written by `Drop`, and none is missed when a client goes away or a panic ends it.

mod bodies;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::HOST;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;

use crate::filter::Body;
use crate::filter::body::{Fate, Report};
use crate::site::{Mode, Site};
use crate::telemetry::{ACCESS, Answered, AnsweredFor, Metrics, count};
use crate::visit::{Scheme, Visit};
use bodies::{Counted, Watched};

/// One request on its way, and what there will be to say of it.
pub(super) struct Line {
    metrics: Arc<Metrics>,
    start: Instant,
    by: By,
    /// Since when it is in those hands.
    since: Instant,
    is_head: bool,
    head: Option<(StatusCode, Duration)>,
    /// For whose site it is counted, where each is counted by itself.
    site: Option<Arc<Site>>,
    received: Option<Arc<AtomicU64>>,
    sent: u64,
    end: End,
    /// None while the access log is off: then nothing of it is gathered.
    said: Option<Said>,
}

/// What answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Nothing yet.
    Nobody,
    /// The application behind.
    Upstream,
    /// One of the proxy's own endpoints.
    Own,
    /// A gate.
    Gate,
    /// The listener that leads to HTTPS.
    Redirect,
    /// The refusal of what no proxy may pass.
    Refused,
    /// The proxy in the place of an upstream that gave no answer.
    Failure,
}

/// How far the answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    UnderWay,
    Whole,
    /// Its body failed, for this reason.
    Failed(&'static str),
    /// Its body is being asked for more: if that never returns, it has panicked.
    Asked,
}

/// What the log alone needs to know. All of it is shared with the request, not copied.
struct Said {
    client: Option<IpAddr>,
    scheme: Scheme,
    version: Version,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    trace: Option<HeaderValue>,
    site: Option<Arc<Site>>,
    choices: Option<&'static str>,
    signal: Option<bool>,
    gate: Option<&'static str>,
    reason: Option<&'static str>,
    page: Option<Fate>,
    upstream: Option<Arc<str>>,
}

impl Line {
    /// Notes a request that has just come in.
    pub(super) fn start<B>(
        request: &Request<B>,
        client: Option<IpAddr>,
        scheme: Scheme,
        metrics: &Arc<Metrics>,
    ) -> Self {
        metrics.under_way.inc();
        let said = || Said::of(request, client, scheme);
        let start = Instant::now();
        Line {
            metrics: Arc::clone(metrics),
            start,
            by: By::Nobody,
            since: start,
            is_head: request.method() == Method::HEAD,
            head: None,
            site: None,
            received: None,
            sent: 0,
            end: End::UnderWay,
            said: tracing::enabled!(target: ACCESS, tracing::Level::INFO).then(said),
        }
    }

    /// Counts what the visitor sends.
    pub(super) fn receive(&mut self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let counter = Arc::<AtomicU64>::default();
        self.received = Some(Arc::clone(&counter));
        Body::new(Counted { body, counter })
    }

    /// Notes in whose hands the request is from here on.
    pub(super) fn hand_to(&mut self, by: By) {
        self.by = by;
        self.since = Instant::now();
    }

    /// Notes the site, and what the visitor has chosen there.
    pub(super) fn visit(&mut self, site: &Arc<Site>, visit: &Visit) {
        let Some(said) = &mut self.said else { return };
        said.site = Some(Arc::clone(site));
        if site.mode != Mode::Off {
            said.choices = Some(choices(visit));
            said.signal = visit.signal.opts_out().then_some(true);
        }
    }

    /// Notes which address of the upstream answers.
    pub(super) fn served_by(&mut self, address: &Arc<str>) {
        if let Some(said) = &mut self.said {
            said.upstream = Some(Arc::clone(address));
        }
    }

    /// To whom the filters say what becomes of the answer.
    pub(super) fn report(&mut self, site: &Site) -> Report {
        let report = Report::new(&site.filter, &self.metrics);
        if let Some(said) = &mut self.said {
            said.page = Some(report.fate().clone());
        }
        report
    }

    /// Has the request counted for its site, too.
    pub(super) fn count_for(&mut self, site: &Arc<Site>) {
        self.site = Some(Arc::clone(site));
    }

    /// Counts and notes what the gates said. Unless it goes on from there, a gate answers.
    pub(super) fn gate(&mut self, verdict: &'static str) {
        count(&self.metrics.gates, verdict);
        self.by = By::Gate;
        if let Some(said) = &mut self.said {
            said.gate = Some(verdict);
        }
    }

    /// Counts and notes why no site sees the request.
    pub(super) fn refused(&mut self, reason: &'static str) {
        count(&self.metrics.refused, reason);
        self.stopped(By::Refused, reason);
    }

    /// Counts and notes why the upstream gave no answer.
    pub(super) fn failed(&mut self, reason: &'static str) {
        count(&self.metrics.upstream_failures, reason);
        self.stopped(By::Failure, reason);
    }

    fn stopped(&mut self, by: By, reason: &'static str) {
        self.by = by;
        if let Some(said) = &mut self.said {
            said.reason = Some(reason);
        }
    }

    /// Notes the head of the answer, and watches its body to the end.
    pub(super) fn answered(mut self, answer: Response<Body>) -> Response<Body> {
        let (status, now) = (answer.status(), Instant::now());
        let elapsed = now.saturating_duration_since(self.start);
        self.head = Some((status, elapsed));
        self.metrics.head.observe(elapsed);
        if self.by == By::Upstream {
            self.metrics.upstream.observe(now.saturating_duration_since(self.since));
        }
        self.count_answer(class(status));
        answer.map(|body| Body::new(Watched { body, line: self }))
    }

    fn count_answer(&self, class: &'static str) {
        let by = match self.by {
            _ if std::thread::panicking() => "panic",
            By::Nobody => "nobody",
            By::Upstream => "upstream",
            By::Own => "own",
            By::Gate => "gate",
            By::Redirect => "redirect",
            By::Refused => "refused",
            By::Failure => "failure",
        };
        self.metrics.answers.add(Answered { class, by }, 1);
        if let Some(site) = &self.site {
            let labels = AnsweredFor { site: site.name.to_string(), class };
            self.metrics.site_answers.get_or_create(&labels).inc();
        }
    }

    /// Why the answer did not come to its end, if it did not.
    fn broke_off(&self) -> Option<&'static str> {
        match self.end {
            End::Whole => None,
            End::Failed(reason) => Some(reason),
            End::Asked => Some("panic"),
            // A panic before the head: what was under way is dropped while the stack unwinds.
            End::UnderWay if self.head.is_none() && std::thread::panicking() => Some("panic"),
            // The visitor went away or took nothing for too long, or the proxy stops and would wait no longer.
            End::UnderWay => Some("connection-ended"),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let total = self.start.elapsed();
        let broke_off = self.broke_off();
        let received = self.received.as_ref().map_or(0, |received| received.load(Ordering::Relaxed));
        let metrics = &self.metrics;
        if self.head.is_none() {
            self.count_answer(if broke_off == Some("panic") { "5xx" } else { "none" });
        }
        if let Some(reason) = broke_off {
            count(&metrics.broken_off, reason);
        }
        metrics.total.observe(total);
        metrics.sent.inc_by(self.sent);
        metrics.received.inc_by(received);
        metrics.under_way.dec();
        if let Some(said) = &self.said {
            said.write(self, total, received, broke_off);
        }
    }
}

impl Said {
    fn of<B>(request: &Request<B>, client: Option<IpAddr>, scheme: Scheme) -> Self {
        let headers = request.headers();
        Said {
            client,
            scheme,
            version: request.version(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: headers.get(HOST).cloned(),
            trace: headers.get("traceparent").cloned(),
            site: None,
            choices: None,
            signal: None,
            gate: None,
            reason: None,
            page: None,
            upstream: None,
        }
    }

    fn write(&self, line: &Line, total: Duration, received: u64, broke_off: Option<&str>) {
        let host = self.host.as_ref().and_then(|host| host.to_str().ok()).or(self.uri.host());
        // The listener answers a panic with 500.
        let unanswered = if broke_off == Some("panic") { 500 } else { 0 };
        tracing::info!(
            target: ACCESS,
            client = self.client.as_ref().map(tracing::field::display),
            method = self.method.as_str(),
            status = line.head.map_or(unanswered, |(status, _)| status.as_u16()),
            bytes_sent = line.sent,
            total_milliseconds = milliseconds(total),
            scheme = self.scheme.as_str(),
            // A password may stand before it: such a request is refused, and its password is nobody's business.
            host = host.and_then(|host| host.rsplit('@').next()).unwrap_or("-"),
            path = self.uri.path(),
            http_version = version(self.version),
            head_milliseconds = line.head.map(|(_, elapsed)| milliseconds(elapsed)),
            bytes_received = received,
            site = self.site.as_ref().map(|site| &*site.name),
            upstream = self.upstream.as_deref(),
            page = self.page.as_ref().and_then(Fate::reason),
            gate = self.gate,
            choices = self.choices,
            gpc = self.signal,
            reason = self.reason,
            broke_off,
            trace_id = self.trace.as_ref().and_then(trace_id),
            "request"
        );
    }
}

/// What the visitor has chosen, less what a signal takes back.
fn choices(visit: &Visit) -> &'static str {
    match &visit.choices {
        None => "undecided",
        Some(choices) if choices.is_refusal() => "refused",
        Some(_) if visit.granted.is_all() => "all",
        Some(_) => "partial",
    }
}

/// The id of the trace that a request belongs to (W3C Trace Context, section 3.2).
fn trace_id(traceparent: &HeaderValue) -> Option<&str> {
    let mut parts = traceparent.to_str().ok()?.splitn(4, '-');
    let (version, trace, parent, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hexadecimal = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_nothing = |text: &str| text.bytes().all(|byte| byte == b'0');
    // A later version may have more to say behind its flags; this one may not.
    let flags = if version == "00" { rest } else { rest.split('-').next().unwrap_or_default() };
    let is_valid = is_hexadecimal(version, 2)
        && version != "ff"
        && is_hexadecimal(trace, 32)
        && !is_nothing(trace)
        && is_hexadecimal(parent, 16)
        && !is_nothing(parent)
        && is_hexadecimal(flags, 2);
    is_valid.then_some(trace)
}

/// Milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "-",
    }
}

/// The class of a status, as a word for metrics.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests;
