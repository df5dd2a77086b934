//! The guard: a small inline script, first in the head, for what a header cannot say.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::ascii;
use crate::clock::Timestamp;
use crate::consent::signal::Signal;
use crate::consent::{Category, Choices, Granted};

/// What the guard of one page must know. Built once for each combination of site settings and choices.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Where the proxy's own pages live.
    pub own_path: &'a str,
    /// The visitor's choices, for `window.consentry.choices`; none: undecided.
    pub choices: Option<serde_json::Value>,
    /// Names of cookies that may not be written, a `*` at the end covers all that begin so.
    pub refused_cookies: Vec<&'a str>,
    /// Where images and scripts may not be loaded from, as `host/path` beginnings (`*.` for all below a host).
    pub refused_urls: Vec<String>,
    /// Globals of held services that need a stub.
    pub globals: Vec<&'a str>,
    /// JavaScript that makes anonymized services run without identifiers, before anything of theirs.
    pub anonymize: Vec<&'a str>,
}

static SOURCE: LazyLock<(String, String)> = LazyLock::new(|| {
    let source = ascii::squeeze(include_str!("guard.js"), "\n");
    let (before, after) = source.rsplit_once("FACTS").expect("guard.js ends with the place of its facts");
    (before.to_owned(), after.to_owned())
});

/// The guard's script, without its tag; ASCII, and free of `</script`.
pub fn script(facts: &Facts<'_>) -> String {
    let (before, after) = &*SOURCE;
    let mut script = String::with_capacity(before.len() + 512);
    for snippet in &facts.anonymize {
        // One that fails must not stop the others, nor the guard.
        script.push_str("try{");
        script.push_str(&ascii::javascript(snippet));
        script.push_str("\n}catch(e){}\n");
    }
    script.push_str(before);
    script.push_str(&ascii::script(&json!({
        "o": facts.own_path,
        "c": facts.choices,
        "k": facts.refused_cookies,
        "u": facts.refused_urls,
        "g": facts.globals,
    })));
    script.push_str(after);
    script
}

/// A visitor's choices as `GET /_consent/choices` and `window.consentry.choices` tell them: what may act now.
pub fn choices(
    choices: Option<&Choices>,
    granted: &Granted,
    signal: Signal,
    valid_until: Option<Timestamp>,
) -> Value {
    let categories: serde_json::Map<String, Value> = Category::ALL
        .iter()
        .map(|category| (category.to_string(), granted.categories().covers(*category).into()))
        .collect();
    json!({
        "decided": choices.is_some(),
        "categories": categories,
        "services": granted.services().collect::<Vec<_>>(),
        "made_at": choices.map(|choices| choices.made_at.to_string()),
        "receipt": choices.and_then(|choices| choices.receipt),
        "valid_until": choices.and(valid_until).map(|at| at.to_string()),
        "gpc": signal == Signal::OptOut,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            own_path: "/_consent/",
            choices: Some(json!({"note": "</script><!--å"})),
            refused_cookies: vec!["_ga*"],
            refused_urls: vec!["*.google-analytics.com/".into()],
            globals: vec!["ga", "dataLayer"],
            anonymize: vec!["_paq.push(['disableCookies']);// </script> å"],
        }
    }

    #[test]
    fn the_script_is_ascii_and_cannot_end_its_element() {
        let script = script(&facts());
        assert!(script.is_ascii());
        assert!(!script.contains("</") && !script.contains("<!--"));
    }

    #[test]
    fn anonymizing_comes_before_the_guard_and_the_facts_reach_it() {
        let script = script(&facts());
        assert!(script.starts_with("try{_paq.push(['disableCookies']);"));
        assert!(script.contains(r#""k":["_ga*"]"#) && script.contains(r#""u":["*.google-analytics.com/"]"#));
        assert!(script.trim_end().ends_with("});") || script.trim_end().ends_with(");"));
    }

    #[test]
    fn the_script_weighs_at_most_three_kilobytes_packed() {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        packer.write_all(script(&facts()).as_bytes()).unwrap();
        let size = packer.finish().unwrap().len();
        assert!(size <= 3 * 1024, "{size}");
    }

    #[test]
    fn choices_are_told_as_what_may_act_now() {
        let undecided = choices(None, &Granted::default(), Signal::OptOut, None);
        assert_eq!(
            undecided,
            json!({
                "decided": false,
                "categories": {"necessary": true, "preferences": false, "statistics": false, "marketing": false},
                "services": [],
                "made_at": null,
                "receipt": null,
                "valid_until": null,
                "gpc": true,
            })
        );
    }
}
