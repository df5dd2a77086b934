//! Caches: a rewritten page is one visitor's, and comes back from a cache only while it would be written alike.
//!
//! Every entity tag of a rewritten answer ends in `-cs`, the epoch of its writing (twelve hexadecimal digits) and
//! the letter of its coding. In a condition, a tag of the present epoch is mapped back to the upstream's own; any
//! other one is dropped, so that no page from before the rollout, or from before a withdrawal, comes back as 304.

use std::borrow::Cow;
use std::fmt::Write;

use http::Method;
use http::header::{
    CACHE_CONTROL, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, RANGE, VARY,
};
use sha2::{Digest, Sha256};

use super::encoding::Coding;
use super::headers::remove_where;

const MARK: &str = "-cs";
const DIGITS: usize = 12;

/// What shapes a rewritten page, in short: two pages of one epoch and one original are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch(Box<str>);

impl Epoch {
    /// The epoch of what was shaped by `parts`.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut digits = String::with_capacity(DIGITS);
        for byte in hash.finalize().iter().take(DIGITS / 2) {
            // Writing into a String does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        Epoch(digits.into())
    }
}

/// Whether an answer may turn out to be a page that a person sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A page or a frame: it was perhaps cached before it was ever rewritten.
    Page,
    /// Anything else.
    Other,
}

/// A tag of ours that was mapped back: what the upstream knows, and the coding of what the client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revalidated {
    tag: Box<str>,
    coding: Coding,
}

/// Readies a request's conditions and ranges, and gives the tags that were mapped back.
pub fn prepare(
    headers: &mut HeaderMap,
    method: &Method,
    expected: Expected,
    epoch: impl Fn() -> Epoch,
) -> Vec<Revalidated> {
    if !headers.keys().any(is_condition) {
        return Vec::new();
    }
    map_if_match(headers);
    let has_our_range =
        headers.get(IF_RANGE).and_then(|value| Tag::read(value.to_str().ok()?)?.own()).is_some();
    // A range of the original fits into nothing that was rewritten.
    if expected == Expected::Page || has_our_range {
        headers.remove(RANGE);
        headers.remove(IF_RANGE);
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Vec::new();
    }
    if expected == Expected::Page {
        headers.remove(IF_MODIFIED_SINCE);
    }
    map_if_none_match(headers, expected, epoch)
}

/// Whether any of what is readied may be in a header; most requests have none.
fn is_condition(name: &HeaderName) -> bool {
    name.as_str().starts_with("if-") || *name == RANGE
}

fn map_if_none_match(
    headers: &mut HeaderMap,
    expected: Expected,
    epoch: impl Fn() -> Epoch,
) -> Vec<Revalidated> {
    let Some(text) = joined(headers, &IF_NONE_MATCH) else { return Vec::new() };
    let tags: Vec<Tag<'_>> = tags(&text).collect();
    let has_own = tags.iter().any(|tag| tag.own().is_some());
    if !has_own && expected == Expected::Other {
        return Vec::new();
    }
    let present = has_own.then(epoch);
    let mut kept = Vec::new();
    let mut revalidated = Vec::new();
    for tag in &tags {
        match tag.own() {
            Some(own) if present.as_ref().is_some_and(|present| *own.epoch == *present.0) => {
                kept.push(own.original.to_string());
                revalidated.push(Revalidated { tag: own.original.opaque.into(), coding: own.coding });
            }
            None if expected == Expected::Other => kept.push(tag.to_string()),
            Some(_) | None => {}
        }
    }
    headers.remove(IF_NONE_MATCH);
    match HeaderValue::from_str(&kept.join(", ")) {
        Ok(value) if !kept.is_empty() => {
            headers.insert(IF_NONE_MATCH, value);
        }
        // Without the tags, the date would be heard (RFC 9110 section 13.1.3).
        Ok(_) | Err(_) => {
            headers.remove(IF_MODIFIED_SINCE);
        }
    }
    revalidated
}

