//! The answer on its way back: what of it may act for this visitor, in headers, cookies and markup.

pub mod body;
pub mod caching;
mod case;
mod charset;
pub mod cookies;
pub mod csp;
pub mod encoding;
pub mod expire;
pub mod frame;
pub mod headers;
pub mod html;
pub mod judge;
pub mod language;
pub mod memory;
pub mod own_csp;
pub mod page;
mod prelude;
pub mod scope;
mod sheet;
mod whole;
mod worker;

use std::collections::HashSet;
use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::consent::signal::Signal;
use crate::gate;
use crate::observed::Observed;
use crate::services;
use crate::visit::{Visit, Worker};
use crate::web::{self, language::Language};
use caching::Expected;
use case::Case;
use page::{Condition, Head, Length, Verdict};

pub use body::Body;

/// What the filters of one site need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The site's name, for the log.
    pub site: Box<str>,
    /// Its services and their treatments.
    pub services: services::Set,
    /// The site's own hosts as CSP host sources: `www.example.se`, `*.example.se`; `*` is left out.
    pub hosts: Vec<Box<str>>,
    /// What happens to third parties that nobody knows.
    pub unknown_third_parties: UnknownThirdParties,
    /// What happens to cookies.
    pub cookies: cookies::Settings,
    /// Banner, settings link and guard, as this site shows them.
    pub look: Arc<web::Look>,
    /// Whether banner and settings link are shown at all: not while the privacy document is not filled in.
    pub banner: Banner,
    /// Whether crawlers see the banner.
    pub crawlers: crate::gate::Crawlers,
    /// The upstream's own origins, such as `http://127.0.0.1:3000`: `Location` and its kin are mapped back.
    pub upstream_origins: Vec<Box<str>>,
    /// The most that the rewriter may keep in memory of one page, in bytes (`limits.html_token`).
    pub html_token: usize,
    /// Parts of the site that speak one language, whoever asks; the first that covers a page counts.
    pub language_rules: Vec<language::Rule>,
    /// The site's gates: pages say what they will ask for.
    pub gate: Arc<gate::Rules>,
    /// The documents with a new version that is not asked for yet.
    pub notes: Vec<Arc<web::Note>>,
    /// What the site's traffic showed; the filters write it.
    pub observed: Arc<Observed>,
    /// Tells these settings from all others of this process.
    pub identity: memory::Identity,
    /// A hash of all settings that shape the rewritten page: part of every ETag.
    pub epoch: u64,
}

impl Settings {
    /// The banner in one language, with the services that the site names or its traffic showed.
    pub fn banner<'a>(&self, language: &Language, signal: Signal, place: web::Place<'a>) -> web::Markup<'a> {
        let services = || {
            let seen = self.observed.snapshot();
            self.services.optional(seen.services().map(|service| service.name))
        };
        let asking = web::Asking { generation: self.observed.generation(), signal, services: &services };
        self.look.banner(language, &asking, place)
    }

    /// The ids of the services that the site has, as far as is known: it names them, or its traffic showed them.
    fn used(&self) -> HashSet<Box<str>> {
        let seen = self.observed.snapshot();
        let named = self.services.named().map(|service| service.id.clone());
        named.chain(seen.services().map(|service| service.name.into())).collect()
    }
}

/// Whether the banner is shown to those who have not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Banner {
    /// Banner and settings link.
    Shown,
    /// Only the settings link (`banner.enabled: false`).
    Off,
    /// Neither: the site asks nobody for anything (its privacy document is not filled in).
    NothingToAsk,
}

/// What happens to third parties that no catalogue knows, until the visitor agrees to everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownThirdParties {
    /// They load.
    Allow,
    /// Scripts, frames, connections and plug-ins do not load; the rest does.
    #[default]
    BlockActive,
    /// Nothing of theirs loads.
    Block,
}

/// What the answer's filter must remember of the request.
#[derive(Debug)]
pub struct Plan {
    /// The content codings that the client takes, as it wrote them.
    accept_encoding: Option<HeaderValue>,
    /// The rewritten pages that the client has and asks about.
    revalidated: Vec<caching::Revalidated>,
}

/// Prepares the request's headers so that the answer can be filtered: cookies of services that may not act go
/// out of it, conditions and ranges that would defeat the rewriting, codings that cannot be decoded.
pub fn prepare(settings: &Settings, visit: &Visit, headers: &mut HeaderMap) -> Plan {
    cookies::filter_request(headers, |name| match case::fate(settings, visit, name) {
        cookies::Fate::Keep | cookies::Fate::Shorten(_) => cookies::Passage::Passes,
        cookies::Fate::Drop(_) => cookies::Passage::Stops,
    });
    let accept_encoding = encoding::accepted(headers);
    if let Some(accept) = &accept_encoding {
        headers.insert(ACCEPT_ENCODING, encoding::reduced(accept));
    }
    // A service worker begins with what is made for the visitor's choices.
    let is_written = visit.purpose.is_shown() || visit.worker == Some(Worker::Service);
    let expected = if is_written { Expected::Page } else { Expected::Other };
    let epoch = || Case::new(settings, visit).epoch();
    let revalidated = caching::prepare(headers, &visit.method, expected, epoch);
    Plan { accept_encoding, revalidated }
}

