//! A catalogue of services; the built-in one is read once from `catalogue.yaml`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::matcher::Matcher;
use super::{Anonymize, CookieInfo, Embed, EmbedKind, NamePattern, Rule, Service, Texts, UrlPattern};
use crate::consent::Category;

/// Services, and the matchers that find them in time that does not grow with their number.
#[derive(Debug)]
pub struct Catalogue {
    services: Vec<Service>,
    matcher: Matcher,
}

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    let raw: Vec<RawService> =
        serde_yaml::from_str(include_str!("catalogue.yaml")).expect("a test reads the built-in catalogue");
    Catalogue::new(raw.into_iter().map(Service::from).collect())
});

impl Catalogue {
    /// The catalogue that comes with the program.
    pub fn builtin() -> &'static Catalogue {
        &BUILTIN
    }

    /// A catalogue of `services`; where two claim the same, the more exact pattern wins, then the first.
    pub fn new(services: Vec<Service>) -> Self {
        let matcher = Matcher::new(&services);
        Catalogue { services, matcher }
    }

    /// The service that an absolute address belongs to.
    pub fn identify_url(&self, url: &url::Url) -> Option<&Service> {
        self.services.get(self.matcher.url(url)?)
    }

    /// Whether an address of this host may belong to a service, whatever its path.
    pub fn knows_host(&self, host: &str) -> bool {
        self.matcher.knows_host(host)
    }

    /// Whether a file of this name may belong to a service, whatever its host.
    pub fn knows_file(&self, file: &str) -> bool {
        self.matcher.knows_file(file)
    }

    /// The services whose text stands in an inline script, each once.
    pub fn identify_script(&self, text: &[u8]) -> Vec<&Service> {
        self.matcher.script(text).into_iter().filter_map(|index| self.services.get(index)).collect()
    }

    /// The service that sets a cookie of this name.
    pub fn identify_cookie(&self, name: &str) -> Option<&Service> {
        self.services.get(self.matcher.cookie(name)?)
    }

    /// The service that fills elements of this class.
    pub fn identify_class(&self, word: &str) -> Option<&Service> {
        self.matcher.class(word).and_then(|index| self.services.get(index))
    }

    /// The service that fills the element of this `id`.
    pub fn identify_element(&self, id: &str) -> Option<&Service> {
        self.matcher.element(id).and_then(|index| self.services.get(index))
    }

    /// The service of this id.
    pub fn find(&self, id: &str) -> Option<&Service> {
        self.services.get(self.matcher.id(id)?)
    }

    /// All services, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.services.iter()
    }
}