/// A change that is tied to what was read is tied to the upstream's own state, whoever wrote the page.
fn map_if_match(headers: &mut HeaderMap) {
    let Some(text) = joined(headers, &IF_MATCH) else { return };
    if !tags(&text).any(|tag| tag.own().is_some()) {
        return;
    }
    let originals: Vec<String> =
        tags(&text).map(|tag| tag.own().map_or(tag, |own| own.original).to_string()).collect();
    if let Ok(value) = HeaderValue::from_str(&originals.join(", ")) {
        headers.insert(IF_MATCH, value);
    }
}

/// Writes the caching headers of a rewritten answer.
pub fn rewritten(headers: &mut HeaderMap, epoch: impl FnOnce() -> Epoch, coding: Coding) {
    remove_where(headers, is_for_other_caches);
    let control = cache_control(headers);
    headers.insert(CACHE_CONTROL, control);
    vary(headers, coding);
    let tag = headers.get(ETAG).and_then(|value| tagged(value.to_str().ok()?, &epoch(), coding));
    match tag {
        Some(tag) => headers.insert(ETAG, tag),
        None => headers.remove(ETAG),
    };
}

/// Headers for shared caches outrank `Cache-Control` there, and no such cache may keep one visitor's page. The last three
/// say to any cache what is not true any more.
fn is_for_other_caches(name: &str) -> bool {
    matches!(
        name,
        "cdn-cache-control"
            | "cloudflare-cdn-cache-control"
            | "edge-control"
            | "fastly-cdn-cache-control"
            | "netlify-cdn-cache-control"
            | "surrogate-control"
            | "use-as-dictionary"
            | "vercel-cdn-cache-control"
            | "x-accel-expires"
            | "expires"
            | "pragma"
            | "last-modified"
    )
}

/// Writes the caching headers of a 304 that confirms a rewritten page.
pub fn confirmed(headers: &mut HeaderMap, epoch: impl FnOnce() -> Epoch, revalidated: &[Revalidated]) {
    let tag = headers.get(ETAG).and_then(|value| Tag::read(value.to_str().ok()?));
    let named = tag.and_then(|tag| revalidated.iter().find(|known| *known.tag == *tag.opaque));
    let Some(known) = named.or(revalidated.first()) else { return };
    rewritten(headers, epoch, known.coding);
}

fn cache_control(headers: &HeaderMap) -> HeaderValue {
    let present = joined(headers, &CACHE_CONTROL).unwrap_or_default();
    let has = |word: &str| present.split(',').any(|directive| directive.trim().eq_ignore_ascii_case(word));
    HeaderValue::from_static(match (has("no-store"), has("no-transform")) {
        (false, false) => "private, no-cache",
        (false, true) => "private, no-cache, no-transform",
        (true, false) => "private, no-cache, no-store",
        (true, true) => "private, no-cache, no-store, no-transform",
    })
}

/// Has caches, where they may keep it at all, tell apart what is shown and what is a part of a page.
pub fn varies_by_destination(headers: &mut HeaderMap) {
    const DESTINATION: &str = "Sec-Fetch-Dest";
    let control = joined(headers, &CACHE_CONTROL).unwrap_or_default();
    let present = joined(headers, &VARY).unwrap_or_default();
    let is_kept = !control.split(',').any(|word| word.trim().eq_ignore_ascii_case("no-store"));
    if is_kept
        && !present.split(',').any(|word| word.trim() == "*" || word.trim().eq_ignore_ascii_case(DESTINATION))
    {
        headers.append(VARY, HeaderValue::from_static(DESTINATION));
    }
}

