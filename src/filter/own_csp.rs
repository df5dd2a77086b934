//! The page's own policies: our guard and our looks are let in, and nothing else.
//!
//! A nonce that the page already gives out is used again; otherwise the hash of what we insert is added. Never
//! `'unsafe-inline'`, and no hash where `'unsafe-inline'` works: it would switch that off. There the list of services
//! is let in by its own address.

use std::borrow::Cow;

use encoding_rs::mem;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, HeaderMap};

use super::page::Address;

/// What is inserted and needs to be let in, as sources: `'sha256-…'`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inserted<'a> {
    /// The guard.
    pub script: Option<&'a str>,
    /// The list of services that the guard learns from, which is loaded.
    pub list: Option<List<'a>>,
    /// The styles of settings link, banner, placeholders and note.
    pub styles: [Option<&'a str>; 4],
    /// Whether forms that lead to the site itself are inserted.
    pub forms: Forms,
}

/// A script of ours that is loaded, under its hash (`integrity`).
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// Its hash, as a source.
    pub hash: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The page that loads it.
    pub page: &'a Address,
}

/// Whether forms are inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forms {
    /// None.
    #[default]
    None,
    /// The banner's, or those of placeholders.
    ToItself,
}

/// Lets what is inserted through every policy of the headers, report-only ones too, and gives the nonce that
/// the inserted script must carry, if there is one.
pub fn admit(headers: &mut HeaderMap, inserted: Inserted<'_>) -> Option<Box<str>> {
    const NAMES: [http::HeaderName; 2] = [CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY];
    if inserted.script.is_none() || !NAMES.iter().any(|name| headers.contains_key(name)) {
        return None;
    }
    let mut values = NAMES.iter().flat_map(|name| headers.get_all(name)).map(text);
    let nonce = values.find_map(|value| policies(&value).find_map(|policy| policy.nonce()));
    for name in NAMES {
        let values: Vec<HeaderValue> = headers
            .get_all(&name)
            .into_iter()
            .map(|value| {
                let amended = amended(&text(value), inserted, nonce.as_deref());
                amended.and_then(|text| value_of(&text)).unwrap_or_else(|| value.clone())
            })
            .collect();
        headers.remove(&name);
        for value in values {
            headers.append(&name, value);
        }
    }
    nonce
}

/// A policy's bytes, each as one letter, as browsers read them (Fetch, section 2.2.2: isomorphic decode): a byte beyond
/// ASCII, in a comment that somebody left there, must not hide what it says besides.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    mem::decode_latin1(value.as_bytes())
}

/// The same bytes again.
fn value_of(text: &str) -> Option<HeaderValue> {
    mem::is_str_latin1(text).then(|| HeaderValue::from_bytes(&mem::encode_latin1_lossy(text)).ok())?
}

/// The text with every policy in it amended; nothing where all of them stay as they are.
pub fn amended(value: &str, inserted: Inserted<'_>, nonce: Option<&str>) -> Option<String> {
    let mut changed = false;
    let policies: Vec<String> = value
        .split(',')
        .map(|text| {
            let mut policy = Policy::parse(text);
            policy.amend(inserted, nonce);
            changed |= policy.is_amended;
            if policy.is_amended { policy.to_string() } else { text.to_owned() }
        })
        .collect();
    changed.then(|| policies.join(","))
}

fn policies(value: &str) -> impl Iterator<Item = Policy<'_>> {
    value.split(',').map(Policy::parse)
}

/// One policy, as the browser reads it (CSP 3, section 2.2.1).
struct Policy<'a> {
    directives: Vec<Directive<'a>>,
    is_amended: bool,
}

#[derive(Clone)]
struct Directive<'a> {
    name: &'a str,
    sources: Vec<Cow<'a, str>>,
}

impl<'a> Policy<'a> {
    fn parse(text: &'a str) -> Self {
        let directives = text
            .split(';')
            .filter_map(|directive| {
                let mut words = directive.split_ascii_whitespace();
                Some(Directive { name: words.next()?, sources: words.map(Cow::Borrowed).collect() })
            })
            .collect();
        Policy { directives, is_amended: false }
    }

