//! The one question of all filters: may this act for this visitor? Cookies, CSP and markup all ask here.

use crate::consent::Granted;
use crate::services::{Service, Set, Treatment};

/// What is to be done with a service for one visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It runs as its author wrote it.
    Allow,
    /// It runs without identifiers.
    Anonymize,
    /// It waits for the visitor's agreement.
    Hold,
    /// It is taken out: nobody can agree to it.
    Strip,
}

/// Judges a service by the site's rule and what the visitor granted.
pub fn judge(services: &Set, service: &Service, granted: &Granted) -> Judgement {
    let rule = services.rule(service);
    let treatment =
        if granted.covers(&service.id, service.category) { rule.with_consent } else { rule.without_consent };
    match treatment {
        Treatment::Allow => Judgement::Allow,
        // What cannot be made anonymous does not run under a promise of anonymity.
        Treatment::Anonymize if service.anonymize.is_some() => Judgement::Anonymize,
        Treatment::Block | Treatment::Anonymize if rule.with_consent == Treatment::Block => Judgement::Strip,
        Treatment::Block | Treatment::Anonymize => Judgement::Hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::Category;

    // COMPLIANCE C27, C35: no setting stands for an interest of the operator's own, and nothing acts by default.
    #[test]
    fn c27_c35_nothing_optional_acts_before_consent_whatever_it_is_for() {
        let services = Set::default();
        for service in services.iter().filter(|service| service.category != Category::Necessary) {
            let judged = judge(&services, service, &Granted::default());
            assert!(matches!(judged, Judgement::Hold | Judgement::Strip), "{}: {judged:?}", service.id);
        }
        for fonts in ["google-fonts", "adobe-fonts", "fonts-com"] {
            let service = services.find(fonts).unwrap();
            assert_eq!(judge(&services, service, &Granted::default()), Judgement::Hold, "{fonts}");
        }
    }
}
