//! An image shop as they were built in 2003, over HTTP/1.1: ISO-8859-1, tables, frames, `ga.js`, and no idea of consent.
//!
//! Nothing here knows the proxy. What looks wrong by today's measure (links that change state, cookies without
//! `HttpOnly`, pages without a doctype, absolute redirects) is what such a site is like.

mod answer;
mod pages;
mod pictures;
mod session;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use answer::Charset;
use session::{Registers, Session};

/// The largest form that the shop reads.
const FORM_LIMIT: usize = 64 * 1024;

/// A shop that is open until it is dropped.
#[derive(Debug)]
pub(super) struct Shop {
    address: SocketAddr,
    door: JoinHandle<()>,
}

impl Shop {
    /// Opens a shop on a free port of 127.0.0.1.
    pub(super) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counter = Arc::new(Counter { address, registers: Registers::default() });
        Ok(Shop { address, door: tokio::spawn(welcome(listener, counter)) })
    }

    /// Where the shop is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn welcome(listener: TcpListener, counter: Arc<Counter>) {
    loop {
        // Out of file descriptors, or a client that has gone already: the next one may have more luck.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let counter = Arc::clone(&counter);
        tokio::spawn(async move {
            let serve = service_fn(move |request| {
                let counter = Arc::clone(&counter);
                async move { Ok::<_, std::convert::Infallible>(counter.serve(request).await) }
            });
            // A client that breaks off is no failure of the shop.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), serve)
                .await;
        });
    }
}

/// What the shop knows while it is open.
#[derive(Debug)]
struct Counter {
    address: SocketAddr,
    registers: Registers,
}

/// One request, as the pages see it.
#[derive(Debug)]
struct Customer {
    path: String,
    query: Form,
    form: Form,
    /// The identifier in their cookie, whether or not there is such a session.
    key: Option<String>,
    session: Session,
    takes_gzip: bool,
}

impl Counter {
    async fn serve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let form = match is_form(&parts.headers) {
            true => match read_whole(body).await {
                Some(bytes) => Form::parse(&bytes),
                None => return answer::refused("413 Request Entity Too Large"),
            },
            false => Form::default(),
        };
        let key = session::key_in(parts.headers.get(COOKIE));
        let customer = Customer {
            path: plain_path(parts.uri.path()),
            query: Form::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            form,
            session: self.registers.find(key.as_deref()),
            key,
            takes_gzip: answer::takes_gzip(&parts.headers),
        };
        self.attend(&parts.method, &customer)
    }

    /// The shop's addresses.
    fn attend(&self, method: &Method, customer: &Customer) -> Response<Full<Bytes>> {
        let is_post = method == Method::POST;
        match customer.path.as_str() {
            "/" | "/index.html" => pages::start(customer),
            "/sortiment.html" => pages::range(customer),
            "/bild" => pages::picture(customer),
            "/om.html" => pages::about(customer),
            "/english.html" => pages::english(customer),
            "/ram.html" => pages::frames(),
            "/ram-meny.html" => pages::frame_menu(),
            "/ram-bild.html" => pages::frame_picture(customer),
            "/kundvagn" if is_post => self.put_in_cart(customer),
            "/kundvagn" => pages::cart(customer),
            "/login" if is_post => self.log_in(customer),
            "/login" => pages::login(customer, ""),
            "/logout" => self.log_out(customer),
            "/konto" => self.only_for_customers(customer, pages::account),
            "/register" if is_post => self.register(customer),
            "/register" => pages::registration(customer),
            "/admin" => answer::see(&self.url("/admin/")),
            "/admin/" => self.only_for_customers(customer, pages::administration),
            "/api/lager" => pages::stock(customer),
            "/stil.css" => answer::file("text/css", include_str!("pages/stil.css")),
            "/robots.txt" => answer::file("text/plain", "User-agent: *\nDisallow: /admin/\n"),
            path => pictures::find(path).unwrap_or_else(|| pages::missing(customer)),
        }
    }

    fn put_in_cart(&self, customer: &Customer) -> Response<Full<Bytes>> {
        let Some(picture) = pictures::with_number(customer.form.value("bild")) else {
            return pages::missing(customer);
        };
        let mut session = customer.session.clone();
        session.put(picture.number);
        let key = self.registers.keep(customer.key.as_deref(), session);
        answer::with_cookie(answer::see(&self.url("/kundvagn")), &session::cookie(&key))
    }

    fn log_in(&self, customer: &Customer) -> Response<Full<Bytes>> {
        let name = customer.form.value("anvandare");
        if !matches!(name, "kund" | "admin") || customer.form.value("losenord") != "bild" {
            return pages::login(customer, "Fel användarnamn eller lösenord. Prova kund och bild.");
        }
        let session = Session { name: Some(name.to_owned()), ..customer.session.clone() };
        let key = self.registers.keep(customer.key.as_deref(), session);
        answer::with_cookie(answer::see(&self.url("/konto")), &session::cookie(&key))
    }

    fn log_out(&self, customer: &Customer) -> Response<Full<Bytes>> {
        self.registers.forget(customer.key.as_deref());
        answer::with_cookie(answer::see(&self.url("/")), session::GONE)
    }

    fn register(&self, customer: &Customer) -> Response<Full<Bytes>> {
        let name = customer.form.value("namn");
        if name.trim().is_empty() {
            return pages::registration(customer);
        }
        let session = Session { name: Some(name.chars().take(60).collect()), ..customer.session.clone() };
        let key = self.registers.keep(customer.key.as_deref(), session);
        answer::with_cookie(pages::welcome(customer), &session::cookie(&key))
    }

    fn only_for_customers(
        &self,
        customer: &Customer,
        page: fn(&Customer, &str) -> Response<Full<Bytes>>,
    ) -> Response<Full<Bytes>> {
        match &customer.session.name {
            Some(name) => page(customer, name),
            None => answer::see(&self.url("/login")),
        }
    }

    /// An absolute address, as `Location` had to be before RFC 7231. The shop knows its own host by its settings.
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The body of a form; none if it is larger than the shop cares to read.
async fn read_whole(mut body: Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut fits = true;
    // What is too much is read all the same: closing on a client that still sends would take its answer away.
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        fits = fits && bytes.len() + data.len() <= FORM_LIMIT;
        if fits {
            bytes.extend_from_slice(data);
        }
    }
    fits.then_some(bytes)
}

/// The path as an old server looks it up: decoded, without empty and dot segments.
fn plain_path(path: &str) -> String {
    let decoded = decode(path.replace('+', "%2B").as_bytes());
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let end = if decoded.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

fn is_form(headers: &http::HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

/// The fields of a form or a query, decoded from ISO-8859-1.
#[derive(Debug, Default)]
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(bytes: &[u8]) -> Self {
        let fields = bytes.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
        Form(
            fields
                .map(|field| {
                    let mut halves = field.splitn(2, |byte| *byte == b'=').map(decode);
                    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
                })
                .collect(),
        )
    }

    /// The first value of this name, or an empty one.
    fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }
}

fn decode(part: &[u8]) -> String {
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let bytes: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    Charset::Latin.decode(&bytes)
}

#[cfg(test)]
mod tests;
