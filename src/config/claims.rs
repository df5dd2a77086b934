//! What one site alone may have, its hosts and its name, judged when all sites are seen together.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::problem::{Place, Problem, Severity};
use super::sites::{Entry, Known};
use crate::site::HostPattern;

/// A site on its way into the settings.
pub(super) struct Candidate {
    /// Its file.
    pub(super) path: PathBuf,
    pub(super) entry: Arc<Entry>,
    pub(super) origin: Origin,
}

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The settings in force, because nothing it was made from has changed.
    Unchanged,
    /// The settings in force, because its files have errors now.
    Outdated,
    /// Its files, just now.
    Read,
}

/// Where something is written.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) file: PathBuf,
    pub(super) place: Place,
}

impl Spot {
    fn problem(&self, message: String, help: String) -> Problem {
        Problem {
            severity: Severity::Error,
            file: self.file.clone(),
            place: Some(self.place.clone()),
            message,
            help: Some(help),
        }
    }
}

/// Gives every host and name to one site: to who had it in the settings in force, else to the first file. Who
/// loses is an error; after a start, it stays as it was, or is not there if it was not before.
pub(super) fn settle(
    mut candidates: Vec<Candidate>,
    before: Option<&Known>,
    problems: &mut Vec<Problem>,
) -> Vec<Candidate> {
    loop {
        let losers = contest(&candidates, before, problems);
        let Some(before) = before.filter(|_| !losers.is_empty()) else { return candidates };
        let mut index = 0..;
        // What comes back may have what others have taken meanwhile, so it is judged again.
        candidates = candidates
            .into_iter()
            .filter_map(|candidate| match index.next() {
                Some(index) if losers.contains(&index) => before.outdated(candidate.path),
                _ => Some(candidate),
            })
            .collect();
    }
}

/// Which of the candidates claim what is another's.
fn contest(candidates: &[Candidate], before: Option<&Known>, problems: &mut Vec<Problem>) -> BTreeSet<usize> {
    let mut losers = BTreeSet::new();
    let mut owners: HashMap<Claim<'_>, &Spot> = HashMap::new();
    for (title, index, claim, spot) in claims(candidates, before) {
        if let Some(first) = owners.get(&claim) {
            problems.push(claim.refused(first, spot));
            // Two that are in force never clash, so that each round has fewer that can lose.
            if title > Title::Standing {
                losers.insert(index);
            }
        } else {
            owners.insert(claim, spot);
        }
    }
    losers
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Claim<'a> {
    Host(&'a HostPattern),
    Name(&'a str),
}

impl Claim<'_> {
    fn refused(self, first: &Spot, spot: &Spot) -> Problem {
        let file = first.file.display();
        match self {
            Claim::Host(_) => {
                let help = format!("{file}:{} has it already; a host belongs to one site", first.place.line);
                spot.problem("this host stands here a second time".into(), help)
            }
            Claim::Name(name) => {
                let help = format!("the first is {file}; cookies and ledger know sites by this name");
                spot.problem(format!("a second site is called `{name}`"), help)
            }
        }
    }
}

/// Who may keep what it claims.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Title {
    /// It is in force with it, unchanged.
    Standing,
    /// It had it in the settings in force.
    Earlier,
    New,
}

/// Every claim, the strongest first.
fn claims<'a>(
    candidates: &'a [Candidate],
    before: Option<&Known>,
) -> Vec<(Title, usize, Claim<'a>, &'a Spot)> {
    let mut claims = Vec::new();
    for (index, Candidate { path, entry, origin }) in candidates.iter().enumerate() {
        let had = before.and_then(|known| known.find(path));
        let title = |is_had: bool| match (origin, is_had) {
            (Origin::Unchanged | Origin::Outdated, _) => Title::Standing,
            (Origin::Read, true) => Title::Earlier,
            (Origin::Read, false) => Title::New,
        };
        let name = &*entry.site.name;
        claims.push((title(had.is_some()), index, Claim::Name(name), &entry.start));
        for (host, spot) in &entry.hosts {
            let is_had = had.is_some_and(|had| had.hosts.iter().any(|(other, _)| other == host));
            claims.push((title(is_had), index, Claim::Host(host), spot));
        }
    }
    claims.sort_by_key(|(title, index, ..)| (*title, *index));
    claims
}
