//! `consentry preview`: what the visitors of a site meet, in every state and language, without an upstream.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::scratch::Scratch;
use crate::clock::Clock;
use crate::config::{self, Colours, FirstStart};
use crate::consent::cookie::Secrets;
use crate::ledger::seal::Keys;
use crate::ledger::{self, Ledger};
use crate::own::{Own, preview};
use crate::site::Site;

/// Arguments of `consentry preview`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The site, by the name of its file; without it, the first by name
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Where to show it; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
}

/// Shows the site until Ctrl-C.
pub(super) fn run(args: Args, config: &Path) -> ExitCode {
    let shown = tokio::runtime::Runtime::new()
        .context("the runtime cannot be started")
        .and_then(|runtime| runtime.block_on(show(args, config)));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

async fn show(args: Args, config: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; choose another port with --listen", args.listen))?;
    println!("What visitors meet: http://{}/\nCtrl-C stops.", listener.local_addr()?);
    // What the preview's own visitors decide is no proof of anything.
    let scratch = Scratch::of("preview").context("no temporary folder can be made")?;
    let shown = Arc::new(Shown { own: endpoints(&scratch)?, config: config.to_owned(), site: args.site });
    let accept = async {
        loop {
            // Out of file descriptors, or a client that has gone already: the next one may have more luck.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let shown = Arc::clone(&shown);
            tokio::spawn(async move {
                let serve = service_fn(move |request| {
                    let shown = Arc::clone(&shown);
                    async move { Ok::<_, Infallible>(answer(&shown, request.uri()).await) }
                });
                let mut server = http1::Builder::new();
                // A client that breaks off is no failure of the preview.
                let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), serve).await;
            });
        }
    };
    tokio::select! {
        () = accept => Ok(()),
        stopped = tokio::signal::ctrl_c() => stopped.context("Ctrl-C cannot be waited for"),
    }
}

/// What is shown, and what with.
struct Shown {
    own: Own,
    config: PathBuf,
    /// The name of the site; none: the first.
    site: Option<String>,
}

fn endpoints(scratch: &Scratch) -> anyhow::Result<Own> {
    let place = ledger::Place::Sqlite(scratch.path().join("ledger.sqlite"));
    let settings = ledger::Settings { place, checkpoints: None };
    let keys = Keys::new(&Secrets::parse(&"-".repeat(32)).expect("32 characters are a secret"));
    let metrics = Arc::default();
    let ledger = Ledger::open(&settings, keys, Clock::system(), Arc::clone(&metrics))?;
    Ok(Own::new(ledger, Clock::system(), metrics))
}

async fn answer(shown: &Arc<Shown>, uri: &http::Uri) -> Response<Full<Bytes>> {
    let reading = Arc::clone(shown);
    let site = tokio::task::spawn_blocking(move || site(&reading.config, reading.site.as_deref())).await;
    let site = match site {
        Ok(Ok(site)) => site,
        Ok(Err((status, text))) => return told(status, text),
        Err(_) => return told(StatusCode::INTERNAL_SERVER_ERROR, "The settings cannot be read.\n".into()),
    };
    match preview::answer(&shown.own, &site, uri.path(), uri.query().unwrap_or_default()).await {
        Some((media_type, bytes)) => of(StatusCode::OK, media_type, bytes),
        None => told(StatusCode::NOT_FOUND, "There is nothing here.\n".into()),
    }
}

/// The settings are read for every page: what is saved is what is shown.
fn site(config: &Path, name: Option<&str>) -> Result<Arc<Site>, (StatusCode, String)> {
    let loaded = config::load(config, FirstStart::ReadOnly).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(|problem| problem.render(Colours::Off)).collect();
        (StatusCode::CONFLICT, problems.join("\n\n"))
    })?;
    let mut sites: Vec<_> = loaded.settings.sites.iter().collect();
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    let found = sites.iter().find(|site| name.is_none_or(|name| *site.name == *name));
    found.map(|site| Arc::clone(site)).ok_or_else(|| {
        let names: Vec<&str> = sites.iter().map(|site| &*site.name).collect();
        let text = format!("There is no such site. The sites are {}.\n", names.join(", "));
        (StatusCode::NOT_FOUND, text)
    })
}

fn told(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    of(status, "text/plain; charset=utf-8", text.into())
}

fn of(status: StatusCode, media_type: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(preview::POLICY));
    answer
}
