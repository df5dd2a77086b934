//! The site's own page as the frame of its documents: fetched through the upstream, kept, and fetched anew.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::Proxy;
use crate::clock::Timestamp;
use crate::filter::body::full;
use crate::filter::frame::{self, Frame, Layout};
use crate::gate;
use crate::site::Site;
use crate::visit::{Arrival, Visit};

/// How old a frame may be before it is fetched anew.
const FRESH: Duration = Duration::from_secs(300);

/// How long a page may take: readers of a document wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The frames of all sites that have one.
#[derive(Debug, Default)]
pub(super) struct Frames(Mutex<HashMap<Box<str>, Kept>>);

#[derive(Clone, Debug)]
struct Kept {
    /// Of which settings it was made.
    epoch: u64,
    /// When it is to be fetched anew.
    until: Timestamp,
    frame: Option<Arc<Frame>>,
}

/// Why a page cannot be had.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the application did not answer in time")]
    TooSlow,
    #[error("the application cannot be reached")]
    Upstream,
    #[error("it was answered with {0}")]
    Status(StatusCode),
    #[error("it is no HTML page")]
    NoPage,
    #[error("it is too large, or broke off")]
    Body,
    #[error(transparent)]
    Unusable(#[from] frame::Unusable),
}

impl Frames {
    /// The frame that is kept, and whether the caller is to fetch it anew; others use the old one meanwhile.
    fn look(&self, site: &Site, now: Timestamp) -> (Option<Arc<Frame>>, bool) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now.checked_add(FRESH).unwrap_or(now);
        match kept.get_mut(&site.name) {
            Some(known) if known.epoch == site.filter.epoch => {
                let is_old = known.until <= now;
                if is_old {
                    known.until = until;
                }
                (known.frame.clone(), is_old)
            }
            _ => {
                let new = Kept { epoch: site.filter.epoch, until, frame: None };
                kept.insert(site.name.clone(), new);
                (None, true)
            }
        }
    }

    fn keep(&self, site: &Site, frame: &Arc<Frame>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get_mut(&site.name) {
            known.frame = Some(Arc::clone(frame));
        }
    }
}

impl Proxy {
    /// The page around this site's documents; none where it has none, or none can be had.
    pub(super) async fn frame(&self, site: &Site, visit: &Visit) -> Option<Arc<Frame>> {
        let layout = site.layout.as_ref()?;
        let (known, is_old) = self.frames.look(site, visit.arrival.now);
        if !is_old {
            return known;
        }
        match self.fetch(site, visit, layout).await {
            Ok(frame) => {
                let frame = Arc::new(frame);
                self.frames.keep(site, &frame);
                Some(frame)
            }
            Err(failure) => {
                let (site, page) = (&*site.name, &*layout.page);
                let instead = if known.is_some() { "an older one" } else { "the proxy's own layout" };
                tracing::warn!(site, page, cause = %failure, instead, "the page for documents cannot be used");
                known
            }
        }
    }

    /// Fetches the page as nobody: without cookies, and without the reader's address.
    async fn fetch(&self, site: &Site, visit: &Visit, layout: &Layout) -> Result<Frame, Failure> {
        let request = Request::get(&*layout.page)
            .header(HOST, &*visit.arrival.authority)
            .header(ACCEPT, "text/html")
            .header(ACCEPT_ENCODING, "identity")
            .body(full(""))
            .map_err(|_| Failure::NoPage)?;
        let (parts, body) = request.into_parts();
        let arrival = Arrival { client: IpAddr::V4(Ipv4Addr::LOCALHOST), ..visit.arrival.clone() };
        let nobody = Visit::read(&site.visit, &parts, arrival);
        let request = Request::from_parts(parts, body);
        let fetched = async {
            let sent = self.upstreams.send(&site.upstream, gate::stand_aside(), &nobody, request).await;
            let (head, body) = sent.map_err(|_| Failure::Upstream)?.into_parts();
            if head.status != StatusCode::OK {
                return Err(Failure::Status(head.status));
            }
            let kind = head.headers.get(CONTENT_TYPE).filter(|kind| is_html(kind)).ok_or(Failure::NoPage)?;
            if head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
                return Err(Failure::NoPage);
            }
            let body = Limited::new(body, frame::LARGEST).collect().await.map_err(|_| Failure::Body)?;
            Ok(Frame::of(&body.to_bytes(), kind.clone(), layout)?)
        };
        tokio::time::timeout(PATIENCE, fetched).await.unwrap_or(Err(Failure::TooSlow))
    }
}

fn is_html(kind: &HeaderValue) -> bool {
    kind.to_str().is_ok_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
}
