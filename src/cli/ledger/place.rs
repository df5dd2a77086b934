//! Which ledger is meant, and what the settings say of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::config::{self, FirstStart};
use crate::ledger::Place;
use crate::ledger::retention::OfSites;
use crate::ledger::seal::Keys;
use crate::ledger::store::postgres::Address;
use crate::ledger::store::{Mend, Read, sqlite};

/// A ledger, with what the settings know of it.
pub(super) struct Chosen {
    pub(super) place: Place,
    /// From the proxy's secrets.
    pub(super) keys: Option<Keys>,
    pub(super) checkpoints: Option<PathBuf>,
    pub(super) retention: Option<OfSites>,
}

impl Chosen {
    /// The ledger that is named, else the one of the settings. Where one is named, settings with errors do no harm.
    pub(super) fn find(named: Option<&str>, config: &Path) -> anyhow::Result<Self> {
        let place = named.map(parse).transpose()?;
        let settings = match (config::load(config, FirstStart::ReadOnly), &place) {
            (Ok(loaded), _) => loaded.settings,
            (Err(_), Some(place)) => {
                let place = place.clone();
                return Ok(Chosen { place, keys: None, checkpoints: None, retention: None });
            }
            (Err(problems), None) => {
                super::super::check::print(&problems);
                anyhow::bail!("the settings have errors; `--ledger PLACE` works without them")
            }
        };
        let is_other = place.as_ref().is_some_and(|place| *place != settings.ledger.place);
        Ok(Chosen {
            place: place.unwrap_or(settings.ledger.place),
            keys: Some(Keys::new(&settings.secrets)),
            // They tell of the proxy's own ledger, and no backup has come so far.
            checkpoints: settings
                .ledger
                .checkpoints
                .filter(|_| !is_other)
                .and_then(|checkpoints| checkpoints.file),
            retention: Some(settings.sites.iter().map(|site| (site.name.clone(), site.retention)).collect()),
        })
    }

    pub(super) fn read(&self) -> anyhow::Result<Arc<dyn Read>> {
        self.place.read().with_context(|| self.cannot("read"))
    }

    pub(super) fn mend(&self) -> anyhow::Result<Arc<dyn Mend>> {
        self.place.mend().with_context(|| self.cannot("changed"))
    }

    pub(super) fn sqlite(&self, path: &Path) -> anyhow::Result<sqlite::Access> {
        sqlite::Access::mend(path).with_context(|| self.cannot("read"))
    }

    /// What seals; without it nothing is changed.
    pub(super) fn keys(&self) -> anyhow::Result<&Keys> {
        self.keys
            .as_ref()
            .context("this takes the proxy's secrets: name settings without errors with --config")
    }

    fn cannot(&self, what: &str) -> String {
        format!("the ledger {} cannot be {what}", self.place)
    }
}

/// A place as it is named on the command line.
pub(super) fn parse(named: &str) -> anyhow::Result<Place> {
    let is_address = named.starts_with("postgres") && named.contains("://") || named.contains("host=");
    if !is_address {
        return Ok(Place::Sqlite(named.into()));
    }
    match Address::parse(named, None) {
        Ok(address) => Ok(Place::Postgres(address)),
        Err(why) => anyhow::bail!("this is not an address of PostgreSQL: {why}"),
    }
}
