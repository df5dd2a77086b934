//! Services that may act: their first script is told what the visitor chose, and where they run without identifiers,
//! their addresses and elements change.

use lol_html::html_content::ContentType;

use super::elements::{Element, set};
use super::places::Holds;
use super::{Inserts, State, address, references, scripts};
use crate::filter::judge::{Judgement, judge};
use crate::services::{Service, Set};
use crate::web::guard;

/// What becomes of the address of a service that runs without identifiers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'s> {
    /// It stays as it is.
    Nothing,
    /// It becomes this, as an attribute's value.
    To(String),
    /// Nothing is known that would make this service anonymous there.
    Hold(&'s Service),
}

/// What is to be done with a value that leads to nothing which may not act.
pub(super) fn change<'s>(state: &State, services: &'s Set, value: &str, holds: Holds) -> Change<'s> {
    match holds {
        Holds::Address | Holds::Document | Holds::Lazy => one(state, services, value),
        Holds::List | Holds::Words => {
            let decoded = references::decode(value);
            let changes = address::of_list(&decoded).map(|address| one(state, services, address));
            let held = changes.filter_map(|change| match change {
                Change::Hold(service) => Some(service),
                Change::Nothing | Change::To(_) => None,
            });
            held.map(Change::Hold).next().unwrap_or(Change::Nothing)
        }
        Holds::Refresh | Holds::Style | Holds::Mark(_) | Holds::Code => Change::Nothing,
    }
}

fn one<'s>(state: &State, services: &'s Set, value: &str) -> Change<'s> {
    let Some((service, url)) = address::identified(state, services, value).next() else {
        return Change::Nothing;
    };
    let Some(means) = service.anonymize.as_ref().filter(|means| !means.urls.is_empty()) else {
        return Change::Nothing;
    };
    if judge(services, service, &state.page.granted) != Judgement::Anonymize {
        return Change::Nothing;
    }
    match means.urls.iter().find_map(|change| change.apply(&url)) {
        Some(changed) if changed == url => Change::Nothing,
        Some(changed) => Change::To(references::encode_markup(changed.as_str())),
        None if means.script.is_some() => Change::Nothing,
        None => Change::Hold(service),
    }
}

/// Marks the script element of a service as its provider documents it, and puts before it what it is to be told.
pub(super) fn script(state: &mut State, element: &mut Element<'_, '_>) {
    let Some(value) = element.get_attribute("src") else { return };
    let settings = std::sync::Arc::clone(&state.settings);
    let Some((service, _)) = address::identified(state, &settings.services, &value).next() else { return };
    if judge(&settings.services, service, &state.page.granted) == Judgement::Anonymize {
        for (name, value) in service.anonymize.iter().flat_map(|means| &means.attributes) {
            set(element, name, value);
        }
    }
    if let Some(text) = untold(state, service) {
        let tag = scripts::own("signals", &text, &state.page);
        element.before(&tag, ContentType::Html);
    }
}

/// What the services of an inline script that runs are to be told before it.
pub(super) fn told(state: &mut State, code: &str) -> String {
    if state.page.scope.signals.is_empty() {
        return String::new();
    }
    let settings = std::sync::Arc::clone(&state.settings);
    let services = settings.services.identify_script(code.as_bytes());
    services.into_iter().filter_map(|service| untold(state, service)).collect()
}

