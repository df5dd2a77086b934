//! What follows from a site's settings and what a visitor granted: policy, guard, and the hosts that a hint may
//! connect to. Built once for each combination, kept by weight.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use super::judge::{Judgement, judge};
use super::memory::Identity;
use super::own_csp::{Forms, Inserted, List};
use super::page::Address;
use super::{Banner, Settings, UnknownThirdParties, csp, html, prelude};
use crate::consent::signal::Signal;
use crate::consent::{Category, Granted};
use crate::services::{Catalogue, NamePattern, Service, Set, UrlPattern};
use crate::visit::Visit;
use crate::web::{self, guard};

/// The services that most sites have: what the guard must know of them comes with the page, that of all others in a
/// script that browsers keep.
const COMMON: [&str; 3] = ["google-analytics", "google-tag-manager", "meta-pixel"];

/// How much memory all scopes together may take.
const MEMORY: u64 = 64 * 1024 * 1024;

/// What one combination of settings and choices amounts to.
#[derive(Debug)]
pub struct Scope {
    /// Tells it from all others of this process.
    pub identity: Identity,
    /// The policy; none where nothing is to be tightened.
    pub policy: Option<csp::Policy>,
    /// The guard's script.
    pub guard: Arc<str>,
    /// Its hash, as a source of a policy.
    pub guard_source: Box<str>,
    /// The path of the list that the guard learns all services from; none where all of them may act.
    pub list: Option<Box<str>>,
    /// Which services may act of those that hide a page until they have come ([`guard::HIDING`]), parted by blanks.
    pub hiding: Box<str>,
    /// The hashes of the styles of settings link, banner and placeholders, as sources of a policy.
    pub style_sources: [Box<str>; 4],
    /// Hosts of services that may act, and of those that may not.
    acting: Hosts,
    held: Hosts,
    unknown: Unknown,
    /// What services that nobody knows the site to have are told before their first script, by their ids; those that
    /// it names, those that its traffic showed, and those without identifiers, are told by the guard.
    pub signals: HashMap<Box<str>, Box<str>>,
    /// The services whose globals the guard answers for from the first line on.
    stubbed: HashSet<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Connects,
    Waits,
}

/// Hosts as patterns write them: `example.com`, `*.example.com`.
#[derive(Debug, Default)]
struct Hosts(HashSet<Box<str>>);

/// How far what is granted reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reach {
    /// It holds on the whole site.
    Site,
    /// Something of it was loaded once, on this page alone.
    Page,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    site: Box<str>,
    epoch: u64,
    /// What the site was seen to use: the policy names it first.
    seen: u64,
    has_chosen: bool,
    reach: Reach,
    signal: Signal,
    categories: u8,
    services: Box<[Box<str>]>,
    /// Services of which something was loaded once on this page.
    once: Box<[Box<str>]>,
}

static SCOPES: LazyLock<moka::sync::Cache<Key, Arc<Scope>, RandomState>> = LazyLock::new(|| {
    moka::sync::Cache::builder()
        .max_capacity(MEMORY)
        .weigher(|key: &Key, scope: &Arc<Scope>| {
            let names: usize = key.services.iter().chain(&key.once).map(|name| name.len() + 16).sum();
            u32::try_from(names + key.site.len() + scope.weight()).unwrap_or(u32::MAX)
        })
        .build_with_hasher(RandomState::default())
});

/// The scope of a visit.
pub fn of(settings: &Settings, visit: &Visit) -> Arc<Scope> {
    let key = Key {
        site: settings.site.clone(),
        epoch: settings.epoch,
        seen: settings.observed.generation(),
        has_chosen: visit.choices.is_some(),
        reach: if visit.once_here.is_empty() { Reach::Site } else { Reach::Page },
        signal: visit.signal,
        categories: visit.granted.categories().bits(),
        services: visit.granted.services().map(Into::into).collect(),
        once: visit.once_here.services().into_iter().map(Into::into).collect(),
    };
    let (has_chosen, reach) = (key.has_chosen, key.reach);
    SCOPES.get_with(key, || {
        let mut scope = Scope::new(settings, &visit.granted, has_chosen, reach, visit.signal);
        let once = visit.once_here.services();
        if !once.is_empty() {
            // The policy cannot tell one embed from another; rewriter and guard hold the others.
            let granted = once.into_iter().fold(visit.granted.clone(), |all, one| all.with_service(one));
            scope.policy = csp::policy(settings, &granted);
        }
        Arc::new(scope)
    })
}

impl Scope {
    /// The scope of visitors who granted this and loaded nothing once; not kept.
    pub fn of_granted(settings: &Settings, granted: &Granted) -> Arc<Scope> {
        Arc::new(Scope::new(settings, granted, false, Reach::Site, Signal::Ignored))
    }

