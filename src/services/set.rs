//! The services of one site: the catalogue, the site's own, and the site's treatments of both.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Catalogue, Rule, Service, Treatment};
use crate::consent::Category;

/// What one site knows of services, and how it treats them. Cheap to keep for thousands of sites: the
/// catalogue is shared, and a site without own services or treatments holds nothing but this struct.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// What stands in place of the catalogue that comes with the program.
    base: Option<Arc<Catalogue>>,
    own: Option<Arc<Catalogue>>,
    categories: HashMap<Category, Rule>,
    services: HashMap<Box<str>, Rule>,
}

impl Set {
    /// A site's own services, and its treatments of categories and of single services (by id), which win.
    pub fn new(
        own: Vec<Service>,
        categories: HashMap<Category, Rule>,
        services: HashMap<Box<str>, Rule>,
    ) -> Self {
        let own = (!own.is_empty()).then(|| Arc::new(Catalogue::new(own)));
        Set { own, categories, services, base: None }
    }

    /// The same set over another catalogue than the one that comes with the program, so that benchmarks can tell
    /// what that one costs.
    #[doc(hidden)]
    #[must_use]
    pub fn over(self, base: Catalogue) -> Self {
        Set { base: Some(Arc::new(base)), ..self }
    }

    fn base(&self) -> &Catalogue {
        self.base.as_deref().unwrap_or_else(|| Catalogue::builtin())
    }

    /// The service that an absolute address belongs to; the site's own services win.
    pub fn identify_url(&self, url: &url::Url) -> Option<&Service> {
        self.own.as_deref().and_then(|own| own.identify_url(url)).or_else(|| self.base().identify_url(url))
    }

    /// Whether an address of this host may belong to a service, whatever its path: a first look, cheaper than
    /// [`Set::identify_url`].
    pub fn knows_host(&self, host: &str) -> bool {
        self.own.as_deref().is_some_and(|own| own.knows_host(host)) || self.base().knows_host(host)
    }

    /// Whether this path and query, as an address writes them, may belong to a service whatever the host.
    pub fn knows_place(&self, path: &str, query: &str) -> bool {
        self.own.as_deref().is_some_and(|own| own.knows_place(path, query))
            || self.base().knows_place(path, query)
    }

    /// The services whose text stands in an inline script, each once, the site's own first.
    pub fn identify_script(&self, text: &[u8]) -> Vec<&Service> {
        let mut found = self.own.as_deref().map(|own| own.identify_script(text)).unwrap_or_default();
        found.extend(self.base().identify_script(text));
        found
    }

    /// The service that sets a cookie of this name; the site's own services win.
    pub fn identify_cookie(&self, name: &str) -> Option<&Service> {
        self.own
            .as_deref()
            .and_then(|own| own.identify_cookie(name))
            .or_else(|| self.base().identify_cookie(name))
    }

    /// The service that fills elements of this class; the site's own services win.
    pub fn identify_class(&self, word: &str) -> Option<&Service> {
        let own = self.own.as_deref().and_then(|own| own.identify_class(word));
        own.or_else(|| self.base().identify_class(word))
    }

    /// The service that fills the element of this `id`; the site's own services win.
    pub fn identify_element(&self, id: &str) -> Option<&Service> {
        let own = self.own.as_deref().and_then(|own| own.identify_element(id));
        own.or_else(|| self.base().identify_element(id))
    }

    /// The service of this id.
    pub fn find(&self, id: &str) -> Option<&Service> {
        self.own.as_deref().and_then(|own| own.find(id)).or_else(|| self.base().find(id))
    }

    /// All services, the site's own first.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.own.iter().flat_map(|own| own.iter()).chain(self.base().iter())
    }

    /// How the site treats a service: the service's own line, else its category's, else the catalogue's.
    pub fn rule(&self, service: &Service) -> Rule {
        self.services
            .get(&service.id)
            .or_else(|| self.categories.get(&service.category))
            .copied()
            .unwrap_or(service.default)
    }

    /// Whether this site names a service in its YAML.
    pub fn names(&self, service: &Service) -> bool {
        self.services.contains_key(&service.id)
            || self.own.as_deref().is_some_and(|own| own.find(&service.id).is_some())
    }

    /// The services for which agreeing changes something on this site: those that it names, then those that `seen`
    /// names, such as those that its traffic showed. Each stands there once.
    pub fn optional<'s>(&self, seen: impl Iterator<Item = &'s str>) -> Vec<&Service> {
        let mut found = Vec::<&Service>::new();
        for service in self.named().chain(seen.filter_map(|id| self.find(id))) {
            if self.is_optional(service) && !found.iter().any(|known| known.id == service.id) {
                found.push(service);
            }
        }
        found
    }

    /// Whether agreeing changes what a service may do.
    pub fn is_optional(&self, service: &Service) -> bool {
        let rule = self.rule(service);
        service.category != Category::Necessary
            && rule.with_consent != rule.without_consent
            && rule.with_consent != Treatment::Block
    }

    /// The services that this site names in its YAML: its own, and those with a treatment of their own.
    pub fn named(&self) -> impl Iterator<Item = &Service> {
        self.iter().filter(|service| self.names(service))
    }
}
