//! A visitor of the preview: asks for the site's own pages as a browser does, and keeps its cookies.

use std::net::Ipv4Addr;

use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;

use crate::consent::signal::Signal;
use crate::documents::Document;
use crate::filter::{Body, body};
use crate::own::{Own, route};
use crate::site::Site;
use crate::visit::{Arrival, Scheme, Visit};
use crate::web::language::Language;

/// How large a form may be that is held.
const MOST: usize = 64 * 1024;

/// A visitor who reads in one language.
pub(super) struct Reader<'a> {
    pub(super) own: &'a Own,
    pub(super) site: &'a Site,
    pub(super) language: &'a Language,
    pub(super) signal: Signal,
    cookies: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(own: &'a Own, site: &'a Site, language: &'a Language, signal: Signal) -> Self {
        Reader { own, site, language, signal, cookies: Vec::new() }
    }

    /// A page of the site's own at a path; its query begins with the language.
    pub(super) async fn read(&mut self, path: &str, more: &str) -> Option<String> {
        let target = format!("{path}?lang={}{more}", self.language);
        Some(self.send(self.request(Method::GET, &target, String::new())?).await?.1)
    }

    /// Answers the banner or the settings page, and gives the number of the receipt.
    pub(super) async fn choose(&mut self, choice: &str) -> Option<String> {
        let form = format!("choice={choice}&from=settings&language={}&return=/", self.language);
        let (headers, _) = self.post("choices", form).await?;
        Some(headers.get("consentry-receipt")?.to_str().ok()?.to_owned())
    }

    /// Has the receipts erased, and gives the page that says so.
    pub(super) async fn erase(&mut self) -> Option<String> {
        Some(self.post(&format!("receipts?lang={}", self.language), "erase=all&return=/".into()).await?.1)
    }

    /// Says yes or no to a document whose page asks for it, and gives where that leads.
    pub(super) async fn decide(&mut self, document: &Document, decision: &str) -> Option<String> {
        let page = self.read(document.path.as_str(), "&return=/").await?;
        let form = answer_to(&page, decision)?;
        let (headers, _) = self.post("acceptances", form).await?;
        Some(headers.get(LOCATION)?.to_str().ok()?.to_owned())
    }

    /// Posts a form into the gate of a document, and gives the page that keeps it.
    pub(super) async fn post_into_gate(&self, document: &Document) -> Option<String> {
        let gate = self.site.gate.gates.iter().find(|gate| gate.document == document.id)?;
        let (mut head, body) = self.request(Method::POST, "/", "name=".into())?.into_parts();
        head.headers.insert(http::header::ACCEPT_LANGUAGE, self.language.as_str().parse().ok()?);
        let visit = Visit::read(&self.site.visit, &head, self.arrival());
        let answer = self.own.hold(self.site, &visit, gate, Request::from_parts(head, body), MOST).await;
        text(answer.into_body()).await
    }

    async fn post(&mut self, endpoint: &str, form: String) -> Option<(HeaderMap, String)> {
        let target = format!("{}{endpoint}", self.site.own_path);
        self.send(self.request(Method::POST, &target, form)?).await
    }

    async fn send(&mut self, request: Request<Body>) -> Option<(HeaderMap, String)> {
        let (head, body) = request.into_parts();
        let visit = Visit::read(&self.site.visit, &head, self.arrival());
        let endpoint = route(self.site, &visit.path)?;
        let answer = self.own.answer(endpoint, self.site, &visit, Request::from_parts(head, body)).await;
        let (head, body) = answer.into_parts();
        let set = head.headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        self.cookies.extend(set.filter_map(|line| line.split(';').next()).map(str::to_owned));
        Some((head.headers, text(body).await?))
    }

    fn request(&self, method: Method, target: &str, form: String) -> Option<Request<Body>> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(ACCEPT, "text/html")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        if !self.cookies.is_empty() {
            request = request.header(COOKIE, self.cookies.join("; "));
        }
        if self.signal.opts_out() {
            request = request.header("sec-gpc", "1");
        }
        request.body(body::full(form)).ok()
    }

    fn arrival(&self) -> Arrival {
        Arrival {
            host: "localhost".into(),
            authority: "localhost".into(),
            scheme: Scheme::Https,
            client: Ipv4Addr::LOCALHOST.into(),
            now: self.own.clock.now(),
        }
    }
}

async fn text(body: Body) -> Option<String> {
    let bytes = body.collect().await.ok()?.to_bytes();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the form of a document's page sends.
fn answer_to(page: &str, decision: &str) -> Option<String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("decision", decision).append_pair("return", "/");
    for name in ["document", "version", "token"] {
        form.append_pair(name, field(page, name)?);
    }
    Some(form.finish())
}

/// The value of a hidden field of a page of ours; those that are read here need no escapes.
fn field<'p>(page: &'p str, name: &str) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