    fn new(settings: &Settings, granted: &Granted, has_chosen: bool, reach: Reach, signal: Signal) -> Self {
        let (mut acting, mut held) = (Hosts::default(), Hosts::default());
        acting.0.extend(settings.hosts.iter().cloned());
        for service in settings.services.iter() {
            let hosts =
                |urls: Vec<&UrlPattern>| urls.into_iter().map(|url| url.host.clone()).collect::<Vec<_>>();
            match judge(&settings.services, service, granted) {
                Judgement::Allow => acting.0.extend(hosts(service.urls.iter().collect())),
                Judgement::Anonymize => acting.0.extend(hosts(service.anonymous_urls())),
                Judgement::Hold | Judgement::Strip => held.0.extend(hosts(service.urls.iter().collect())),
            }
        }
        let used = settings.used();
        let policy = csp::policy(settings, granted);
        let choices_name = match reach {
            Reach::Site => csp::name(policy.as_ref()),
            // Workers and other pages know nothing of it.
            Reach::Page => "".into(),
        };
        let guard: Arc<str> =
            guard_script(settings, &used, granted, has_chosen, &choices_name, signal).into();
        Scope {
            identity: Identity::default(),
            policy,
            guard_source: source(&guard).into(),
            guard,
            list: (!granted.is_all())
                .then(|| format!("{}assets/{}", settings.look.own_path, guard::known_script_name()).into()),
            hiding: hiding(&settings.services, granted).into(),
            style_sources: [
                web::Look::link_style(),
                settings.look.banner_style(),
                web::Look::embed_style(),
                web::Look::note_style(),
            ]
            .map(|style| source(style).into()),
            acting,
            held,
            unknown: if waits(settings, granted) { Unknown::Waits } else { Unknown::Connects },
            signals: signals(settings, &used, granted),
            stubbed: COMMON.into_iter().map(Into::into).chain(used).collect(),
        }
    }

    /// Whether a hint may make the browser connect to `host`: that tells its owner of the visitor, and no policy
    /// stops it.
    pub fn may_connect(&self, host: &str) -> bool {
        self.acting.cover(host) || !self.held.cover(host) && self.unknown == Unknown::Connects
    }

    /// Whether the guard has stubs for the globals of a service that is held.
    pub fn has_stubs(&self, service: &Service) -> bool {
        self.stubbed.contains(&service.id)
    }

    /// What `page` with these inserts holds of ours, and its policies must let in.
    pub fn inserted<'a>(&'a self, inserts: &html::Inserts, page: &'a Address) -> Inserted<'a> {
        let script = Some(&*self.guard_source);
        let list = self.list.as_deref().map(|path| List { hash: guard::known_script_source(), path, page });
        let [link, banner, embed, note] = &self.style_sources;
        let note = match inserts {
            html::Inserts::Page { note: Some(_), .. } => Some(&**note),
            _ => None,
        };
        match inserts {
            html::Inserts::Nothing => Inserted::default(),
            html::Inserts::Page { banner: Banner::Shown, undecided: true, .. } => Inserted {
                script,
                list,
                styles: [Some(link), Some(banner), Some(embed), note],
                forms: Forms::ToItself,
            },
            html::Inserts::Page { banner: Banner::Shown | Banner::Off, .. } => Inserted {
                script,
                list,
                styles: [Some(link), None, Some(embed), note],
                forms: Forms::ToItself,
            },
            html::Inserts::Guard(_) | html::Inserts::Page { .. } => {
                Inserted { script, list, styles: [None, None, Some(embed), None], forms: Forms::ToItself }
            }
        }
    }

    fn weight(&self) -> usize {
        let hosts = self.acting.0.iter().chain(&self.held.0).map(|host| host.len() + 24).sum::<usize>();
        self.guard.len() + self.policy.as_ref().map_or(0, csp::Policy::weight) + hosts + 512
    }
}

impl Hosts {
    fn cover(&self, host: &str) -> bool {
        let below = std::iter::successors(Some(host), |name| name.split_once('.').map(|(_, rest)| rest));
        self.0.contains(host) || below.into_iter().any(|name| self.0.contains(&*format!("*.{name}")))
    }
}

fn hiding(services: &Set, granted: &Granted) -> String {
    let acts = |id: &&&str| {
        services.find(id).is_some_and(|service| judge(services, service, granted) == Judgement::Allow)
    };
    guard::HIDING.iter().filter(acts).copied().collect::<Vec<_>>().join(" ")
}