    /// The nonce that scripts of the page carry.
    fn nonce(&self) -> Option<Box<str>> {
        let scripts = self.effective(&["script-src-elem", "script-src", "default-src"])?;
        scripts.sources.iter().find_map(|source| nonce_of(source)).map(Into::into)
    }

    fn amend(&mut self, inserted: Inserted<'a>, nonce: Option<&str>) {
        if let Some(hash) = inserted.script {
            self.admit("script-src", ["script-src-elem", "script-src", "default-src"], hash, nonce);
        }
        if let Some(list) = inserted.list {
            self.admit_list(list, nonce);
        }
        for hash in inserted.styles.into_iter().flatten() {
            self.admit("style-src", ["style-src-elem", "style-src", "default-src"], hash, None);
        }
        if inserted.forms == Forms::ToItself {
            self.admit_forms();
        }
    }

    /// Lets an inline element in, by its hash. Where `default-src` decides, its sources are copied: a hash in it
    /// would reach into other directives.
    fn admit(&mut self, own: &'a str, names: [&str; 3], hash: &'a str, nonce: Option<&str>) {
        let Some(effective) = self.effective(&names) else { return };
        if !effective.allows_inline(own) && !effective.names(hash) && !effective.carries(nonce) {
            self.add(own, &names, Cow::Borrowed(hash));
        }
    }

    /// Lets the list in, by its hash; by its address where a hash would switch off what the page relies on.
    fn admit_list(&mut self, list: List<'a>, nonce: Option<&str>) {
        const NAMES: [&str; 3] = ["script-src-elem", "script-src", "default-src"];
        let Some(effective) = self.effective(&NAMES) else { return };
        if effective.loads_from(list.page) || effective.names(list.hash) || effective.carries(nonce) {
            return;
        }
        let source = if effective.allows_inline("script-src") {
            Cow::Owned(format!("{}{}", list.page.authority(), list.path))
        } else {
            Cow::Borrowed(list.hash)
        };
        if !effective.names(&source) {
            self.add("script-src", &NAMES, source);
        }
    }

    /// Adds a source to the first of these directives that the policy has.
    fn add(&mut self, own: &'a str, names: &[&str], source: Cow<'a, str>) {
        let Some(effective) = self.effective(names) else { return };
        let is_fallback = effective.is("default-src");
        let mut amended = effective.clone();
        amended.add(source);
        self.is_amended = true;
        if is_fallback {
            amended.name = own;
            self.directives.push(amended);
        } else {
            self.replace(amended);
        }
    }

    fn admit_forms(&mut self) {
        let Some(forms) = self.effective(&["form-action"]) else { return };
        if forms.has("'self'") || forms.has("*") {
            return;
        }
        let mut amended = forms.clone();
        amended.add(Cow::Borrowed("'self'"));
        self.is_amended = true;
        self.replace(amended);
    }

    /// The first of these directives that the policy has; of two of one name, browsers read the first.
    fn effective(&self, names: &[&str]) -> Option<&Directive<'a>> {
        names.iter().find_map(|name| self.directives.iter().find(|directive| directive.is(name)))
    }

    fn replace(&mut self, amended: Directive<'a>) {
        if let Some(place) = self.directives.iter_mut().find(|directive| directive.is(amended.name)) {
            *place = amended;
        }
    }
}

impl std::fmt::Display for Policy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, directive) in self.directives.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            f.write_str(directive.name)?;
            for source in &directive.sources {
                write!(f, " {source}")?;
            }
        }
        Ok(())
    }
}

