//! Where a PostgreSQL ledger is, without ever showing its password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The database of a ledger.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    config: Arc<Config>,
    ca: Option<PathBuf>,
}

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE` or `host=… user=…`. TLS is asked for unless the server is
    /// on this machine or the address says otherwise (`sslmode`).
    pub fn parse(text: &str, ca: Option<PathBuf>) -> Result<Self, String> {
        // libpq's words for what this program does in any case where it speaks TLS.
        let known = text
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let mut config = Config::from_str(&known).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        })?;
        if config.get_hosts().is_empty() {
            return Err("it names no host".into());
        }
        if config.get_user().is_none() {
            return Err("it names no user".into());
        }
        let is_local = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
        };
        if !known.contains("sslmode=") {
            let is_local = config.get_hosts().iter().all(is_local);
            let mode = if is_local && ca.is_none() { SslMode::Disable } else { SslMode::Require };
            config.ssl_mode(mode);
        }
        if config.get_application_name().is_none() {
            config.application_name("consentry");
        }
        config.connect_timeout(Duration::from_secs(3)).tcp_user_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(30));
        Ok(Address { config: Arc::new(config), ca })
    }

    /// How it is connected to.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The file of authorities that its certificate is verified with.
    pub(super) fn ca(&self) -> Option<&std::path::Path> {
        self.ca.as_deref()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.config.get_ports().first().unwrap_or(&5432);
        let database = self.config.get_dbname().or_else(|| self.config.get_user()).unwrap_or_default();
        match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => write!(f, "postgres://{name}:{port}/{database}"),
            Some(Host::Unix(path)) => write!(f, "postgres:{}:{port}/{database}", path.display()),
            None => write!(f, "postgres:{database}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let address = Address::parse("postgres://proxy:hunter2@db.example:6432/ledger", None).unwrap();
        assert_eq!(address.to_string(), "postgres://db.example:6432/ledger");
        assert!(!format!("{address:?}").contains("hunter2"));
    }

    #[test]
    fn tls_is_spoken_unless_the_server_is_here_or_the_address_says_otherwise() {
        for (text, expected) in [
            ("postgres://u@db.example/l", SslMode::Require),
            ("postgres://u@db.example/l?sslmode=verify-full", SslMode::Require),
            ("postgres://u@db.example/l?sslmode=disable", SslMode::Disable),
            ("postgres://u@127.0.0.1/l", SslMode::Disable),
            ("postgres://u@localhost/l?sslmode=require", SslMode::Require),
            ("host=/run/postgresql user=u", SslMode::Disable),
            ("postgres://u@127.0.0.1,db.example/l", SslMode::Require),
        ] {
            assert_eq!(Address::parse(text, None).unwrap().config().get_ssl_mode(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, expected) in [
            ("postgres://", "it names no host"),
            ("mysql://u@db/l", "invalid"),
            ("postgres://db.example/l", "it names no user"),
            ("host=db user=u sslmode=perhaps", "sslmode"),
        ] {
            let error = Address::parse(text, None).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
