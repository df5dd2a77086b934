//! Verdicts on inline scripts. The same scripts stand on page after page of a site while the pages differ, and to find
//! their services and to read their statements takes longer than all else in a small page.
//!
//! A verdict is found again by the script's very text and by all else that shapes it.

use std::sync::LazyLock;

use super::State;
use super::code::{self, Catalogue, Kind, Verdict};
use super::elements::Lookup;
use super::recollection::{LONGEST, Recollection, shape};
use crate::filter::judge::{Judgement, judge};
use crate::services::{Service, Set};

/// What all scripts that are remembered may weigh together.
const BYTES: u64 = 8 << 20;

/// What was found in a script.
pub(super) struct Judged<'s> {
    /// The services that may not act and whose text stands in it.
    pub(super) found: Vec<(Judgement, &'s Service)>,
    /// What becomes of it.
    pub(super) verdict: Verdict<(Judgement, &'s Service)>,
}

/// The same by the names of the services.
struct Remembered {
    found: Box<[Box<str>]>,
    /// Of a service its place among those.
    verdict: Verdict<usize>,
}

static VERDICTS: LazyLock<Recollection<Remembered>> =
    LazyLock::new(|| Recollection::new(BYTES, Remembered::weight));

/// Judges an inline script, unless its verdict is remembered.
pub(super) fn on<'s>(state: &State, services: &'s Set, script: &str, kind: Kind) -> Judged<'s> {
    let Some(key) = key(state, script, kind) else { return anew(state, services, script, kind) };
    if let Some(judged) = recall(&key, state, services) {
        return judged;
    }
    let judged = anew(state, services, script, kind);
    if VERDICTS.came_before(&key)
        && let Some(remembered) = Remembered::of(&judged, services)
    {
        VERDICTS.keep(key, remembered);
    }
    judged
}

fn anew<'s>(state: &State, services: &'s Set, script: &str, kind: Kind) -> Judged<'s> {
    let lookup = Lookup { state, services };
    let found = lookup.find(script);
    let verdict = if found.is_empty() { Verdict::Runs } else { code::judge(script, kind, &lookup) };
    Judged { found, verdict }
}

/// All that shapes a verdict; none of a script that is not remembered.
fn key(state: &State, script: &str, kind: Kind) -> Option<Vec<u8>> {
    // Addresses in a script are absolute, but for their scheme: that of the page's own address says nothing.
    if script.len() > LONGEST || !state.bases.is_empty() {
        return None;
    }
    let mut key = shape(state, script.len());
    key.push(kind as u8);
    key.extend_from_slice(script.as_bytes());
    Some(key)
}

fn recall<'s>(key: &[u8], state: &State, services: &'s Set) -> Option<Judged<'s>> {
    let remembered = VERDICTS.of(key)?;
    let judged = |id: &str| {
        let service = services.find(id)?;
        Some((judge(services, service, &state.page.granted), service))
    };
    let found: Vec<_> = remembered.found.iter().map(|id| judged(id)).collect::<Option<_>>()?;
    let verdict = remembered.verdict.with(|at| found.get(*at).copied())?;
    Some(Judged { found, verdict })
}

impl Remembered {
    /// None where a name does not tell which service is meant.
    fn of(judged: &Judged<'_>, services: &Set) -> Option<Self> {
        let is_named =
            |service: &Service| services.find(&service.id).is_some_and(|named| std::ptr::eq(named, service));
        if !judged.found.iter().all(|(_, service)| is_named(service)) {
            return None;
        }
        let place =
            |service: &Service| judged.found.iter().position(|(_, found)| std::ptr::eq(*found, service));
        let verdict = judged.verdict.with(|(_, service)| place(service))?;
        Some(Remembered {
            found: judged.found.iter().map(|(_, service)| service.id.clone()).collect(),
            verdict,
        })
    }

    fn weight(&self) -> usize {
        let names: usize = self.found.iter().map(|id| id.len() + 16).sum();
        let texts = match &self.verdict {
            Verdict::Runs | Verdict::Held(..) => 0,
            Verdict::Parted { runs, held, .. } => runs.len() + held.len(),
        };
        names + texts + 256
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Inserts, Page, Syntax};
    use super::*;
    use crate::consent::Granted;
    use crate::filter::scope::Scope;
    use crate::filter::tests::{set, settings};

    const SCRIPTS: [&str; 6] = [
        "console.log('hej')",
        "fbq('track','Lead');own()",
        "fbq('init','1');fbq('track','PageView')",
        "var a=1;\n_gaq.push(['_setAccount','UA-1']);\nown(a)",
        "var a='https://www.google-analytics.com/ga.js';\nfbq('init',a);eval(a)",
        "function gtag(){dataLayer.push(arguments)}\ngtag('js',new Date());gtag('config','G-1');shop.start('/a')",
    ];

    fn state(granted: Granted, inserts: Inserts) -> State {
        let settings = Arc::new(settings(set(Vec::new(), &[])));
        let page = Page {
            url: "https://www.example.se/a".parse().unwrap(),
            scope: Scope::of_granted(&settings, &granted),
            granted,
            syntax: Syntax::Html,
            inserts,
            embeds: None,
            nonce: None,
        };
        State::new(&settings, page, Vec::new(), false, 0)
    }

    fn named(judged: &Judged<'_>) -> (Vec<String>, Option<Verdict<String>>) {
        let name = |(judgement, service): &(Judgement, &Service)| format!("{judgement:?} {}", service.id);
        (judged.found.iter().map(name).collect(), judged.verdict.with(|service| Some(name(service))))
    }

    #[test]
    fn a_remembered_verdict_is_the_one_that_was_found() {
        for granted in [Granted::default(), Granted::all()] {
            for inserts in [Inserts::Nothing, Inserts::Guard("g()".into())] {
                let state = state(granted.clone(), inserts);
                let services = &state.settings.services;
                for script in SCRIPTS {
                    for kind in [Kind::Classic, Kind::Module] {
                        let found = named(&anew(&state, services, script, kind));
                        for time in 0..4 {
                            let judged = on(&state, services, script, kind);
                            assert_eq!(named(&judged), found, "{script} {kind:?} {time}");
                        }
                        let key = key(&state, script, kind).unwrap();
                        let recalled = recall(&key, &state, services).expect("it came more than once");
                        assert_eq!(named(&recalled), found, "{script} {kind:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_came_once_and_what_is_too_long_is_not_remembered() {
        let state = state(Granted::default(), Inserts::Nothing);
        let services = &state.settings.services;
        on(&state, services, SCRIPTS[2], Kind::Classic);
        let key_of = |script: &str| key(&state, script, Kind::Classic);
        assert!(recall(&key_of(SCRIPTS[2]).unwrap(), &state, services).is_none());
        assert!(key_of(&" ".repeat(LONGEST + 1)).is_none());
    }
}