impl<'a> Directive<'a> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn has(&self, keyword: &str) -> bool {
        self.sources.iter().any(|own| own.eq_ignore_ascii_case(keyword))
    }

    fn carries(&self, nonce: Option<&str>) -> bool {
        nonce.is_some_and(|nonce| self.sources.iter().any(|source| nonce_of(source) == Some(nonce)))
    }

    /// Whether every inline element may act (CSP 3, section 6.7.3.2).
    fn allows_inline(&self, own: &str) -> bool {
        let is_switched_off = self.sources.iter().any(|source| {
            nonce_of(source).is_some()
                || is_hash(source)
                || own == "script-src" && source.eq_ignore_ascii_case("'strict-dynamic'")
        });
        self.has("'unsafe-inline'") && !is_switched_off
    }

    fn names(&self, source: &str) -> bool {
        self.sources.iter().any(|own| own == source)
    }

    /// Whether a script of the page's own site may be loaded.
    fn loads_from(&self, page: &url::Url) -> bool {
        let is_open = ["'self'", "*", "http:"].iter().any(|source| self.has(source));
        !self.has("'strict-dynamic'") && (is_open || page.scheme() == "https" && self.has("https:"))
    }

    fn add(&mut self, source: Cow<'a, str>) {
        self.sources.retain(|own| !own.eq_ignore_ascii_case("'none'"));
        self.sources.push(source);
    }
}

fn nonce_of(source: &str) -> Option<&str> {
    let (start, rest) = source.split_at_checked("'nonce-".len())?;
    start.eq_ignore_ascii_case("'nonce-").then(|| rest.strip_suffix('\''))?.filter(|nonce| !nonce.is_empty())
}

