//! The catalogue: what an address, an inline script or a cookie belongs to, and how a site treats it.
//!
//! Pure. The built-in catalogue is data (`catalogue.yaml`), read once for the process; a site adds its own
//! services and its treatments in a [`Set`].

mod catalogue;
mod change;
mod matcher;
mod service;
mod set;
mod written;

#[cfg(test)]
mod tests;

pub use catalogue::Catalogue;
pub use change::UrlChange;
pub use service::{
    Anonymize, Calls, CookieInfo, Embed, EmbedKind, Mark, NamePattern, Role, Rule, Service, Texts, Treatment,
    UrlPattern, catalogue_text,
};
pub use set::Set;
pub use written::is_lifetime;
