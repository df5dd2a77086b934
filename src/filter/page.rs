//! Which answers are pages to be rewritten, and what is inserted into them.

use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{Method, StatusCode};
use url::Url;

use super::encoding::{self, Coded, Coding};
use super::{Banner, Settings, html};
use crate::gate::{self, Crawlers};
use crate::visit::{Crawler, Purpose, Visit};
use crate::web::Note;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is rewritten; this is what its body is coded with.
    Rewrite(Coding),
    /// It gets the headers of a rewritten answer and has no body: an answer to HEAD.
    RewriteHead(Coding),
    /// It confirms a rewritten page that the visitor has.
    Confirm,
    /// It passes, and this is why.
    Pass(&'static str),
    /// It cannot be filtered, and does not pass; this is why.
    Refuse(&'static str),
}

/// What is known of an answer before its body comes.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: &'a HeaderMap,
    /// Whether the body is known to be empty.
    pub body: Length,
    /// Whether the request asked for a rewritten page by its tag.
    pub condition: Condition,
}

/// What is known of a body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It has none.
    Empty,
    /// It has some, or one cannot tell.
    Open,
}

/// What the request's condition was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A rewritten page.
    Rewritten,
    /// Something else, or there was none.
    Other,
}

/// Decides what becomes of an answer.
pub fn judge(head: Head<'_>) -> Verdict {
    match head.status {
        StatusCode::NOT_MODIFIED if head.condition == Condition::Rewritten => return Verdict::Confirm,
        StatusCode::NOT_MODIFIED => return Verdict::Pass("not-modified"),
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT => return Verdict::Pass("no-content"),
        StatusCode::PARTIAL_CONTENT => return Verdict::Pass("partial"),
        status if status.is_informational() => return Verdict::Pass("informational"),
        _ => {}
    }
    if !head.headers.contains_key(CONTENT_TYPE) {
        return Verdict::Pass("untyped");
    }
    if !is_html(head.headers) {
        return Verdict::Pass("not-html");
    }
    if is_attachment(head.headers) {
        return Verdict::Pass("attachment");
    }
    let is_head = *head.method == Method::HEAD;
    let says_empty = head.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0");
    if says_empty || head.body == Length::Empty && !is_head {
        return Verdict::Pass("empty");
    }
    match encoding::coded(head.headers) {
        Coded::Once(coding) if is_head => Verdict::RewriteHead(coding),
        Coded::Once(coding) => Verdict::Rewrite(coding),
        Coded::Opaque => Verdict::Refuse("unknown-coding"),
    }
}

/// Whether any reading of the type is HTML: of two types, browsers differ in which they take.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    types(headers).any(|text| {
        let essence = essence(text);
        essence.eq_ignore_ascii_case(b"text/html") || essence.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

/// How browsers read the page: by the last of several types (Fetch, section 2.2.2: extract a MIME type).
pub(super) fn syntax(headers: &HeaderMap) -> html::Syntax {
    let last = types(headers).filter(|text| essence(text).contains(&b'/')).last();
    match last.is_some_and(|text| essence(text).eq_ignore_ascii_case(b"application/xhtml+xml")) {
        true => html::Syntax::Xml,
        false => html::Syntax::Html,
    }
}

/// Whether browsers show it as a document that nobody has read, and that can load as a page can: SVG, or whatever a style
/// sheet makes of XML (HTML section 7.5.2, SVG 2 section 2.3), and what they take for a page as nothing says what it is
/// (MIME Sniffing, section 7).
pub(super) fn is_document(headers: &HeaderMap) -> bool {
    let is_one = |text: &[u8]| {
        let essence = essence(text).to_ascii_lowercase();
        matches!(&*essence, b"text/xml" | b"application/xml" | b"text/xsl")
            || matches!(&*essence, b"unknown/unknown" | b"application/unknown" | b"*/*")
            || !essence.contains(&b'/')
            || essence.ends_with(b"+xml")
    };
    (types(headers).any(is_one) || !headers.contains_key(CONTENT_TYPE)) && !is_attachment(headers)
}

fn types(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(CONTENT_TYPE).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
}

fn essence(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// The character set that the headers name, if any.
pub fn charset(headers: &HeaderMap) -> Option<&'static encoding_rs::Encoding> {
    types(headers).find_map(|text| {
        text.split(|byte| *byte == b';').skip(1).find_map(|parameter| {
            let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
            let label = value.trim().trim_matches(['"', '\'']);
            name.trim()
                .eq_ignore_ascii_case("charset")
                .then(|| encoding_rs::Encoding::for_label(label.as_bytes()))?
        })
    })
}

fn is_attachment(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_DISPOSITION).is_some_and(|value| {
        let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"attachment")
    })
}