fn is_hash(source: &str) -> bool {
    ["'sha256-", "'sha384-", "'sha512-"]
        .iter()
        .any(|start| source.get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Option<&str> = Some("'sha256-GUARD='");
    const PAGE: Inserted<'static> = Inserted {
        script: GUARD,
        list: None,
        styles: [Some("'sha256-STYLE='"), None, None, None],
        forms: Forms::ToItself,
    };
    const FRAME: Inserted<'static> =
        Inserted { script: GUARD, list: None, styles: [None; 4], forms: Forms::None };

    fn admitted(policies: &[&str], inserted: Inserted<'_>) -> (Vec<String>, Option<String>) {
        let mut headers = HeaderMap::new();
        for policy in policies {
            headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_str(policy).unwrap());
        }
        let nonce = admit(&mut headers, inserted);
        let once = headers.clone();
        assert_eq!(admit(&mut headers, inserted), nonce);
        assert_eq!(headers, once, "twice: {policies:?}");
        let texts = headers.get_all(CONTENT_SECURITY_POLICY).iter();
        (texts.map(|value| value.to_str().unwrap().to_owned()).collect(), nonce.map(Into::into))
    }

    #[test]
    fn bytes_beyond_ascii_in_a_policy_hide_nothing_of_it_and_stay() {
        for beyond in ["b\u{e5}".as_bytes(), b"b\xe5", b"\xff\xfe"] {
            let policy =
                [b"script-src 'self' ", beyond, b"; style-src 'nonce-n'; report-uri /", beyond].concat();
            let mut headers = HeaderMap::new();
            headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_bytes(&policy).unwrap());
            admit(&mut headers, FRAME);
            let amended = [
                b"script-src 'self' ",
                beyond,
                b" 'sha256-GUARD='; style-src 'nonce-n'; report-uri /",
                beyond,
            ]
            .concat();
            assert_eq!(headers[CONTENT_SECURITY_POLICY].as_bytes(), amended);
        }
    }

    #[test]
    fn the_guard_is_let_in_and_nothing_else() {
        for (before, after) in [
            // Nothing to let in: no directive, or inline already works.
            ("img-src 'self'", "img-src 'self'"),
            ("script-src 'self' 'unsafe-inline'", "script-src 'self' 'unsafe-inline'"),
            ("upgrade-insecure-requests", "upgrade-insecure-requests"),
            // By hash, where the browser looks.
            ("script-src 'self'", "script-src 'self' 'sha256-GUARD='"),
            ("Script-Src 'NONE'", "Script-Src 'sha256-GUARD='"),
            ("script-src", "script-src 'sha256-GUARD='"),
            (
                "script-src-elem 'self'; script-src 'none'",
                "script-src-elem 'self' 'sha256-GUARD='; script-src 'none'",
            ),
            ("default-src 'self'", "default-src 'self'; script-src 'self' 'sha256-GUARD='"),
            ("default-src 'none'; img-src *", "default-src 'none'; img-src *; script-src 'sha256-GUARD='"),
            // `'unsafe-inline'` is off where there is a hash or `'strict-dynamic'`.
            (
                "script-src 'unsafe-inline' 'sha256-abc='",
                "script-src 'unsafe-inline' 'sha256-abc=' 'sha256-GUARD='",
            ),
            (
                "script-src 'strict-dynamic' 'unsafe-inline' https:",
                "script-src 'strict-dynamic' 'unsafe-inline' https: 'sha256-GUARD='",
            ),
            // Of two directives of one name the browser reads the first.
            ("script-src a.se; script-src b.se", "script-src a.se 'sha256-GUARD='; script-src b.se"),
            // Two policies in one header.
            ("script-src a.se, img-src b.se", "script-src a.se 'sha256-GUARD=', img-src b.se"),
            // A nonce beside `'unsafe-inline'` switches it off, in whatever case the words are.
            ("SCRIPT-SRC 'Unsafe-Inline'", "SCRIPT-SRC 'Unsafe-Inline'"),
            // `script-src-attr` says nothing of elements.
            ("script-src-attr 'none'", "script-src-attr 'none'"),
            (
                "script-src-attr 'none'; default-src https:",
                "script-src-attr 'none'; default-src https:; script-src https: 'sha256-GUARD='",
            ),
            // Scripts that are only let in by a host still need a hash to stand in the page.
            ("script-src *", "script-src * 'sha256-GUARD='"),
            ("script-src https: data: blob:", "script-src https: data: blob: 'sha256-GUARD='"),
            // `'unsafe-hashes'` and `'unsafe-eval'` let no element in.
            (
                "script-src 'unsafe-eval' 'unsafe-hashes'",
                "script-src 'unsafe-eval' 'unsafe-hashes' 'sha256-GUARD='",
            ),
            // Empty directives and policies stay as they are.
            (";;, ,", ";;, ,"),
            ("sandbox allow-scripts", "sandbox allow-scripts"),
            (
                "require-trusted-types-for 'script'; script-src 'self'",
                "require-trusted-types-for 'script'; script-src 'self' 'sha256-GUARD='",
            ),
        ] {
            assert_eq!(admitted(&[before], FRAME), (vec![after.to_owned()], None), "{before}");
        }
    }

    #[test]
    fn the_list_is_let_in_by_hash_or_address_and_nothing_else_is() {
        let page: Address = "https://www.example.se:8443/shop?id=1".parse().unwrap();
        let list = List { hash: "'sha256-LIST='", path: "/_consent/assets/known.0.js", page: &page };
        let inserted = Inserted { list: Some(list), ..FRAME };
        for (before, after) in [
            ("script-src 'self'", "script-src 'self' 'sha256-GUARD='"),
            ("script-src https:", "script-src https: 'sha256-GUARD='"),
            ("script-src *", "script-src * 'sha256-GUARD='"),
            ("default-src 'none'", "default-src 'none'; script-src 'sha256-GUARD=' 'sha256-LIST='"),
            ("script-src 'sha256-abc='", "script-src 'sha256-abc=' 'sha256-GUARD=' 'sha256-LIST='"),
            (
                "script-src 'strict-dynamic' 'unsafe-inline' https: 'self'",
                "script-src 'strict-dynamic' 'unsafe-inline' https: 'self' 'sha256-GUARD=' 'sha256-LIST='",
            ),
            ("script-src 'nonce-r4nd0m' 'strict-dynamic'", "script-src 'nonce-r4nd0m' 'strict-dynamic'"),
            // A hash would switch `'unsafe-inline'` off.
            (
                "script-src 'unsafe-inline' cdn.example",
                "script-src 'unsafe-inline' cdn.example www.example.se:8443/_consent/assets/known.0.js",
            ),
            (
                "default-src 'unsafe-inline'; img-src *",
                "default-src 'unsafe-inline'; img-src *; \
                 script-src 'unsafe-inline' www.example.se:8443/_consent/assets/known.0.js",
            ),
            ("img-src 'self'", "img-src 'self'"),
        ] {
            assert_eq!(admitted(&[before], inserted).0, [after], "{before}");
        }
        let plain: Address = "http://www.example.se/".parse().unwrap();
        let inserted = Inserted { list: Some(List { page: &plain, ..list }), ..FRAME };
        let closed = "script-src https: 'sha256-GUARD=' 'sha256-LIST='";
        assert_eq!(admitted(&["script-src https:"], inserted).0, [closed]);
    }

    #[test]
    fn a_nonce_of_the_page_is_used_again() {
        let (texts, nonce) = admitted(&["script-src 'nonce-r4nd0m' 'strict-dynamic'"], FRAME);
        assert_eq!(texts, ["script-src 'nonce-r4nd0m' 'strict-dynamic'"]);
        assert_eq!(nonce.as_deref(), Some("r4nd0m"));
    }

    #[test]
    fn a_policy_without_the_nonce_gets_the_hash() {
        let (texts, nonce) =
            admitted(&["script-src 'self'", "script-src 'nonce-one'", "default-src 'nonce-two'"], FRAME);
        assert_eq!(nonce.as_deref(), Some("one"));
        assert_eq!(
            texts,
            [
                "script-src 'self' 'sha256-GUARD='",
                "script-src 'nonce-one'",
                "default-src 'nonce-two'; script-src 'nonce-two' 'sha256-GUARD='",
            ]
        );
    }

    #[test]
    fn the_banner_may_have_its_looks_and_its_forms() {
        for (before, after) in [
            ("style-src 'self'", "style-src 'self' 'sha256-STYLE='"),
            ("style-src 'self' 'unsafe-inline'", "style-src 'self' 'unsafe-inline'"),
            (
                "style-src 'unsafe-inline' 'nonce-a'; script-src 'nonce-a'",
                "style-src 'unsafe-inline' 'nonce-a' 'sha256-STYLE='; script-src 'nonce-a'",
            ),
            ("form-action 'none'", "form-action 'self'"),
            ("form-action https://pay.example", "form-action https://pay.example 'self'"),
            ("form-action 'SELF'", "form-action 'SELF'"),
            (
                "default-src 'self'; form-action 'self'",
                "default-src 'self'; form-action 'self'; script-src 'self' 'sha256-GUARD='; \
                 style-src 'self' 'sha256-STYLE='",
            ),
        ] {
            assert_eq!(admitted(&[before], PAGE).0, [after], "{before}");
        }
    }

    #[test]
    fn both_styles_are_let_in_beside_each_other() {
        let both = Inserted { styles: [Some("'sha256-LINK='"), Some("'sha256-STYLE='"), None, None], ..PAGE };
        let amended =
            "default-src 'none'; script-src 'sha256-GUARD='; style-src 'sha256-LINK=' 'sha256-STYLE='";
        assert_eq!(admitted(&["default-src 'none'"], both).0, [amended]);
    }

    #[test]
    fn where_nothing_is_inserted_policies_stay_as_they_are() {
        let (texts, nonce) =
            admitted(&["script-src  'self' ;", "default-src 'nonce-a'"], Inserted::default());
        assert_eq!(texts, ["script-src  'self' ;", "default-src 'nonce-a'"]);
        assert_eq!(nonce, None);
    }

    #[test]
    fn a_policy_that_only_reports_is_amended_too() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_SECURITY_POLICY_REPORT_ONLY, HeaderValue::from_static("script-src 'self'"));
        admit(&mut headers, FRAME);
        assert_eq!(headers[CONTENT_SECURITY_POLICY_REPORT_ONLY], "script-src 'self' 'sha256-GUARD='");
    }
}
