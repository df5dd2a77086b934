//! Active checks of one address, beside the requests of visitors and on connections of their own.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, StatusCode, Uri};
use tokio::time::MissedTickBehavior;

use super::certificates::Offer;
use super::connector::{Connector, Made};
use super::health::Thresholds;
use super::member::Record;
use super::target::Target;
use super::upload::{Expectation, Upload};
use super::{Cause, outgoing};
use crate::filter::body;

/// How the addresses of a site are checked (`health`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is asked for.
    pub path: PathAndQuery,
    /// The host that is asked for it; without one, the address itself.
    pub host: Option<Authority>,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many checks in a row it takes.
    pub thresholds: Thresholds,
}

/// Checks an address until it is aborted.
pub(super) async fn watch(connector: Connector, check: Check, health: Arc<Record>) {
    let mut ticks = tokio::time::interval(check.interval);
    // A machine that slept does not make up for it all at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let why: Cause = match tokio::time::timeout(check.timeout, ask(&connector, &check)).await {
            Ok(Ok(status)) if status.is_success() || status.is_redirection() => {
                health.note(|health| health.passed(check.thresholds), None);
                continue;
            }
            Ok(Ok(status)) => format!("the check of {} was answered with {status}", check.path).into(),
            Ok(Err(error)) => error,
            Err(_) => format!("no answer to the check of {} within {:?}", check.path, check.timeout).into(),
        };
        tracing::debug!(
            address = &*health.address,
            error = &*why as &dyn std::error::Error,
            "a check failed"
        );
        health.note(|health| health.missed(check.thresholds), Some(&*why));
    }
}

async fn ask(connector: &Connector, check: &Check) -> Result<StatusCode, Cause> {
    let request = request(&connector.target, check);
    let answer = match connector.connect(Offer::Both, ()).await? {
        Made::Http1(mut connection) => connection.sender.send_request(request).await?,
        Made::Http2(mut sender, _) => {
            let request = outgoing::as_http2(request, connector.target.scheme())?;
            sender.send_request(request).await?
        }
    };
    Ok(answer.status())
}

fn request(target: &Target, check: &Check) -> Request<Upload> {
    let mut request = Request::new(Upload::new(body::full(""), Expectation::None));
    *request.uri_mut() = Uri::from(check.path.clone());
    let origin = target.origin();
    let own = origin.as_deref().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    // Behind a Unix socket, hosts have no names.
    let host = check.host.as_ref().map(Authority::as_str).or(own).unwrap_or("localhost");
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(HOST, host);
    }
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("consentry/", env!("CARGO_PKG_VERSION"), " (health)")),
    );
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    request
}
