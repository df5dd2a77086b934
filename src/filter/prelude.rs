//! What a service is told before anything of its own runs: what the visitor chose, and how to run without identifiers.
//! Pure.

use super::judge::{Judgement, judge};
use crate::consent::{Category, Granted};
use crate::services::{Service, Set};

/// The scripts to run before a service's own, for visitors who granted this; the later ones win.
pub(super) fn of(services: &Set, service: &Service, granted: &Granted) -> Vec<String> {
    match judge(services, service, granted) {
        Judgement::Anonymize => {
            let script = service.anonymize.as_ref().and_then(|means| means.script.as_deref());
            let calls = service.calls.refused.as_deref();
            calls.into_iter().chain(script).map(|text| filled(text, services, granted)).collect()
        }
        Judgement::Allow if asks(services, service) => {
            service.calls.granted.iter().map(|text| filled(text, services, granted)).collect()
        }
        // What a site lets run whatever visitors say runs as its author wrote it.
        Judgement::Allow | Judgement::Hold | Judgement::Strip => Vec::new(),
    }
}

/// Whether what a service may do depends on the visitor.
fn asks(services: &Set, service: &Service) -> bool {
    let rule = services.rule(service);
    rule.with_consent != rule.without_consent
}

/// A template with `granted` or `denied` in place of each category and each service in braces.
fn filled(template: &str, services: &Set, granted: &Granted) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("'{") {
        text.push_str(before);
        text.push('\'');
        let word =
            after.split_once("}'").and_then(|(word, after)| Some((answer(word, services, granted)?, after)));
        match word {
            Some((answer, after)) => {
                text.push_str(answer);
                text.push('\'');
                rest = after;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text + rest
}

fn answer(word: &str, services: &Set, granted: &Granted) -> Option<&'static str> {
    let may = match word.parse::<Category>() {
        Ok(category) => granted.categories().covers(category),
        Err(_) => judge(services, services.find(word)?, granted) == Judgement::Allow,
    };
    Some(if may { "granted" } else { "denied" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::Categories;
    use crate::filter::tests::set;
    use crate::services::Rule;

    fn granted(categories: &[Category]) -> Granted {
        Granted::new(categories.iter().fold(Categories::NONE, |all, one| all.with(*one)), Default::default())
    }

    fn told(id: &str, rules: &[(&str, Rule)], categories: &[Category]) -> String {
        let services = set(Vec::new(), rules);
        of(&services, services.find(id).unwrap(), &granted(categories)).concat()
    }

    #[test]
    fn consent_mode_says_exactly_what_was_chosen() {
        use Category::{Marketing, Statistics};
        for (rules, categories, ads, analytics) in [
            (&[][..], &[Statistics][..], "denied", "granted"),
            (&[], &[Statistics, Marketing], "granted", "granted"),
            (&[("google-analytics", Rule::ANONYMIZE)], &[], "denied", "denied"),
            (&[("google-analytics", Rule::ANONYMIZE)], &[Statistics], "denied", "denied"),
            (&[("google-analytics", Rule::ANONYMIZE)], &[Marketing], "granted", "denied"),
            (&[("google-ads", Rule::STRIP)], &[Statistics, Marketing], "denied", "granted"),
        ] {
            let told = told("google-analytics", rules, categories);
            for kind in ["ad_storage", "ad_user_data", "ad_personalization"] {
                assert!(told.contains(&format!("{kind}:'{ads}'")), "{kind} {categories:?}: {told}");
            }
            assert!(told.contains(&format!("analytics_storage:'{analytics}'")), "{categories:?}: {told}");
            assert!(!told.contains("'{"), "{told}");
        }
    }

    #[test]
    fn what_is_held_or_always_allowed_is_told_nothing() {
        assert_eq!(told("google-analytics", &[], &[]), "");
        assert_eq!(told("google-analytics", &[("google-analytics", Rule::ALLOW)], &[]), "");
        assert_eq!(
            told("google-analytics", &[("google-analytics", Rule::STRIP)], &[Category::Statistics]),
            ""
        );
    }

    #[test]
    fn microsoft_is_told_too() {
        let clarity = told("clarity", &[], &[Category::Statistics]);
        assert!(clarity.contains("ad_Storage:'denied',analytics_Storage:'granted'"), "{clarity}");
        let uet = told("microsoft-uet", &[], &[Category::Marketing]);
        assert!(uet.contains("ad_storage:'granted'"), "{uet}");
        let uet = told("microsoft-uet", &[("microsoft-uet", Rule::ANONYMIZE)], &[Category::Marketing]);
        assert!(uet.contains("ad_storage:'denied'"), "{uet}");
    }

    #[test]
    fn a_word_that_is_no_service_stays() {
        let services = set(Vec::new(), &[]);
        for text in ["a('{nobody}')", "x={'{':1}", "'{", ""] {
            assert_eq!(filled(text, &services, &Granted::default()), text);
        }
    }
}
