//! A catalogue of services; the built-in one is read once from the files in `catalogue/`.

use std::sync::LazyLock;

use super::matcher::Matcher;
use super::{Service, written};

/// Services, and the matchers that find them in time that does not grow with their number.
#[derive(Debug)]
pub struct Catalogue {
    services: Vec<Service>,
    matcher: Matcher,
}

static BUILTIN: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(written::builtin().expect("a test reads the built-in catalogue")));

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

    /// Whether this path and query, as an address writes them, may belong to a service whatever the host.
    pub fn knows_place(&self, path: &str, query: &str) -> bool {
        self.matcher.knows_place(path, query)
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

#[cfg(test)]
mod tests {
    use super::*;

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