fn vary(headers: &mut HeaderMap, coding: Coding) {
    let Some(present) = joined(headers, &VARY) else {
        let all = match coding {
            Coding::Identity => "Cookie, Sec-GPC, DNT",
            _ => "Cookie, Sec-GPC, DNT, Accept-Encoding",
        };
        headers.insert(VARY, HeaderValue::from_static(all));
        return;
    };
    let has = |name: &str| present.split(',').any(|word| word.trim().eq_ignore_ascii_case(name));
    if has("*") {
        return;
    }
    let encoded = (coding != Coding::Identity).then_some("Accept-Encoding");
    let wanted = [Some("Cookie"), Some("Sec-GPC"), Some("DNT"), encoded];
    let missing: Vec<_> = wanted.into_iter().flatten().filter(|name| !has(name)).collect();
    for name in missing {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}

fn tagged(text: &str, epoch: &Epoch, coding: Coding) -> Option<HeaderValue> {
    let tag = Tag::read(text)?;
    let original = tag.own().map_or(tag, |own| own.original);
    let Tag { weak, opaque } = original;
    HeaderValue::from_str(&format!("{weak}\"{opaque}{MARK}{}{}\"", epoch.0, coding.letter())).ok()
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    // A byte that is no text must not hide what stands beside it.
    let mut lines = headers.get_all(name).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = lines.next()?;
    Some(lines.fold(first, |all, line| all + ", " + line))
}

/// An entity tag (RFC 9110 section 8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'a> {
    /// `W/`, or nothing.
    weak: &'a str,
    /// What stands between the quotes.
    opaque: &'a str,
}

/// A tag that we wrote.
struct Own<'a> {
    original: Tag<'a>,
    epoch: &'a str,
    coding: Coding,
}

impl<'a> Tag<'a> {
    fn read(text: &'a str) -> Option<Self> {
        tags(text).next()
    }

    fn own(&self) -> Option<Own<'a>> {
        let (opaque, end) = self.opaque.rsplit_once(MARK)?;
        let (epoch, letter) = end.split_at_checked(DIGITS)?;
        let mut letters = letter.chars();
        let coding = Coding::from_letter(letters.next()?)?;
        let is_ours = letters.next().is_none() && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then_some(Own { original: Tag { weak: self.weak, opaque }, epoch, coding })
    }
}

impl std::fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\"{}\"", self.weak, self.opaque)
    }
}