/// The hash of an inline element, as a source of a policy (CSP 3, section 2.3.1).
fn source(text: &str) -> String {
    format!("'{}'", web::integrity(text))
}

/// Whether the guard itself knows all of a service; of the others it learns a moment later.
fn is_likely(services: &Set, service: &Service) -> bool {
    COMMON.contains(&&*service.id) || services.names(service)
}

fn guard_script(
    settings: &Settings,
    used: &HashSet<Box<str>>,
    granted: &Granted,
    has_chosen: bool,
    choices_name: &str,
    signal: Signal,
) -> String {
    let judged: Vec<(&Service, Judgement)> = settings
        .services
        .iter()
        .map(|service| (service, judge(&settings.services, service, granted)))
        .collect();
    let likely = || judged.iter().filter(|(service, _)| is_likely(&settings.services, service));
    // Who acts without identifiers keeps none.
    let nameless = || likely().filter(|(_, judgement)| *judgement != Judgement::Allow).map(|(one, _)| *one);
    let cookies: Vec<String> = nameless()
        .flat_map(|service| &service.cookies)
        .filter(|cookie| !is_necessary(settings, &cookie.name))
        .map(|cookie| cookie.name.to_string())
        .collect();
    let storage: Vec<String> =
        nameless().flat_map(|service| &service.storage).map(NamePattern::to_string).collect();
    // What a page calls and loads before the guard has learned the rest: it weighs little.
    let of_page = || {
        let held = judged.iter().filter(|(_, judgement)| is_held(*judgement)).map(|(service, _)| *service);
        held.filter(|service| COMMON.contains(&&*service.id) || used.contains(&service.id))
    };
    let globals: BTreeSet<&str> = of_page().flat_map(guard::globals).collect();
    let told = told(settings, used, granted, &judged);
    guard::script(&guard::Facts {
        own_path: &settings.look.own_path,
        choices: has_chosen.then(|| {
            serde_json::json!({ "decided": true, "categories": guard::categories(granted), "services": granted.services().collect::<Vec<_>>() })
        }),
        choices_name,
        refused_cookies: cookies.iter().map(String::as_str).collect(),
        refused_storage: storage.iter().map(String::as_str).collect(),
        refused_addresses: guard::addresses(
            of_page().flat_map(|service| &service.urls),
            judged
                .iter()
                .filter(|(_, judgement)| !is_held(*judgement))
                .flat_map(|(service, _)| &service.urls),
        ),
        hints: if waits(settings, granted) { guard::Hints::Held } else { guard::Hints::Free },
        globals: globals.into_iter().collect(),
        signal,
        acting: (!granted.is_all()).then(|| acting(settings, &judged)),
        anonymize: told.iter().map(String::as_str).collect(),
    })
}

/// What the guard tells services before anything of theirs runs, each text once.
fn told(
    settings: &Settings,
    used: &HashSet<Box<str>>,
    granted: &Granted,
    judged: &[(&Service, Judgement)],
) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let by_guard = judged
        .iter()
        .filter(|(service, judgement)| *judgement == Judgement::Anonymize || used.contains(&service.id));
    for text in by_guard.flat_map(|(service, _)| prelude::of(&settings.services, service, granted)) {
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told
}

/// Who may act: of the catalogue the categories in which most do, and the services that do otherwise; beside it the
/// hosts of the site and of its own services.
fn acting<'a>(settings: &Settings, judged: &[(&'a Service, Judgement)]) -> guard::Acting<'a> {
    let mut all = guard::Acting::default();
    for category in Category::OPTIONAL {
        let of = || judged.iter().filter(move |(service, _)| service.category == category);
        let acts = 2 * of().filter(|(_, judgement)| !is_held(*judgement)).count() > of().count();
        if acts {
            all.categories.push(category);
        }
        let others = of().filter(|(_, judgement)| is_held(*judgement) == acts);
        all.exceptions.extend(others.map(|(service, _)| &*service.id));
    }
    let own = judged.iter().filter(|(service, judgement)| {
        !is_held(*judgement) && Catalogue::builtin().find(&service.id).is_none()
    });
    let own = own.flat_map(|(service, _)| &service.urls).map(|url| &url.host);
    all.hosts = guard::hosts(settings.hosts.iter().chain(own).map(|host| &**host));
    all
}

/// What is told in the page itself. Who agreed to everything gets the page as its author wrote it: what services
/// assume when they are told nothing is the same, and from the next page on the guard tells them.
fn signals(settings: &Settings, used: &HashSet<Box<str>>, granted: &Granted) -> HashMap<Box<str>, Box<str>> {
    if granted.is_all() {
        return HashMap::new();
    }
    let services = &settings.services;
    let own = services.iter().filter(|service| {
        judge(services, service, granted) == Judgement::Allow && !used.contains(&service.id)
    });
    let told =
        own.map(|service| (service.id.clone(), prelude::of(services, service, granted).concat().into()));
    told.filter(|(_, text): &(_, Box<str>)| !text.is_empty()).collect()
}

