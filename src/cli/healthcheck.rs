//! `consentry healthcheck`: asks the proxy whether it is well, for containers and scripts without an HTTP client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config;

/// The most of an answer that is read: a line is expected.
const MOST_BYTES: usize = 64 << 10;

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to ask; without it, /healthz of the admin listener that the settings name.
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// How long the answer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Exit codes: 0 well, 1 not well or not to be reached.
pub(super) fn run(args: Args, config: &Path) -> ExitCode {
    match check(args, config) {
        Ok(url) => {
            println!("{url}: well");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("consentry: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(args: Args, config: &Path) -> anyhow::Result<Uri> {
    let url = match args.url {
        Some(url) => url,
        None => named(config)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = Duration::from_secs(args.timeout);
    runtime
        .block_on(async { tokio::time::timeout(limit, ask(&url)).await })
        .unwrap_or_else(|_| bail!("no answer within {} s", args.timeout))
        .with_context(|| url.to_string())?;
    Ok(url)
}

/// The admin listener of the settings. Errors elsewhere in them do not matter: the proxy may run with older ones.
fn named(config: &Path) -> anyhow::Result<Uri> {
    let address = match config::admin_address(config) {
        Ok(Some(address)) => address,
        Ok(None) => bail!("{} names no `admin`: ask with --url", config.display()),
        Err(problems) => {
            super::check::print(&problems);
            bail!("the settings do not say where the proxy can be asked: ask with --url");
        }
    };
    if address.port() == 0 {
        bail!("`admin` has another port at every start: ask with --url");
    }
    Ok(format!("http://{}/healthz", reachable(address)).parse()?)
}

/// Where a listener on every address is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(url: &Uri) -> anyhow::Result<()> {
    let Some(authority) = url.authority().filter(|_| url.scheme_str() == Some("http")) else {
        bail!("not an address that begins with http://");
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // Its errors reach the request as well.
    tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer was cut off: {error}"))?.to_bytes();
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&body);
        bail!("{status}: {}", text.lines().next().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        for (address, expected) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.1:9090", "10.0.0.1:9090"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), expected);
        }
    }
}