/// A service as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    id: Box<str>,
    name: Box<str>,
    provider: Box<str>,
    country: Box<str>,
    category: Category,
    purpose: RawTexts,
    urls: Vec<String>,
    #[serde(default)]
    inline: Vec<Box<str>>,
    #[serde(default)]
    cookies: Vec<RawCookie>,
    #[serde(default)]
    globals: Vec<Box<str>>,
    #[serde(default)]
    anonymize: Option<Box<str>>,
    #[serde(default)]
    embed: Option<EmbedKind>,
    #[serde(default)]
    dead_since: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTexts {
    en: Box<str>,
    sv: Box<str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCookie {
    name: String,
    lifetime: Box<str>,
    en: Box<str>,
    sv: Box<str>,
}

impl From<RawService> for Service {
    fn from(raw: RawService) -> Self {
        let default = match (raw.category, &raw.dead_since) {
            (_, Some(_)) => Rule::STRIP,
            (Category::Necessary, None) => Rule::ALLOW,
            (_, None) => Rule::CONSENT,
        };
        let cookie = |raw: RawCookie| {
            let name = NamePattern::parse(&raw.name)?;
            Some(CookieInfo { name, lifetime: raw.lifetime, purpose: Texts { en: raw.en, sv: raw.sv } })
        };
        Service {
            id: raw.id,
            name: raw.name,
            provider: raw.provider,
            country: raw.country,
            category: raw.category,
            purpose: Texts { en: raw.purpose.en, sv: raw.purpose.sv },
            urls: raw.urls.iter().filter_map(|text| UrlPattern::parse(text)).collect(),
            inline: raw.inline,
            cookies: raw.cookies.into_iter().filter_map(cookie).collect(),
            default,
            anonymize: raw.anonymize.map(|script| Anonymize { script: Some(script), urls: Vec::new() }),
            embed: raw.embed.map(|kind| Embed { kind, marks: Vec::new() }),
            globals: raw.globals,
            dead_since: raw.dead_since,
            ..Service::new("", raw.category)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_entry_of_the_built_in_catalogue_is_whole() {
        let raw: Vec<RawService> = serde_yaml::from_str(include_str!("catalogue.yaml")).unwrap();
        let written: Vec<_> = raw.iter().map(|raw| (raw.urls.len(), raw.cookies.len())).collect();
        let mut ids = HashSet::new();
        for (service, (urls, cookies)) in raw.into_iter().map(Service::from).zip(written) {
            assert!(ids.insert(service.id.clone()), "{} twice", service.id);
            assert_eq!((service.urls.len(), service.cookies.len()), (urls, cookies), "{}", service.id);
            for text in [&service.name, &service.provider, &service.purpose.en, &service.purpose.sv] {
                assert!(!text.trim().is_empty(), "{}", service.id);
            }
            assert!(service.inline.iter().all(|text| text.is_ascii() && text.len() > 3), "{}", service.id);
        }
    }

    fn id(url: &str) -> Option<&'static str> {
        Catalogue::builtin().identify_url(&url.parse().unwrap()).map(|service| &*service.id)
    }

    #[test]
    fn addresses_belong_to_the_most_exact_pattern() {
        for (url, expected) in [
            ("https://www.google-analytics.com/ga.js", Some("google-analytics")),
            ("http://ssl.google-analytics.com/u/ga.js", Some("google-analytics")),
            ("https://www.googletagmanager.com/gtag/js?id=G-1", Some("google-analytics")),
            ("https://www.googletagmanager.com/gtm.js?id=GTM-1", Some("google-tag-manager")),
            ("https://www.googletagmanager.com/ns.html?id=GTM-1", Some("google-tag-manager")),
            ("https://stats.g.doubleclick.net/dc.js", Some("google-analytics")),
            ("https://ad.doubleclick.net/x", Some("google-ads")),
            ("https://www.example.se/js/ga.js", Some("google-analytics")),
            ("https://www.example.se/stat/matomo.php?rec=1", Some("matomo")),
            ("https://www.facebook.com/tr?id=1", Some("meta-pixel")),
            ("https://www.facebook.com/consentry", None),
            ("https://evilgoogle-analytics.com/ga.jsx", None),
            ("https://cdn.jsdelivr.net/npm/x", Some("jsdelivr")),
            ("https://www.google.com/recaptcha/api.js", Some("recaptcha")),
            ("https://www.example.se/saga.js", None),
        ] {
            assert_eq!(id(url), expected, "{url}");
        }
    }

    #[test]
    fn scripts_and_cookies_are_known_by_their_text_and_name() {
        let found = |text: &str| -> Vec<&str> {
            Catalogue::builtin().identify_script(text.as_bytes()).iter().map(|service| &*service.id).collect()
        };
        assert_eq!(found("var _gaq=[];_gaq.push(['_setAccount','UA-1']);"), ["google-analytics"]);
        assert_eq!(
            found("fbq('init','1');fbq('track','PageView');_gaq.push(1)"),
            ["google-analytics", "meta-pixel"]
        );
        assert!(found("console.log('hej')").is_empty());
        let cookie = |name| Catalogue::builtin().identify_cookie(name).map(|service| &*service.id);
        assert_eq!(cookie("_ga"), Some("google-analytics"));
        assert_eq!(cookie("_ga_ABC"), Some("google-analytics"));
        assert_eq!(cookie("_gall"), None);
        assert_eq!(cookie("_pk_id.1.ab"), Some("matomo"));
        assert_eq!(cookie("PHPSESSID"), None);
    }
}
