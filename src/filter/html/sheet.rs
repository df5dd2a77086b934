//! What a style sheet of the site loads of services.

use url::Url;

use super::{address, css};
use crate::consent::Granted;
use crate::filter::Settings;
use crate::filter::judge::{Judgement, judge};

/// What becomes of a style sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sheet {
    /// It loads nothing that depends on what a visitor agreed to.
    ForEverybody,
    /// All of it may be loaded by this visitor.
    AsItIs,
    /// Some of it may not: the rules without that.
    Without(String),
}

/// Judges the rules of the sheet at `url`, read letter by byte.
pub fn style_sheet(settings: &Settings, granted: &Granted, url: &Url, rules: &str) -> Sheet {
    if css::is_harmless(rules.as_bytes()) {
        return Sheet::ForEverybody;
    }
    let services = &settings.services;
    let (mut places, mut is_for_everybody) = (Vec::new(), true);
    for (place, address) in css::addresses(rules) {
        let found =
            address::candidates(&address, std::iter::once(url)).filter_map(|url| services.identify_url(&url));
        let mut is_held = false;
        for service in found {
            settings.observed.saw_service(&service.id);
            let held = matches!(judge(services, service, granted), Judgement::Hold | Judgement::Strip);
            is_held |= held;
            is_for_everybody &= !held && !services.is_optional(service);
        }
        if is_held {
            places.push(place);
        }
    }
    match (is_for_everybody, places.is_empty()) {
        (true, _) => Sheet::ForEverybody,
        (false, true) => Sheet::AsItIs,
        (false, false) => Sheet::Without(css::without(rules, &places, "/* held */")),
    }
}
