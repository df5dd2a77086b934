//! `ledger` and `retention` as they are meant.

use std::path::PathBuf;
use std::time::Duration;

use super::{Scope, at};
use crate::config::raw::{self, Site};
use crate::config::tree::Step;
use crate::ledger::checkpoint::{Checkpoints, Mistake, Receiver};
use crate::ledger::retention::Retention;
use crate::ledger::store::postgres::Address;
use crate::ledger::{Place, Settings, tls};

const DAY: Duration = Duration::from_secs(86_400);

/// Resolves `ledger`.
pub(super) fn ledger(scope: &mut Scope<'_>, raw: &raw::Ledger) -> Settings {
    if raw.sqlite.is_some() && raw.postgres.is_some() {
        let help = "keep one of `sqlite` and `postgres`; `consentry ledger migrate` carries entries over";
        scope.error(at!["ledger", "postgres"], "a ledger is kept in one place", help);
    }
    let postgres = raw.postgres.as_ref().and_then(|raw| postgres(scope, raw));
    let place = postgres.map_or_else(
        || {
            let path = at!["ledger", "sqlite"];
            let written = raw.sqlite.as_deref().unwrap_or("../data/ledger.sqlite");
            let name = scope.look_up(path, written).unwrap_or_default();
            Place::Sqlite(scope.locate(path, &name))
        },
        Place::Postgres,
    );
    let checkpoints = raw.checkpoints.as_ref().map(|raw| checkpoints(scope, raw));
    Settings { place, checkpoints }
}

fn postgres(scope: &mut Scope<'_>, raw: &raw::Postgres) -> Option<Address> {
    let path: &[Step<'_>] =
        if raw.is_mapping { at!["ledger", "postgres", "url"] } else { at!["ledger", "postgres"] };
    let url = scope.look_up(path, &raw.written.url)?;
    let ca = raw.written.ca.as_ref().map(|name| authorities(scope, at!["ledger", "postgres", "ca"], name));
    match Address::parse(&url, ca) {
        Ok(address) => Some(address),
        Err(why) => {
            // Not the address itself: it may hold a password.
            let help = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE, best as `env:NAME` or `file:PATH`";
            scope.error(path, format!("this is not an address of PostgreSQL: {why}"), help);
            None
        }
    }
}

fn checkpoints(scope: &mut Scope<'_>, raw: &raw::Checkpoints) -> Checkpoints {
    let path = at!["ledger", "checkpoints"];
    if raw.file.is_none() && raw.url.is_none() {
        scope.error(path, "checkpoints go nowhere", "name a `file`, a `url`, or both");
    }
    for (key, is_there) in [("authorization", raw.authorization.is_some()), ("ca", raw.ca.is_some())] {
        if is_there && raw.url.is_none() {
            let message = format!("`{key}` is of the `url`, and there is none");
            scope.error(at!["ledger", "checkpoints", key], message, "name the `url`");
        }
    }
    let file = raw.file.as_ref().map(|name| {
        let path = at!["ledger", "checkpoints", "file"];
        let name = scope.look_up(path, name).unwrap_or_default();
        scope.locate(path, &name)
    });
    let every = raw.every.map_or(Duration::from_secs(60), |time| time.0);
    Checkpoints { file, receiver: receiver(scope, raw), every }
}

fn receiver(scope: &mut Scope<'_>, raw: &raw::Checkpoints) -> Option<Receiver> {
    let path = at!["ledger", "checkpoints", "url"];
    let url = scope.look_up(path, raw.url.as_ref()?)?;
    let authorization = match &raw.authorization {
        Some(written) => Some(scope.look_up(at!["ledger", "checkpoints", "authorization"], written)?),
        None => None,
    };
    let ca = raw.ca.as_ref().map(|name| authorities(scope, at!["ledger", "checkpoints", "ca"], name));
    Receiver::new(&url, authorization.as_deref(), ca)
        .map_err(|mistake| match mistake {
            Mistake::NoAddress => scope.error(path, mistake.to_string(), "write https://HOST/PATH"),
            Mistake::Password => scope.error(path, mistake.to_string(), "put it into `authorization`"),
            Mistake::ClearText => scope.error(path, mistake.to_string(), "write https://"),
            Mistake::Authorization => {
                let path = at!["ledger", "checkpoints", "authorization"];
                scope.error(path, mistake.to_string(), "write one line, such as `Bearer TOKEN`");
            }
        })
        .ok()
}

/// A file of authorities, which must hold some.
fn authorities(scope: &mut Scope<'_>, path: &[Step<'_>], name: &str) -> PathBuf {
    let file = scope.existing(path, name);
    if file.exists()
        && let Err(error) = tls::check(&file)
    {
        let message = format!("no authority can be read from `{name}`: {error}");
        scope.error(path, message, "name a file of certificates in PEM");
    }
    file
}

/// Resolves `retention` of a site.
pub(super) fn retention(scope: &mut Scope<'_>, raw: &Site) -> Retention {
    let choices = raw.retention.choices.map_or(5 * 365 * DAY, |time| time.0);
    let acceptances = raw.retention.acceptances.map_or(10 * 365 * DAY, |time| time.0);
    for (key, kept, least) in [("choices", choices, 1), ("acceptances", acceptances, 400)] {
        if kept < least * DAY {
            let message = format!("what proves {key} would be gone while they hold");
            let path = &[Step::Key("retention"), Step::Key(key)];
            scope.error(path, message, format!("keep them for {least}d at least"));
        }
    }
    Retention { choices: Some(choices), acceptances: Some(acceptances) }
}