/// What is inserted into a page of this visit.
pub fn inserts(settings: &Settings, visit: &Visit, guard: &Arc<str>) -> html::Inserts {
    match visit.purpose {
        Purpose::Resource => html::Inserts::Nothing,
        Purpose::Frame => html::Inserts::Guard(Arc::clone(guard)),
        Purpose::Page | Purpose::PresumedPage => html::Inserts::Page {
            guard: Arc::clone(guard),
            banner: banner(settings, visit.crawler),
            undecided: visit.choices.is_none(),
            note: note(settings, visit),
            signal: visit.signal,
            language: settings.language(visit).clone(),
            fixed: settings.fixed_language(visit).cloned(),
            return_to: return_to(visit).into(),
            request: match visit.method {
                Method::GET | Method::HEAD => html::Request::Read,
                _ => html::Request::Posted,
            },
            presumed: visit.purpose == Purpose::PresumedPage,
        },
    }
}

/// What placeholders on a page of this visit must know.
pub fn embeds(settings: &Settings, visit: &Visit) -> html::Embeds {
    html::Embeds {
        language: settings.language(visit).clone(),
        asks: match settings.banner {
            Banner::NothingToAsk => html::Asks::Nobody,
            Banner::Shown | Banner::Off => html::Asks::Yes,
        },
        page: return_to(visit).into(),
        once: visit.once_here.clone(),
    }
}

/// What the visitor will be asked for before long.
fn note(settings: &Settings, visit: &Visit) -> Option<Arc<Note>> {
    let gate = gate::announced(&settings.gate, visit)?;
    settings.notes.iter().find(|note| note.document == gate.document).cloned()
}

fn banner(settings: &Settings, crawler: Crawler) -> Banner {
    match (settings.banner, crawler, settings.crawlers) {
        (Banner::Shown, Crawler::Known, Crawlers::Pass) => Banner::Off,
        (banner, _, _) => banner,
    }
}

/// Where the banner leads back to: what a form was posted to cannot be asked for with its query again.
fn return_to(visit: &Visit) -> &str {
    match visit.method {
        Method::GET | Method::HEAD => &visit.target,
        _ => visit.target.split('?').next().unwrap_or("/"),
    }
}

/// A page's own address, which is taken apart where somebody asks for its parts: of a page that is remembered, nobody
/// does.
#[derive(Clone, Debug)]
pub struct Address {
    text: Box<str>,
    /// How much of it is the origin.
    origin: usize,
    /// The canonical host.
    host: Box<str>,
    url: OnceLock<Url>,
}

impl Address {
    /// The address of the page that a visit is to.
    pub fn of(visit: &Visit) -> Self {
        let arrival = &visit.arrival;
        let parts = [arrival.scheme.as_str(), "://", &arrival.authority, &visit.target];
        Address {
            text: parts.concat().into(),
            origin: parts.iter().take(3).map(|part| part.len()).sum(),
            host: arrival.host.clone(),
            url: OnceLock::new(),
        }
    }

    /// As the visitor wrote it.
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// Its beginning, up to its path, as the visitor wrote it.
    pub fn origin_as_written(&self) -> &str {
        self.text.get(..self.origin).unwrap_or_default()
    }

    /// Its path, without the query, as the visitor wrote it.
    pub fn path_as_written(&self) -> &str {
        self.text.get(self.origin..).and_then(|target| target.split(['?', '#']).next()).unwrap_or_default()
    }

    /// The canonical host.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn parse(&self) -> Url {
        Url::parse(&self.text)
            .or_else(|_| Url::parse(self.origin_as_written()))
            .or_else(|_| Url::parse(&format!("http://{}", self.host)))
            .unwrap_or_else(|_| Url::parse("http://localhost/").expect("a constant address"))
    }
}

impl Deref for Address {
    type Target = Url;

    fn deref(&self) -> &Url {
        self.url.get_or_init(|| self.parse())
    }
}

impl FromStr for Address {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, url::ParseError> {
        let url = Url::parse(text)?;
        let host = url.host_str().unwrap_or_default().into();
        let origin = url[..url::Position::BeforePath].len();
        Ok(Address { text: url.as_str().into(), origin, host, url: url.into() })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::filter::tests::{set, settings, visit};

    fn judged(method: Method, status: u16, pairs: &[(&'static str, &'static str)]) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        judge(Head {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            body: if method == Method::HEAD { Length::Empty } else { Length::Open },
            method: &method,
            condition: Condition::Other,
        })
    }