/// The tags of a list; a comma may stand inside one, and what is no tag is skipped.
fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (before, after) = rest.split_once('"')?;
        let (opaque, behind) = after.split_once('"')?;
        rest = behind;
        let weak = if before.trim_end().ends_with("W/") { "W/" } else { "" };
        Some(Tag { weak, opaque })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str) -> Epoch {
        Epoch::of(&[name.as_bytes()])
    }

    fn ours(tag: &str, name: &str) -> String {
        tagged(tag, &epoch(name), Coding::Gzip).unwrap().to_str().unwrap().to_owned()
    }

    fn prepared(expected: Expected, pairs: &[(HeaderName, &str)]) -> (HeaderMap, usize) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let revalidated = prepare(&mut headers, &Method::GET, expected, || epoch("now"));
        (headers, revalidated.len())
    }

    #[test]
    fn a_tag_of_this_epoch_is_mapped_back_and_every_other_one_dropped() {
        let now = ours("\"abc\"", "now");
        let weak = ours("W/\"a,b\"", "now");
        let before = ours("\"abc\"", "before");
        for (condition, page, other) in [
            (now.clone(), Some("\"abc\""), Some("\"abc\"")),
            (weak.clone(), Some("W/\"a,b\""), Some("W/\"a,b\"")),
            (before.clone(), None, None),
            ("\"abc\"".into(), None, Some("\"abc\"")),
            ("*".into(), None, Some("*")),
            (format!("{before}, \"x\", {now}"), Some("\"abc\""), Some("\"x\", \"abc\"")),
        ] {
            for (expected, upstream) in [(Expected::Page, page), (Expected::Other, other)] {
                let (headers, _) = prepared(expected, &[(IF_NONE_MATCH, &condition)]);
                let seen = headers.get(IF_NONE_MATCH).map(|value| value.to_str().unwrap());
                assert_eq!(seen, upstream, "{condition} {expected:?}");
            }
        }
    }

    #[test]
    fn a_page_is_never_asked_for_by_its_date_or_in_part() {
        let pairs =
            [(IF_MODIFIED_SINCE, "Tue, 24 Nov 2026 12:00:00 GMT"), (RANGE, "bytes=0-"), (IF_RANGE, "\"a\"")];
        assert!(prepared(Expected::Page, &pairs).0.is_empty());
        assert_eq!(prepared(Expected::Other, &pairs).0.len(), 3);
    }

    #[test]
    fn a_date_is_not_heard_in_place_of_a_dropped_tag() {
        let before = ours("\"abc\"", "before");
        let pairs = [(IF_NONE_MATCH, &*before), (IF_MODIFIED_SINCE, "Tue, 24 Nov 2026 12:00:00 GMT")];
        assert!(prepared(Expected::Other, &pairs).0.is_empty());
    }

    #[test]
    fn a_range_of_a_rewritten_answer_is_not_asked_for() {
        let pairs = [(RANGE, "bytes=10-"), (IF_RANGE, &*ours("\"abc\"", "now"))];
        assert!(prepared(Expected::Other, &pairs).0.is_empty());
    }

    #[test]
    fn a_change_is_tied_to_the_tag_that_the_upstream_knows() {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_str(&ours("\"abc\"", "before")).unwrap());
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        prepare(&mut headers, &Method::PUT, Expected::Other, || epoch("now"));
        assert_eq!(
            (&headers[IF_MATCH], &headers[IF_NONE_MATCH]),
            (&"\"abc\"".parse().unwrap(), &"*".parse().unwrap())
        );
    }

    fn answered(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        rewritten(&mut headers, || epoch("now"), Coding::Gzip);
        let once = headers.clone();
        rewritten(&mut headers, || epoch("now"), Coding::Gzip);
        assert_eq!(headers, once, "twice");
        headers
    }

    #[test]
    fn a_rewritten_page_is_its_visitors_own() {
        let headers = answered(&[
            ("cache-control", "public, max-age=3600"),
            ("surrogate-control", "max-age=3600"),
            ("cdn-cache-control", "max-age=3600"),
            ("expires", "Tue, 24 Nov 2026 12:00:00 GMT"),
            ("last-modified", "Tue, 24 Nov 2026 12:00:00 GMT"),
            ("vary", "accept-encoding"),
            ("etag", "W/\"abc\""),
        ]);
        assert_eq!(headers[CACHE_CONTROL], "private, no-cache");
        assert_eq!(joined(&headers, &VARY).unwrap(), "accept-encoding, Cookie, Sec-GPC, DNT");
        assert_eq!(headers[ETAG], *ours("W/\"abc\"", "now"));
        assert_eq!(headers.keys_len(), 3);
    }

    #[test]
    fn what_must_not_be_stored_stays_so() {
        for (before, after) in [
            ("no-store", "private, no-cache, no-store"),
            ("public, No-Store, max-age=1", "private, no-cache, no-store"),
            ("no-store, x=\u{e5}", "private, no-cache, no-store"),
            ("no-transform", "private, no-cache, no-transform"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_bytes(before.as_bytes()).unwrap());
            assert_eq!(cache_control(&headers), after);
        }
    }

    #[test]
    fn what_is_no_entity_tag_is_left_out() {
        assert!(!answered(&[("etag", "abc")]).contains_key(ETAG));
    }

    #[test]
    fn a_confirmed_page_keeps_the_tag_it_was_sent_with() {
        let revalidated = vec![
            Revalidated { tag: "x".into(), coding: Coding::Brotli },
            Revalidated { tag: "abc".into(), coding: Coding::Gzip },
        ];
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"abc\""));
        confirmed(&mut headers, || epoch("now"), &revalidated);
        assert_eq!(headers[ETAG], *ours("\"abc\"", "now"));
    }
}