/// What a service has not been told on this page yet.
fn untold(state: &mut State, service: &Service) -> Option<String> {
    // A fragment comes into a page that has been told.
    if matches!(state.page.inserts, Inserts::Nothing) {
        return None;
    }
    let signal = state.page.scope.signals.get(&service.id)?.clone();
    if state.told.contains(&signal) {
        return None;
    }
    state.told.push(signal.clone());
    Some(guard::apart(&signal))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::consent::{Categories, Category, Granted};
    use crate::filter::html::{Inserts, Page, Rewriter, Syntax};
    use crate::filter::scope::Scope;
    use crate::filter::tests::{set, settings};
    use crate::services::Rule;

    fn rewritten(html: &str, rules: &[(&str, Rule)], categories: &[Category]) -> String {
        let settings = Arc::new(settings(set(Vec::new(), rules)));
        let categories = categories.iter().fold(Categories::NONE, |all, one| all.with(*one));
        let granted = Granted::new(categories, Default::default());
        let page = Page {
            url: "https://www.example.se/a".parse().unwrap(),
            scope: Scope::of_granted(&settings, &granted),
            granted,
            syntax: Syntax::Html,
            inserts: Inserts::Guard("g()".into()),
            embeds: None,
            nonce: Some("n1".into()),
        };
        let mut rewriter = Rewriter::new(&settings, page);
        let mut out = Vec::new();
        rewriter.write(html.as_bytes(), &mut out).unwrap();
        rewriter.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_of_anonymized_services_ask_for_privacy() {
        let rules = [("youtube", Rule::ANONYMIZE), ("vimeo", Rule::ANONYMIZE)];
        for (html, expected) in [
            (
                "<iframe src=\"//www.youtube.com/embed/x?a=1&amp;b=2\"></iframe>",
                "https://www.youtube-nocookie.com/embed/x?a=1&amp;b=2",
            ),
            (
                "<iframe data-src='https://youtube.com/embed/x'></iframe>",
                "https://www.youtube-nocookie.com/embed/x",
            ),
            (
                "<iframe src=https://player.vimeo.com/video/7></iframe>",
                "https://player.vimeo.com/video/7?dnt=1",
            ),
        ] {
            let page = rewritten(html, &rules, &[]);
            assert!(page.contains(&format!("=\"{expected}\"")), "{page}");
            assert!(!page.contains("data-consentry-src"), "{page}");
        }
        let untouched = "<iframe src=https://www.youtube-nocookie.com/embed/x></iframe>";
        assert!(rewritten(untouched, &rules, &[]).contains(untouched));
    }

    // COMPLIANCE C29: measured without consent, Matomo keeps no cookie, and nothing else runs under the exemption.
    #[test]
    fn c29_who_measures_without_consent_is_told_to_keep_no_cookie_before_it_runs() {
        let html = "<script>_paq.push(['trackPageView']);(function(){var g=document.createElement('script');\
                    g.src='/piwik/matomo.js';document.head.appendChild(g)})()</script>";
        let services = Arc::new(settings(set(Vec::new(), &[("matomo", Rule::ANONYMIZE)])));
        let guard = Scope::of_granted(&services, &Granted::default()).guard.to_string();
        let (told, _) = guard.split_once("document").unwrap();
        assert!(told.contains("disableCookies"), "{told}");
        assert!(guard.contains("_pk_id"), "and none is written by another of its scripts");
        let page = rewritten(html, &[("matomo", Rule::ANONYMIZE)], &[]);
        assert!(page.contains("_paq.push(['trackPageView'])") && !page.contains("text/plain"), "{page}");
    }

    #[test]
    fn what_cannot_be_made_anonymous_is_held() {
        let html = "<script src=https://www.youtube.com/iframe_api></script>";
        let page = rewritten(html, &[("youtube", Rule::ANONYMIZE)], &[]);
        assert!(
            page.contains("text/plain") && !page.contains(" src=\"https") && !page.contains(" src=https"),
            "{page}"
        );
    }

    #[test]
    fn a_provider_s_attribute_is_set_on_its_script() {
        let html = "<script src=https://code.etracker.com/code/e.js data-block-cookies=false></script>";
        let page = rewritten(html, &[("etracker", Rule::ANONYMIZE)], &[]);
        assert!(page.contains("data-block-cookies=\"true\"") && !page.contains("=false"), "{page}");
    }

    #[test]
    fn a_service_is_told_once_and_before_its_first_script() {
        let src = "<script async src=https://www.googletagmanager.com/gtag/js?id=G-1></script>";
        let inline = "<script>gtag('config','G-1')</script>";
        for html in [format!("{src}{inline}{src}"), format!("{inline}{src}")] {
            let page = rewritten(&html, &[], &[Category::Statistics]);
            let (told, vendor) = (page.find("'consent','default'").unwrap(), page.find("G-1").unwrap());
            assert!(told < vendor, "{page}");
            assert_eq!(page.matches("'consent','default'").count(), 1, "{page}");
            assert!(
                page.contains("analytics_storage:'granted'") && page.contains("ad_storage:'denied'"),
                "{page}"
            );
        }
        let page = rewritten(src, &[], &[Category::Statistics]);
        assert!(page.contains("<script data-consentry=\"signals\" nonce=\"n1\">"), "{page}");
    }

    #[test]
    fn who_has_none_of_these_services_gets_a_page_as_it_was() {
        let html = "<script src=/own.js></script><script>own()</script>";
        let page = rewritten(html, &[], &[Category::Statistics, Category::Marketing, Category::Preferences]);
        assert!(page.ends_with(html), "{page}");
    }

    #[test]
    fn a_service_that_the_site_names_is_told_by_the_guard() {
        let rules = [("google-analytics", Rule::CONSENT)];
        let html = "<script src=https://www.googletagmanager.com/gtag/js?id=G-1></script>";
        assert!(rewritten(html, &rules, &[Category::Statistics]).ends_with(html));
        let settings = settings(set(Vec::new(), &rules));
        let granted = Granted::new(Categories::NONE.with(Category::Statistics), Default::default());
        let guard = &Scope::of_granted(&settings, &granted).guard;
        assert!(
            guard.contains("analytics_storage:'granted'")
                && guard.matches("'consent','default'").count() == 1
        );
    }
}
