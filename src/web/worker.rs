//! What stands first in every service worker of a site: it stays beyond the choices under which it was installed.

use std::sync::LazyLock;

use serde_json::json;

use super::{guard, pack};

static WORKER: LazyLock<String> = LazyLock::new(|| pack::pack(include_str!("worker.js")));

/// What a service worker must know.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The policy that its script comes with; empty where there is none.
    pub policy: &'a str,
    /// What tells these facts from those for other choices.
    pub choices: &'a str,
    /// Where the proxy's own pages live.
    pub own_path: &'a str,
}

/// The beginning of a service worker: ASCII, whole statements, and not strict by itself.
pub fn beginning(facts: Facts<'_>) -> String {
    let facts = json!({ "p": facts.policy, "d": facts.choices, "o": facts.own_path });
    guard::with_facts(WORKER.trim_end(), &facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_ascii_and_ends_its_last_statement() {
        let facts =
            Facts { policy: "default-src 'self' å.example:*", choices: "0123", own_path: "/_consent/" };
        let text = beginning(facts);
        assert!(text.is_ascii() && text.ends_with("});"), "{text}");
        assert!(text.contains(r#""d":"0123""#) && text.contains(r#""o":"/_consent/""#));
    }
}