/// Whether third parties that nobody knows wait for agreement to all.
fn waits(settings: &Settings, granted: &Granted) -> bool {
    settings.unknown_third_parties != UnknownThirdParties::Allow && !granted.is_all()
}

fn is_held(judgement: Judgement) -> bool {
    matches!(judgement, Judgement::Hold | Judgement::Strip)
}

/// Whether the site needs every cookie that `pattern` covers.
fn is_necessary(settings: &Settings, pattern: &NamePattern) -> bool {
    let needed = &settings.cookies.necessary;
    needed.iter().any(|need| need.covers(&pattern.start) && (pattern.whole || !need.whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{service, set, settings};
    use crate::services::Rule;

    #[test]
    fn a_hint_connects_only_to_hosts_that_may_act() {
        let services = vec![
            service("acme", Category::Marketing, &["*.acme.example/pixel"], &[]),
            service("cdn", Category::Necessary, &["cdn.example.net/"], &[]),
        ];
        let mut site = settings(set(services, &[]));
        site.hosts = vec!["www.example.se".into(), "*.example.se".into()];
        for (host, block_active, allow, all) in [
            ("www.example.se", true, true, true),
            ("img.example.se", true, true, true),
            ("cdn.example.net", true, true, true),
            ("acme.example", false, false, true),
            ("a.b.acme.example", false, false, true),
            ("elsewhere.example", false, true, true),
        ] {
            site.unknown_third_parties = UnknownThirdParties::BlockActive;
            let undecided = Scope::new(&site, &Granted::default(), false, Reach::Site, Signal::Ignored);
            assert_eq!(undecided.may_connect(host), block_active, "{host}");
            assert_eq!(
                Scope::new(&site, &Granted::all(), true, Reach::Site, Signal::Ignored).may_connect(host),
                all,
                "{host}"
            );
            site.unknown_third_parties = UnknownThirdParties::Allow;
            assert_eq!(
                Scope::new(&site, &Granted::default(), false, Reach::Site, Signal::Ignored).may_connect(host),
                allow,
                "{host}"
            );
        }
    }

    #[test]
    fn the_guard_of_a_typical_page_weighs_at_most_three_kilobytes_packed() {
        use std::io::Write;
        let rules = [("youtube", Rule::CONSENT), ("google-maps", Rule::CONSENT)];
        let scope = Scope::new(
            &settings(set(Vec::new(), &rules)),
            &Granted::default(),
            false,
            Reach::Site,
            Signal::Ignored,
        );
        // What the site's own scripts may ask stands behind it.
        let (guard, _) = scope.guard.split_once(");(function(").unwrap();
        assert!(guard.contains("_ga_*") && guard.contains("fbq"));
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        packer.write_all(guard.as_bytes()).unwrap();
        let size = packer.finish().unwrap().len();

        assert!(size <= 3 * 1024, "{size}");
    }

    #[test]
    fn every_common_service_is_one_of_the_catalogue() {
        for id in COMMON {
            assert!(Catalogue::builtin().find(id).is_some(), "{id}");
        }
    }

    #[test]
    fn most_services_follow_their_category() {
        let site = settings(set(Vec::new(), &[("hotjar", Rule::ALLOW), ("addthis", Rule::STRIP)]));
        let of = |granted: Granted| {
            let services = site.services.iter();
            let judged: Vec<_> = services.map(|one| (one, judge(&site.services, one, &granted))).collect();
            let acting = acting(&site, &judged);
            (acting.categories, acting.exceptions.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let (categories, exceptions) = of(Granted::default());
        assert!(categories.is_empty() && exceptions.contains(&"hotjar".to_owned()), "{exceptions:?}");
        assert!(exceptions.len() < 20, "{exceptions:?}");
        let marketing =
            Granted::new(crate::consent::Categories::NONE.with(Category::Marketing), Default::default());
        let (categories, exceptions) = of(marketing);
        assert_eq!(categories, [Category::Marketing]);
        assert!(exceptions.contains(&"hotjar".to_owned()) && exceptions.contains(&"addthis".to_owned()));
    }

    #[test]
    fn a_hash_is_written_as_the_browser_writes_it() {
        // printf "alert('Hello, world.');" | openssl dgst -sha256 -binary | base64, as in CSP 3.
        assert_eq!(
            source("alert('Hello, world.');"),
            "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
        );
    }
}
