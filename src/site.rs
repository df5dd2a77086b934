//! Host to site: one look-up, however many sites there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::filter::frame::Layout;
use crate::ledger::retention::Retention;
use crate::{documents, filter, gate, upstream, visit};

/// One tenant: its host names, its upstream, and what each stage needs to know of it.
#[derive(Debug)]
pub struct Site {
    /// The name of its YAML file, without the extension: what its cookies and ledger entries are bound to.
    pub name: Box<str>,
    /// What the proxy does to it.
    pub mode: Mode,
    /// Where the proxy's own pages live, with a slash at both ends.
    pub own_path: Box<str>,
    /// How visits are read.
    pub visit: visit::Settings,
    /// Its gates; none while its privacy document is not filled in.
    pub gate: Arc<gate::Rules>,
    /// Its documents.
    pub documents: documents::Shelf,
    /// What happens to its answers.
    pub filter: Arc<filter::Settings>,
    /// The application behind.
    pub upstream: upstream::Settings,
    /// Who answers for the personal data.
    pub controller: Party,
    /// Who handles the data on the controller's behalf.
    pub processor: Option<Party>,
    /// How long choices are remembered.
    pub lifetime: Lifetime,
    /// How long the ledger keeps what visitors decided.
    pub retention: Retention,
    /// The site's own page that documents stand in; none: the proxy's own layout.
    pub layout: Option<Layout>,
    /// What `Strict-Transport-Security` says over HTTPS; nothing: what the upstream says stays.
    pub hsts: Option<HeaderValue>,
}

/// What the proxy does to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Enforce,
    /// Nothing, but it reports what it would do.
    Observe,
    /// Nothing: a plain proxy.
    Off,
}

/// A controller (GDPR art. 4(7)) or a processor (art. 4(8)).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Party {
    /// The legal name.
    pub name: Box<str>,
    /// The number under which it is registered.
    pub organisation_number: Option<Box<str>>,
    /// The postal address.
    pub address: Option<Box<str>>,
    /// The address for questions about personal data.
    pub email: Option<Box<str>>,
}

/// How long choices are remembered before they are asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// After agreeing to anything; at most 365 days.
    pub agreed: Duration,
    /// After refusing everything; at least 180 days.
    pub refused: Duration,
}

/// All sites, by host.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    exact: HashMap<Box<str>, Arc<Site>>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<Site>>,
    any: Option<Arc<Site>>,
}

/// A host name as a site's YAML writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `www.example.se`
    Exact(Box<str>),
    /// `*.example.se`, kept as `example.se`: all names below it, not itself.
    Below(Box<str>),
    /// `*`: every host that no other site names.
    Any,
}

/// Two sites that claim one host.
#[derive(Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The site that had the host first.
    pub by: Box<str>,
}

impl Sites {
    /// Gives `host` to `site`, unless another site has it.
    pub fn insert(&mut self, host: HostPattern, site: &Arc<Site>) -> Result<(), Claimed> {
        let before = match host {
            HostPattern::Exact(name) => self.exact.insert(name, Arc::clone(site)),
            HostPattern::Below(name) => self.wildcard.insert(name, Arc::clone(site)),
            HostPattern::Any => self.any.replace(Arc::clone(site)),
        };
        before.map_or(Ok(()), |before| Err(Claimed { by: before.name.clone() }))
    }

    /// The site of a canonical host (lower case, no port): by its name, else by the nearest wildcard, else `*`.
    pub fn find(&self, host: &str) -> Option<&Arc<Site>> {
        self.exact
            .get(host)
            .or_else(|| {
                std::iter::successors(host.split_once('.'), |(_, rest)| rest.split_once('.'))
                    .find_map(|(_, rest)| self.wildcard.get(rest))
            })
            .or(self.any.as_ref())
    }

    /// Every host, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = HostPattern> {
        let exact = self.exact.keys().cloned().map(HostPattern::Exact);
        let wildcard = self.wildcard.keys().cloned().map(HostPattern::Below);
        exact.chain(wildcard).chain(self.any.iter().map(|_| HostPattern::Any))
    }

    /// Every site once, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Site>> {
        let mut seen = std::collections::HashSet::new();
        self.exact
            .values()
            .chain(self.wildcard.values())
            .chain(self.any.as_ref())
            .filter(move |site| seen.insert(site.name.clone()))
    }
}