/// Filters what the upstream answered, as [`apply`] does; a style sheet and a service worker are read whole before.
pub async fn answer<B>(
    settings: &Arc<Settings>,
    visit: &Visit,
    plan: Plan,
    answer: Response<B>,
    report: body::Report,
) -> Response<Body>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<body::Error> + Send + Unpin,
{
    if sheet::is_sheet(&answer) {
        // Seldom, and large: in a box, it takes no room of the others.
        return Box::pin(sheet::filter(settings, visit, plan, answer, report)).await;
    }
    if worker::is_script(visit, &answer) {
        return Box::pin(worker::filter(settings, visit, plan, answer, report)).await;
    }
    match treat(settings, visit, plan, answer, report) {
        Treated::Answer(answer) => answer,
        Treated::Page(head, page) => Response::from_parts(head, page.at_hand().await.boxed()),
    }
}

/// Filters an answer for this visitor: its headers at once, its body as it passes. `report` hears what becomes of it.
pub fn apply<B>(
    settings: &Arc<Settings>,
    visit: &Visit,
    plan: Plan,
    answer: Response<B>,
    report: body::Report,
) -> Response<Body>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<body::Error> + Send + Unpin,
{
    match treat(settings, visit, plan, answer, report) {
        Treated::Answer(answer) => answer,
        Treated::Page(head, page) => Response::from_parts(head, page.boxed()),
    }
}

/// What became of an answer.
enum Treated<B: http_body::Body> {
    Answer(Response<Body>),
    /// A page that may have come before.
    Page(Parts, body::Repeated<B>),
}

fn treat<B>(
    settings: &Arc<Settings>,
    visit: &Visit,
    plan: Plan,
    answer: Response<B>,
    report: body::Report,
) -> Treated<B>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<body::Error> + Send + Unpin,
{
    let case = Case::new(settings, visit);
    let (mut head, upstream) = answer.into_parts();
    let verdict = page::judge(Head {
        method: &visit.method,
        status: head.status,
        headers: &head.headers,
        body: if upstream.is_end_stream() { Length::Empty } else { Length::Open },
        condition: if plan.revalidated.is_empty() { Condition::Other } else { Condition::Rewritten },
    });
    case.filter(&mut head.headers);
    match verdict {
        Verdict::Pass(reason) => {
            report.page(reason);
            let has_body = !upstream.is_end_stream() || visit.method == Method::HEAD;
            if has_body && !head.status.is_redirection() && page::is_document(&head.headers) {
                case.document(&mut head.headers);
            }
        }
        Verdict::Refuse(reason) => return Treated::Answer(refused(&report, reason)),
        Verdict::Confirm => {
            report.page("confirmed");
            case.confirm(&mut head.headers, &plan.revalidated);
        }
        Verdict::RewriteHead(from) => {
            report.page("head");
            let to = encoding::agreed(from, plan.accept_encoding.as_ref());
            case.rewrite(&mut head.headers, to);
        }
        Verdict::Rewrite(from) => {
            let to = encoding::agreed(from, plan.accept_encoding.as_ref());
            let charset = page::charset(&head.headers);
            let page = case.rewrite(&mut head.headers, to);
            let forms = body::Forms { from, to, charset };
            if let Some(shape) = memory::Shape::of(settings, &page, forms) {
                let page = body::Repeated::new(upstream, shape, forms, settings, page, report);
                return Treated::Page(head, page);
            }
            let page = body::Page::new(upstream, forms, settings, page, report.clone());
            return Treated::Answer(match page {
                Ok(page) => Response::from_parts(head, page.boxed()),
                Err(cause) => refused(&report, cause.reason()),
            });
        }
    }
    Treated::Answer(Response::from_parts(head, body::stream(upstream)))
}

/// Passes an answer on as it is, but for where it leads to the upstream: for sites that are neither treated nor observed.
pub fn pass<B>(settings: &Settings, visit: &Visit, answer: Response<B>) -> Response<Body>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<body::Error>,
{
    let mut answer = answer.map(body::stream);
    headers::map(answer.headers_mut(), Case::new(settings, visit).origins());
    answer
}

/// Notes what an answer sets and loads, and has browsers report what would be stopped; nothing else of it changes, but
/// for where it leads to the upstream: for sites that are only observed.
pub fn watch<B>(settings: &Arc<Settings>, visit: &Visit, answer: Response<B>) -> Response<Body>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<body::Error>,
{
    let (mut head, upstream) = answer.into_parts();
    cookies::observe(settings, &head.headers, visit.arrival.now);
    headers::map(&mut head.headers, Case::new(settings, visit).origins());
    let verdict = page::judge(Head {
        method: &visit.method,
        status: head.status,
        headers: &head.headers,
        body: if upstream.is_end_stream() { Length::Empty } else { Length::Open },
        condition: Condition::Other,
    });
    if visit.purpose.is_shown()
        && (page::is_html(&head.headers) || page::is_document(&head.headers))
        && let Some(policy) = &scope::of(settings, visit).policy
    {
        policy.write_as(csp::Effect::Reports, &mut head.headers, visit.arrival.scheme);
    }
    let body = match verdict {
        Verdict::Rewrite(coding) => {
            let page = Case::new(settings, visit).only_looked_at(&head.headers);
            body::Watched::new(upstream, coding, settings, page).boxed()
        }
        _ => body::stream(upstream),
    };
    Response::from_parts(head, body)
}

/// The answer that stands in for one that cannot be filtered. It names no internals.
fn refused(report: &body::Report, reason: &'static str) -> Response<Body> {
    report.refused(reason);
    let mut answer = Response::new(body::full("502 Bad Gateway: the page could not be processed.\n"));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
pub(crate) mod tests;
