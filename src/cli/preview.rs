//! `consentry preview`: what the visitors of a site meet, in every state and language, without an upstream.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::config::{self, Colours, FirstStart};
use crate::own::preview;

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
    let subject = Arc::new((config.to_owned(), args.site));
    let accept = async {
        loop {
            // Out of file descriptors, or a client that has gone already: the next one may have more luck.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let subject = Arc::clone(&subject);
            tokio::spawn(async move {
                let serve = service_fn(move |request| {
                    let subject = Arc::clone(&subject);
                    async move { Ok::<_, Infallible>(answer(subject, request).await) }
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

async fn answer<B>(subject: Arc<(PathBuf, Option<String>)>, request: Request<B>) -> Response<Full<Bytes>> {
    let uri = request.uri().clone();
    let made = tokio::task::spawn_blocking(move || page(&subject.0, subject.1.as_deref(), &uri)).await;
    made.unwrap_or_else(|_| told(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made.\n".into()))
}

/// The settings are read for every page: what is saved is what is shown.
fn page(config: &Path, name: Option<&str>, uri: &http::Uri) -> Response<Full<Bytes>> {
    let loaded = match config::load(config, FirstStart::ReadOnly) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(|problem| problem.render(Colours::Off)).collect();
            return told(StatusCode::CONFLICT, problems.join("\n\n"));
        }
    };
    let mut sites: Vec<_> = loaded.settings.sites.iter().collect();
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    let Some(site) = sites.iter().find(|site| name.is_none_or(|name| *site.name == *name)) else {
        let names: Vec<&str> = sites.iter().map(|site| &*site.name).collect();
        let text = format!("There is no such site. The sites are {}.\n", names.join(", "));
        return told(StatusCode::NOT_FOUND, text);
    };
    match preview::answer(site, uri.path(), uri.query().unwrap_or_default()) {
        Some((media_type, bytes)) => of(StatusCode::OK, media_type, bytes),
        None => told(StatusCode::NOT_FOUND, "There is nothing here.\n".into()),
    }
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
