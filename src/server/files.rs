//! Files that the process may have open (`ulimit -n`, `LimitNOFILE=`), and how many connections that is.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::listener::Limits;

/// Those of the ledger, the log, the settings and the listeners; half where there are but few.
const OWN: u64 = 64;

/// Lets the process open as many as it may: shells and service managers leave 1,024 for the sake of `select`, which nothing
/// here uses.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// The limits with no more connections than there can be files, and a warning where that is less than somebody wants: who
/// is one too many waits, and health, metrics and the ledger go on.
pub(super) fn fitting(limits: Limits) -> Limits {
    let Some(files) = getrlimit(Resource::Nofile).current else { return limits };
    let fitting = within(limits, files);
    if fitting != limits && !matches!(limits.connections, 0 | Limits::CONNECTIONS) {
        tracing::warn!(
            wanted = limits.connections,
            connections = fitting.connections,
            files,
            "limits.connections is more than the process may have files for: raise `LimitNOFILE=` or `ulimit -n`, or lower it"
        );
    }
    fitting
}

fn within(limits: Limits, files: u64) -> Limits {
    let most = connections(files);
    let connections = if limits.connections == 0 { most } else { limits.connections.min(most) };
    Limits { connections, ..limits }
}

/// How many connections so many files are: each takes one of the visitor and one of the upstream.
fn connections(files: u64) -> usize {
    let rest = files - OWN.min(files / 2);
    usize::try_from(rest / 2).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_two_files_and_the_proxy_has_some_of_its_own() {
        for (files, expected) in [(65_536, 32_736), (1_024, 480), (64, 16), (1, 1), (0, 1)] {
            assert_eq!(connections(files), expected, "{files}");
        }
    }

    #[test]
    fn there_are_never_more_connections_than_files_allow() {
        let limits = |connections| Limits {
            connections,
            connections_per_address: 7,
            request_header: 1,
            request_body: 2,
        };
        for (wanted, expected) in [(0, 480), (1, 1), (480, 480), (481, 480), (usize::MAX, 480)] {
            assert_eq!(within(limits(wanted), 1_024), limits(expected), "{wanted}");
        }
    }
}
