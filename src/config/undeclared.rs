//! What the sites' traffic showed and their settings do not name: each a doubt about the site's file.

use std::path::PathBuf;
use std::sync::Arc;

use super::Settings;
use super::problem::{Problem, Severity};
use crate::documents::{undeclared, undescribed};
use crate::filter::Banner;
use crate::ledger;
use crate::observed::Snapshot;
use crate::services::{Role, Rule, Service};
use crate::site::{Mode, Site};

/// Of more than so many things of a kind, only the number is told.
const NAMED: usize = 20;

impl Settings {
    /// Where what the traffic showed is kept: beside the ledger.
    pub fn observed_file(&self) -> Option<PathBuf> {
        match &self.ledger.place {
            ledger::Place::Sqlite(path) => Some(path.with_file_name("observed.json")),
            // It has no folder of ours; what was seen is learnt anew after a start.
            ledger::Place::Postgres(_) => None,
        }
    }

    /// What the traffic showed and nobody has declared, site by site.
    pub fn undeclared(&self, seen: impl Fn(&Site) -> Arc<Snapshot>) -> Vec<Problem> {
        let entries = self.origin.known.entries().filter(|entry| entry.site.mode != Mode::Off);
        entries.flat_map(|entry| of_site(&entry.site, &entry.start.file, &seen(&entry.site))).collect()
    }
}

fn of_site(site: &Site, file: &std::path::Path, seen: &Snapshot) -> Vec<Problem> {
    let filter = &site.filter;
    let is_ordinary = |service: &&Service| service.role == Role::Ordinary;
    let services = undeclared(&filter.services, seen).filter(is_ordinary).map(|service| {
        let (id, name) = (&service.id, &service.name);
        let message = format!("the site uses {name} (`{id}`), which its settings do not name");
        (message, format!("it is held or stripped as the catalogue says, and documents list it; write `services: {{ {id}: consent }}` to decide yourself"))
    });
    let cookies = undescribed(&filter.services, &filter.cookies.necessary, seen).map(|cookie| {
        let message = format!("the site sets the cookie `{}`, and nobody has described it", cookie.name);
        (message, "describe it in `own_services`, with purpose and lifetime, or add it to `cookies: { necessary: … }`".to_owned())
    });
    let hosts = seen.hosts().filter(|host| !filter.services.knows_host(host.name)).map(|host| {
        let message = format!("pages reach for `{}`, which no service explains", host.name);
        (message, "browsers reported it; add it to `own_services` if the site needs it".to_owned())
    });
    let kinds: [Vec<(String, String)>; 4] =
        [second_dialogs(site, seen), services.collect(), cookies.collect(), hosts.collect()];
    kinds.into_iter().flat_map(|kind| problems(file, kind)).collect()
}

/// The consent tools of others on a site that shows a banner itself.
fn second_dialogs(site: &Site, seen: &Snapshot) -> Vec<(String, String)> {
    if site.mode != Mode::Enforce || site.filter.banner != Banner::Shown {
        return Vec::new();
    }
    let services = &site.filter.services;
    let tools = seen.services().filter_map(|seen| services.find(seen.name));
    let tools = tools.filter(|tool| tool.role == Role::ConsentTool && services.rule(tool) != Rule::STRIP);
    let doubt = |tool: &Service| {
        let (id, name) = (&tool.id, &tool.name);
        let message = format!(
            "pages ask for consent with {name} (`{id}`), too: visitors meet two dialogs that compete"
        );
        (
            message,
            format!(
                "take {name} out of the site, or write `services: {{ {id}: strip }}`; or `banner: {{ enabled: false }}` while it stays"
            ),
        )
    };
    tools.map(doubt).collect()
}

fn problems(file: &std::path::Path, mut found: Vec<(String, String)>) -> Vec<Problem> {
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if let Some((message, _)) = found.last_mut().filter(|_| more > 0) {
        message.push_str(&format!("; and so for {more} more"));
    }
    let problem = |(message, help)| Problem {
        severity: Severity::Warning,
        file: file.to_owned(),
        place: None,
        message,
        help: Some(help),
    };
    found.into_iter().map(problem).collect()
}