    #[test]
    fn html_is_rewritten_and_everything_else_passes_with_a_reason() {
        use Verdict::{Pass, Refuse, Rewrite};
        let html = ("content-type", "text/html; charset=utf-8");
        for (status, pairs, expected) in [
            (200, &[html][..], Rewrite(Coding::Identity)),
            (404, &[html], Rewrite(Coding::Identity)),
            (500, &[("content-type", "TEXT/HTML")], Rewrite(Coding::Identity)),
            (200, &[("content-type", "application/xhtml+xml")], Rewrite(Coding::Identity)),
            (200, &[("content-type", "text/plain, text/html")], Rewrite(Coding::Identity)),
            (200, &[html, ("content-encoding", "br")], Rewrite(Coding::Brotli)),
            (200, &[html, ("content-disposition", "inline; filename=a.html")], Rewrite(Coding::Identity)),
            (200, &[html, ("content-disposition", "Attachment; filename=a.html")], Pass("attachment")),
            (200, &[html, ("content-encoding", "gzip, br")], Refuse("unknown-coding")),
            (200, &[html, ("content-encoding", "compress")], Refuse("unknown-coding")),
            (200, &[html, ("content-length", "0")], Pass("empty")),
            (204, &[html], Pass("no-content")),
            (206, &[html], Pass("partial")),
            (304, &[html], Pass("not-modified")),
            (101, &[html], Pass("informational")),
            (200, &[("content-type", "text/htmlx")], Pass("not-html")),
            (200, &[("content-type", "image/svg+xml")], Pass("not-html")),
            (200, &[("content-type", "application/atom+xml")], Pass("not-html")),
            (200, &[], Pass("untyped")),
        ] {
            assert_eq!(judged(Method::GET, status, pairs), expected, "{status} {pairs:?}");
        }
    }

    #[test]
    fn head_answers_as_get_would() {
        let html = ("content-type", "text/html");
        let gzip = ("content-encoding", "gzip");
        assert_eq!(judged(Method::HEAD, 200, &[html, gzip]), Verdict::RewriteHead(Coding::Gzip));
        assert_eq!(judged(Method::HEAD, 200, &[html, ("content-length", "0")]), Verdict::Pass("empty"));
        assert_eq!(
            judged(Method::HEAD, 200, &[html, ("content-encoding", "x")]),
            Verdict::Refuse("unknown-coding")
        );
    }

    #[test]
    fn the_character_set_is_read_as_browsers_do() {
        for (text, expected) in [
            ("text/html; charset=\"ISO-8859-1\"", Some("windows-1252")),
            ("text/html;charset=sjis", Some("Shift_JIS")),
            ("text/html; x=y; CHARSET=utf8", Some("UTF-8")),
            ("text/html; charset=klingon", None),
            ("text/html", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
            assert_eq!(charset(&headers).map(encoding_rs::Encoding::name), expected, "{text}");
        }
    }

    #[test]
    fn what_is_inserted_follows_from_the_purpose() {
        let site = settings(set(Vec::new(), &[]));
        let guard: Arc<str> = "g()".into();
        for (purpose, expected) in [
            (Purpose::Page, "page"),
            (Purpose::PresumedPage, "presumed"),
            (Purpose::Frame, "guard"),
            (Purpose::Resource, "nothing"),
        ] {
            let mut visit = visit("/shop?id=1", &[]);
            visit.purpose = purpose;
            let found = match inserts(&site, &visit, &guard) {
                html::Inserts::Nothing => "nothing",
                html::Inserts::Guard(_) => "guard",
                html::Inserts::Page { presumed: true, .. } => "presumed",
                html::Inserts::Page { .. } => "page",
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_known_crawler_sees_no_banner_unless_the_site_treats_it_as_anybody() {
        let mut site = settings(set(Vec::new(), &[]));
        assert_eq!(banner(&site, Crawler::Known), Banner::Off);
        assert_eq!(banner(&site, Crawler::No), Banner::Shown);
        site.crawlers = Crawlers::Treat;
        assert_eq!(banner(&site, Crawler::Known), Banner::Shown);
        site.banner = Banner::NothingToAsk;
        assert_eq!(banner(&site, Crawler::No), Banner::NothingToAsk);
    }

    #[test]
    fn the_banner_leads_back_to_where_the_visitor_is() {
        let mut posted = visit("/order?step=2", &[]);
        assert_eq!(return_to(&posted), "/order?step=2");
        posted.method = Method::POST;
        assert_eq!(return_to(&posted), "/order");
        // No script of ours may post it again.
        let inserts = inserts(&settings(set(Vec::new(), &[])), &posted, &"g".into());
        assert!(matches!(inserts, html::Inserts::Page { request: html::Request::Posted, .. }));
        assert_eq!(Address::of(&posted).as_str(), "https://www.example.se/order?step=2");
    }
}
